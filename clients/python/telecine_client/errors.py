"""Everything that can go wrong, in one tree.

    TelecineError
    ├── InvalidRequest       a rule is broken; `violations` lists each       INVALID_ARGUMENT, OUT_OF_RANGE
    ├── Unimplemented        this scheduler does not have that (yet)         UNIMPLEMENTED
    ├── Unauthenticated      no valid credentials                            UNAUTHENTICATED
    ├── PermissionDenied     the credentials do not allow that               PERMISSION_DENIED
    ├── NotFound                                                             NOT_FOUND
    │   └── JobNotFound      never submitted, or its record has expired      NOT_FOUND JOB_NOT_FOUND
    │       └── JobDeleted   its record was deleted while it was watched     NOT_FOUND JOB_DELETED
    ├── AlreadyExists                                                        ALREADY_EXISTS
    │   ├── JobExists        another spec was submitted with this id         ALREADY_EXISTS JOB_EXISTS
    │   └── JobIdSpent       a job with this id was deleted within 24 h      ALREADY_EXISTS JOB_DELETED
    ├── WrongState           the job cannot do that now                      FAILED_PRECONDITION, ABORTED
    │   ├── JobFinished      it had succeeded or failed already              FAILED_PRECONDITION JOB_FINISHED
    │   ├── JobNotFinished   it has not ended yet                            FAILED_PRECONDITION JOB_NOT_FINISHED
    │   ├── JobSucceeded     it succeeded: nothing to retry                  FAILED_PRECONDITION JOB_SUCCEEDED
    │   ├── GenerationMismatch   it was retried meanwhile                    FAILED_PRECONDITION GENERATION_MISMATCH
    │   └── Publishing       its files are being published just now          FAILED_PRECONDITION PUBLISHING
    ├── LimitReached         a limit of the operator; see `retry_after`      RESOURCE_EXHAUSTED
    │   ├── QueueFull        too many jobs waiting or queued                 RESOURCE_EXHAUSTED QUEUE_FULL
    │   └── ClassLimit       too many sets of queue and requirements         RESOURCE_EXHAUSTED CLASS_LIMIT
    ├── Unavailable          no scheduler, or its database, can be reached   UNAVAILABLE, CANCELLED
    ├── DeadlineExceeded     no answer in time; also a TimeoutError          DEADLINE_EXCEEDED
    ├── InternalError        a defect of the scheduler, or what is           INTERNAL, UNKNOWN, DATA_LOSS
    │                        there is no scheduler
    └── ManyError            some of many failed; it holds their errors      of the first of them
        ├── SubmitManyError  of submit_many
        └── WaitManyError    of wait_many

After Unavailable, DeadlineExceeded and InternalError nothing is known about what the call did; every call may be
repeated. Errors can be pickled and copied, as values can.
"""

from __future__ import annotations

import copyreg
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from grpc import StatusCode

from telecine_client.read_only import ReadOnly

if TYPE_CHECKING:
    from telecine_client.values import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One rule that a request broke."""

    field: str
    """Path of the field as in the contract, e.g. "spec.task.transcode.video.crf"; empty for the whole request."""
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What an error carries beside its message."""

    reason: str = ""
    """UPPER_SNAKE_CASE, stable; empty when no scheduler of ours gave one (a broken connection, a proxy)."""
    metadata: Mapping[str, str] = field(default_factory=lambda: ReadOnly({}))
    violations: tuple[Violation, ...] = ()
    retry_after: timedelta | None = None


class TelecineError(Exception):
    """Catch this one for all of them; `reason` and `code` tell more than the class where it matters."""

    def __init__(self, message: str, *, code: StatusCode, details: Details | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.details = details or Details()

    def __reduce__(self) -> tuple[object, ...]:
        # An exception's own way calls its class with the message alone.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]

    @property
    def reason(self) -> str:
        """UPPER_SNAKE_CASE, stable; empty when the answer was not a scheduler's."""
        return self.details.reason

    @property
    def metadata(self) -> Mapping[str, str]:
        """Facts that belong to the reason."""
        return self.details.metadata

    @property
    def violations(self) -> tuple[Violation, ...]:
        """Every rule that the request broke."""
        return self.details.violations

    @property
    def retry_after(self) -> timedelta | None:
        """How long the scheduler asks to wait before the call is repeated."""
        return self.details.retry_after


class InvalidRequest(TelecineError):
    """The request breaks a rule; do not repeat it unchanged."""


class Unimplemented(TelecineError):
    """The scheduler does not have the call, the task kind or the option; the message names it."""


class Unauthenticated(TelecineError):
    """The scheduler wants credentials."""


class PermissionDenied(TelecineError):
    """The credentials do not allow that."""


class NotFound(TelecineError):
    """There is no such thing."""


class JobNotFound(NotFound):
    """There is no such job in this tenant."""


class JobDeleted(JobNotFound):
    """The job's record was deleted while it was watched."""


class AlreadyExists(TelecineError):
    """The name is taken."""


class JobExists(AlreadyExists):
    """Another spec was submitted with this job id."""

    @property
    def state(self) -> str:
        """Of the job that has the id, in lower case."""
        return self.metadata.get("state", "").removeprefix("JOB_STATE_").lower()

    @property
    def differing_fields(self) -> tuple[str, ...]:
        """Paths in the spec where the two differ."""
        return tuple(name.strip() for name in self.metadata.get("fields", "").split(",") if name.strip())


class JobIdSpent(AlreadyExists):
    """The id belonged to a job that was deleted less than 24 h ago."""


class WrongState(TelecineError):
    """The job cannot do that now."""


class JobFinished(WrongState):
    """The job had succeeded or failed already."""


class JobNotFinished(WrongState):
    """The job has not ended yet: cancel it first."""


class JobSucceeded(WrongState):
    """The job succeeded: there is nothing to retry."""


class GenerationMismatch(WrongState):
    """The job is at another generation than the caller saw."""

    @property
    def generation(self) -> int:
        """That the job is at; 0 where the scheduler did not say."""
        text = self.metadata.get("generation", "")
        return int(text) if text.isdecimal() else 0


class Publishing(WrongState):
    """Too late to cancel: the job's files are being published; it ends within seconds."""


class LimitReached(TelecineError):
    """A limit of the operator."""


class QueueFull(LimitReached):
    """Too many jobs waiting or queued, in all or of this tenant."""


class ClassLimit(LimitReached):
    """Too many distinct sets of queue and requirements."""


class Unavailable(TelecineError):
    """No scheduler, or not its database, can be reached."""


class DeadlineExceeded(TelecineError, TimeoutError):
    """There was no answer in time."""


class InternalError(TelecineError):
    """A defect of the scheduler (the message holds an id that is in its log), or what answers there is none."""


class ManyError(TelecineError):
    """Some of many failed; what the others gave is in here too."""

    def __init__(self, message: str, errors: Collection[TelecineError]) -> None:
        first = next(iter(errors))
        super().__init__(f"{message}; the first: {first.message}", code=first.code, details=first.details)


class SubmitManyError(ManyError):
    """Not every job of submit_many was accepted; those that were go on."""

    def __init__(self, job_ids: Sequence[str], results: Sequence[Job | TelecineError], *, broken_off: bool) -> None:
        self.broken_off = broken_off
        """The iterable of jobs raised (see __cause__): it may have had more than those here, all of which were tried."""
        self.job_ids = tuple(job_ids)
        """Of all of them, in order: repeat what failed with the same ids, and nothing is submitted twice."""
        self.results = tuple(results)
        """In the same order: the job, or why there is none."""
        errors = [result for result in self.results if isinstance(result, TelecineError)]
        message = f"{len(errors)} of {len(self.results)} jobs were not accepted"
        if broken_off:
            message = f"the iterable of jobs raised an error; of those before, {message}"
            errors.append(invalid("the iterable of jobs raised an error"))
        super().__init__(message, errors)


class WaitManyError(ManyError):
    """Not every job of wait_many was seen to its end."""

    def __init__(self, jobs: Mapping[str, Job], errors: Mapping[str, TelecineError]) -> None:
        self.jobs = ReadOnly(jobs)
        """By job id: those that ended."""
        self.errors = ReadOnly(errors)
        """By job id: why the others' ends were not seen; DeadlineExceeded for those that go on."""
        count = len(self.jobs) + len(self.errors)
        super().__init__(f"{len(self.errors)} of {count} jobs were not seen to their end", self.errors.values())


# The one table. The empty reason is for reasons that this version does not know.
CLASSES: Mapping[tuple[StatusCode, str], type[TelecineError]] = MappingProxyType(
    {
        (StatusCode.INVALID_ARGUMENT, ""): InvalidRequest,
        (StatusCode.OUT_OF_RANGE, ""): InvalidRequest,
        (StatusCode.UNIMPLEMENTED, ""): Unimplemented,
        (StatusCode.UNAUTHENTICATED, ""): Unauthenticated,
        (StatusCode.PERMISSION_DENIED, ""): PermissionDenied,
        (StatusCode.NOT_FOUND, ""): NotFound,
        (StatusCode.NOT_FOUND, "JOB_NOT_FOUND"): JobNotFound,
        (StatusCode.NOT_FOUND, "JOB_DELETED"): JobDeleted,
        (StatusCode.ALREADY_EXISTS, ""): AlreadyExists,
        (StatusCode.ALREADY_EXISTS, "JOB_EXISTS"): JobExists,
        (StatusCode.ALREADY_EXISTS, "JOB_DELETED"): JobIdSpent,
        (StatusCode.FAILED_PRECONDITION, ""): WrongState,
        (StatusCode.ABORTED, ""): WrongState,
        (StatusCode.FAILED_PRECONDITION, "JOB_FINISHED"): JobFinished,
        (StatusCode.FAILED_PRECONDITION, "JOB_NOT_FINISHED"): JobNotFinished,
        (StatusCode.FAILED_PRECONDITION, "JOB_SUCCEEDED"): JobSucceeded,
        (StatusCode.FAILED_PRECONDITION, "GENERATION_MISMATCH"): GenerationMismatch,
        (StatusCode.FAILED_PRECONDITION, "PUBLISHING"): Publishing,
        (StatusCode.RESOURCE_EXHAUSTED, ""): LimitReached,
        (StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL"): QueueFull,
        (StatusCode.RESOURCE_EXHAUSTED, "CLASS_LIMIT"): ClassLimit,
        (StatusCode.UNAVAILABLE, ""): Unavailable,
        # From the other side only: our own cancellation is asyncio.CancelledError.
        (StatusCode.CANCELLED, ""): Unavailable,
        (StatusCode.DEADLINE_EXCEEDED, ""): DeadlineExceeded,
        (StatusCode.INTERNAL, ""): InternalError,
        (StatusCode.UNKNOWN, ""): InternalError,
        (StatusCode.DATA_LOSS, ""): InternalError,
    }
)


def error(code: StatusCode, message: str, details: Details | None = None) -> TelecineError:
    """The error of the class that the table has for *code* and the reason in *details*; InternalError for what it has not."""
    reason = details.reason if details else ""
    found = CLASSES.get((code, reason)) or CLASSES.get((code, ""), InternalError)
    return found(message, code=code, details=details)


def invalid(message: str, *violations: Violation) -> InvalidRequest:
    """A request that is known to be wrong before it is sent."""
    details = Details(reason="INVALID_REQUEST", violations=violations)
    return InvalidRequest(message, code=StatusCode.INVALID_ARGUMENT, details=details)


def closed() -> Unavailable:
    """What a call ends with whose client is closed meanwhile."""
    return Unavailable("the client was closed while the call was under way", code=StatusCode.CANCELLED)
