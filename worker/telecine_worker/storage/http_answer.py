"""The head of a server's answer.

The subset of HTTP/1.1 (RFC 9112) that fetching a file needs, taken strictly: what is ambiguous is refused, because a
half file that is taken for a whole one is the worst that may happen. No pattern here may backtrack: matching holds the
interpreter, and with it the whole worker.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from telecine_worker.storage.fetch_errors import Broken
from telecine_worker.storage.wire import Timeout, Wire

LONGEST_HEAD_BYTES = 64 << 10
MOST_HEADERS = 100
MOST_INTERIM_ANSWERS = 8

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})( .*)?")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)")
_LENGTH = re.compile(r"[0-9]{1,18}")


class Framing(enum.StrEnum):
    """How the end of a body is known."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"
    """By the connection's end, which also comes when it breaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The head. Names of headers are in small letters."""

    status: int
    minor_version: int
    headers: dict[str, list[str]]

    def header(self, name: str) -> str | None:
        """The header *name*; None where it is absent. Raises Broken where it is there twice and differs."""
        values = set(self.headers.get(name, ()))
        if len(values) > 1:
            raise Broken(f"answered with two different {name} headers")
        return values.pop() if values else None

    @property
    def length(self) -> int | None:
        """Content-Length."""
        text = self.header("content-length")
        if text is None:
            return None
        if not _LENGTH.fullmatch(text):
            raise Broken("answered with a content-length that is no number")
        return int(text)

    @property
    def framing(self) -> Framing:
        """See Framing. Raises Broken where two kinds contradict each other."""
        codings = [each.lower() for each in self.headers.get("transfer-encoding", ())]
        if not codings:
            return Framing.CLOSE if self.length is None else Framing.LENGTH
        if codings != ["chunked"] or self.length is not None or self.minor_version == 0:
            raise Broken("answered with a transfer-encoding other than chunked once, or with a length besides")
        return Framing.CHUNKED

    def date(self, name: str) -> datetime | None:
        """A header that is a date; None where it is absent or not readable."""
        try:
            found = parsedate_to_datetime(self.header(name) or "")
        except (ValueError, OverflowError):
            return None
        return found if found.tzinfo else found.replace(tzinfo=UTC)


def read_answer(wire: Wire, timeout: Timeout) -> Answer:
    """The head of the final answer; interim ones (1xx) are passed over."""
    budget = LONGEST_HEAD_BYTES
    for _ in range(MOST_INTERIM_ANSWERS):
        line = wire.read_line(budget, timeout)
        match = _STATUS_LINE.fullmatch(line)
        if match is None or match[2] == b"101":
            raise Broken("answered with something that is not HTTP/1.1")
        headers, budget = read_headers(wire, budget - len(line), timeout)
        if match[2][0] != ord("1"):
            return Answer(status=int(match[2]), minor_version=int(match[1]), headers=headers)
    raise Broken("sent interim answers without an end")


def read_headers(wire: Wire, budget: int, timeout: Timeout) -> tuple[dict[str, list[str]], int]:
    """Headers up to the empty line, and what is left of *budget* bytes."""
    headers: dict[str, list[str]] = {}
    for _ in range(MOST_HEADERS + 1):
        line = wire.read_line(max(budget, 0), timeout)
        if not line:
            return headers, budget
        match = _HEADER.fullmatch(line)
        if match is None:
            raise Broken("answered with a line that is no header")
        headers.setdefault(match[1].decode("ascii").lower(), []).append(match[2].strip(b" \t").decode("latin-1"))
        budget -= len(line)
    raise Broken(f"answered with more than {MOST_HEADERS} headers")
