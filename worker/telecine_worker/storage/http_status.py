"""What the status of an answer means for a fetch."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from telecine_worker.failure import AttemptFailed, permanent
from telecine_worker.storage.fetch_errors import Broken
from telecine_worker.storage.http_answer import Answer

REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset({408, 425, 429})


def failure(answer: Answer, where: str) -> AttemptFailed | Broken:
    """For an answer that brings neither a body nor a redirect; *where* names the input and the host."""
    status = answer.status
    if status in _PASSING or status >= 500:
        return Broken(f"answered {status}", pause=asked_pause(answer))
    if status in (401, 403):
        return permanent(
            "INPUT_DENIED", f"{where} answered {status}: what it asks for was not in the uri or the headers"
        )
    if status in (404, 410):
        return permanent("INPUT_NOT_FOUND", f"{where} answered {status}: there is nothing at this uri")
    return permanent("INPUT_UNREADABLE", f"{where} answered {status}; 200 would be right")


def asked_pause(answer: Answer) -> timedelta | None:
    """Retry-After, as seconds or as a date, negative when that is over; None where it is absent or not readable."""
    text = answer.header("retry-after") or ""
    if text.isascii() and text.isdigit():
        # More digits than any time has would not fit a timedelta.
        return timedelta(seconds=int(text[:9]))
    until = answer.date("retry-after")
    return None if until is None else until - datetime.now(UTC)
