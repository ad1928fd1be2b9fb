"""Everything the scheduler refuses or fails at, as one tree.

TelecineError
├── InvalidRequest        the request breaks a rule; says its violations
├── NotSupported          a call, task kind or option that is not there yet
├── JobNotFound           no such job
├── JobDeleted            its record was deleted while it was looked at
├── JobExists             another spec has this id
├── JobIdSpent            a job that was deleted lately had this id
├── JobFinished           it had ended already
├── JobPublishing         its files are being published
├── JobNotFinished        it is not final yet
├── JobSucceeded          there is nothing to retry
├── GenerationMismatch    it is at another generation than the caller saw
├── QueueFull             too many waiting or queued jobs
├── TooManyClasses        too many distinct sets of queue and requirements
├── AlreadyConnected      another live process has this worker id
├── TooManyHellos         too many workers connect at once
├── StreamFenced          a later stream of the same session is registered
├── ProtocolViolation     a worker's message breaks the protocol
├── UnsupportedProtocol   no common version of the lease protocol
└── StoreUnavailable      Redis is away; the outcome is not known
    └── StoreFull         Redis is out of memory

rpc/errors.py says which gRPC status each becomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """One broken rule: which field, what about it, and what would be right."""

    field: str
    description: str


class TelecineError(Exception):
    """Base of all. *reason* is stable and for programs, the message is for people."""

    reason: ClassVar[str]

    def __init__(
        self, message: str, *, metadata: Mapping[str, str] | None = None, retry_after: timedelta | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after


class InvalidRequest(TelecineError):
    """The request breaks at least one rule."""

    reason = "INVALID_REQUEST"

    def __init__(self, violations: Sequence[Violation]) -> None:
        listed = "; ".join(f"{v.field}: {v.description}" if v.field else v.description for v in violations)
        super().__init__(f"the request is not valid: {listed}")
        self.violations = tuple(violations)


class NotSupported(TelecineError):
    """Asked for something this scheduler does not have yet; the message names it."""

    reason = "NOT_SUPPORTED"


class JobNotFound(TelecineError):
    """There is no such job: never submitted, of another tenant, or its record has expired."""

    reason = "JOB_NOT_FOUND"


class JobDeleted(TelecineError):
    """The job's record was deleted while it was watched."""

    reason = "JOB_DELETED"


class JobExists(TelecineError):
    """Another spec was submitted with this id; metadata has the state and the fields that differ."""

    reason = "JOB_EXISTS"


class JobIdSpent(TelecineError):
    """The id belonged to a job that was deleted less than 24 h ago; the message says when it is free again."""

    reason = "JOB_DELETED"


class JobFinished(TelecineError):
    """The job had ended already; metadata has the state."""

    reason = "JOB_FINISHED"


class JobPublishing(TelecineError):
    """The job's files are being published just now."""

    reason = "PUBLISHING"


class JobNotFinished(TelecineError):
    """The job is not final yet; metadata has the state."""

    reason = "JOB_NOT_FINISHED"


class JobSucceeded(TelecineError):
    """The job has succeeded: there is nothing to retry."""

    reason = "JOB_SUCCEEDED"


class GenerationMismatch(TelecineError):
    """The job is at another generation than the caller saw; metadata has it."""

    reason = "GENERATION_MISMATCH"


class QueueFull(TelecineError):
    """Too many waiting or queued jobs, in all or of this tenant."""

    reason = "QUEUE_FULL"


class TooManyClasses(TelecineError):
    """Too many distinct sets of queue, requirements and units."""

    reason = "CLASS_LIMIT"


class AlreadyConnected(TelecineError):
    """Another live process has this worker id."""

    reason = "ALREADY_CONNECTED"


class TooManyHellos(TelecineError):
    """Too many workers connect at once."""

    reason = "TOO_MANY_HELLOS"


class StreamFenced(TelecineError):
    """A later stream of the same session took over."""

    reason = "FENCED"


class ProtocolViolation(TelecineError):
    """A worker's message breaks the protocol of the lease stream."""

    reason = "PROTOCOL_VIOLATION"


class UnsupportedProtocol(TelecineError):
    """No common version of the lease protocol."""

    reason = "UNSUPPORTED_PROTOCOL"


class StoreUnavailable(TelecineError):
    """Redis did not answer; whether the change happened is not known. Everything may be repeated."""

    reason = "STORE_UNAVAILABLE"


class StoreFull(StoreUnavailable):
    """Redis refused the write for want of memory; nothing was changed."""

    reason = "STORE_FULL"
