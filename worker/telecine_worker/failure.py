"""How an attempt fails: the kinds of failure, and the exception that carries one to the attempt's end."""

from __future__ import annotations

import enum
from dataclasses import dataclass

LOG_TAIL_BYTES = 8192


class FailureKind(enum.StrEnum):
    """What to do about a failure; the words of telecine.v1.Failure.Kind."""

    PERMANENT = "permanent"
    RETRYABLE = "retryable"
    CRASH = "crash"
    DEADLINE = "deadline"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an attempt failed, as it is reported.

    *reason* is UPPER_SNAKE_CASE and stable. *message* is one sentence for a person. *log_tail* is FFmpeg's own log,
    cleaned of addresses and paths. *exit_code* is FFmpeg's; a negative number is the signal that ended it; None when no
    process ran. *of_input*: no sign that anything is wrong with the worker, though others with this reason are.
    """

    kind: FailureKind
    reason: str
    message: str
    log_tail: str = ""
    exit_code: int | None = None
    of_input: bool = False


def internal_error(error: BaseException) -> Failure:
    """A defect of ours; its text stays in the log, because it may quote anything."""
    text = f"a defect of the worker ({type(error).__name__}); its log has the details"
    return Failure(kind=FailureKind.UNKNOWN, reason="INTERNAL_ERROR", message=text)


class AttemptFailed(Exception):
    """The attempt cannot succeed; *failure* says why."""

    def __init__(
        self,
        kind: FailureKind,
        reason: str,
        message: str,
        *,
        log_tail: str = "",
        exit_code: int | None = None,
        of_input: bool = False,
    ) -> None:
        super().__init__(f"{reason}: {message}")
        tail = log_tail.encode()[-LOG_TAIL_BYTES:].decode(errors="ignore")
        self.failure = Failure(
            kind=kind, reason=reason, message=message, log_tail=tail, exit_code=exit_code, of_input=of_input
        )


def permanent(reason: str, message: str) -> AttemptFailed:
    """A failure that trying again cannot mend."""
    return AttemptFailed(FailureKind.PERMANENT, reason, message)


def retryable(reason: str, message: str, *, of_input: bool = False) -> AttemptFailed:
    """A failure that may be gone next time."""
    return AttemptFailed(FailureKind.RETRYABLE, reason, message, of_input=of_input)
