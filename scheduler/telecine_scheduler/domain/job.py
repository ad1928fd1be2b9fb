"""A job, its states, and the transitions between them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from telecine_scheduler.domain.cost import Cost

# Hybrid clock numbers (sequences, tokens, revisions, times of the store) count microseconds from here.
EPOCH = datetime(2024, 1, 1, tzinfo=UTC)


def time_of(number: int) -> datetime:
    """The time a number of the store's clock stands for."""
    return EPOCH + timedelta(microseconds=number)


def number_of(time: datetime) -> int:
    """The store's clock number for a time."""
    return (time - EPOCH) // timedelta(microseconds=1)


class JobState(enum.StrEnum):
    """Where a job is in its life. LEASED is internal: callers see QUEUED."""

    WAITING = "W"
    QUEUED = "Q"
    LEASED = "L"
    RUNNING = "R"
    CANCELLING = "C"
    SUCCEEDED = "S"
    FAILED = "F"
    CANCELLED = "X"

    @property
    def final(self) -> bool:
        """Whether nothing but RetryJob leaves it."""
        return not NEXT[self]

    @property
    def public(self) -> JobState:
        """The state as callers see it."""
        return JobState.QUEUED if self is JobState.LEASED else self


# Which state may follow which within a generation. store/lua carries these edges out, and a test compares the two. RetryJob
# (T16) leaves FAILED and CANCELLED for QUEUED besides, as a new generation. From WAITING and QUEUED to RUNNING leads only the
# adoption of a lease that a failover of Redis lost (T18).
NEXT: dict[JobState, frozenset[JobState]] = {
    JobState.WAITING: frozenset({JobState.QUEUED, JobState.CANCELLED, JobState.FAILED, JobState.RUNNING}),
    JobState.QUEUED: frozenset({JobState.LEASED, JobState.CANCELLED, JobState.FAILED, JobState.RUNNING}),
    JobState.LEASED: frozenset(
        {JobState.RUNNING, JobState.QUEUED, JobState.WAITING, JobState.CANCELLING, JobState.FAILED}
    ),
    JobState.RUNNING: frozenset(
        {JobState.SUCCEEDED, JobState.FAILED, JobState.WAITING, JobState.QUEUED, JobState.CANCELLING}
    ),
    JobState.CANCELLING: frozenset({JobState.CANCELLED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}


class WaitReason(enum.StrEnum):
    """Why a WAITING job waits."""

    NOT_BEFORE = "NOT_BEFORE"
    BACKOFF = "BACKOFF"
    REFUSED = "REFUSED"


class AttemptOutcome(enum.StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    RETURNED = "RETURNED"
    CANCELLED = "CANCELLED"
    LOST = "LOST"


class Timeout(enum.StrEnum):
    """Which limit of time ended a job; the reason in its failure and in the change of its state."""

    QUEUE_TIMEOUT = "QUEUE_TIMEOUT"
    TOTAL_TIMEOUT = "TOTAL_TIMEOUT"
    RUN_TIMEOUT = "RUN_TIMEOUT"


class FailureKind(enum.StrEnum):
    """What a failure means for the next attempt; see job.proto, Failure.Kind."""

    PERMANENT = "PERMANENT"
    RETRYABLE = "RETRYABLE"
    CRASH = "CRASH"
    DEADLINE = "DEADLINE"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class JobName:
    """What names a job."""

    tenant: str
    job_id: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.job_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """One step of a job: the revision it had right after, the state it went to, and why."""

    revision: int
    state: JobState
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One run of a job. *failure* is an encoded Failure without its log, or empty."""

    number: int
    worker_id: str
    token: int
    start: int
    end: int | None = None
    outcome: AttemptOutcome | None = None
    cost: Cost = field(default_factory=Cost)
    failure: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as the store has it. Times are numbers of the store's clock; the bytes are encoded messages of the contract.

    *class_id* names its class in the table of classes, and may be free again once the job is final.
    """

    name: JobName
    state: JobState
    revision: int
    create: int
    class_id: str = ""
    queue: int | None = None
    start: int | None = None
    end: int | None = None
    due: int | None = None
    expire: int | None = None
    generation: int = 1
    attempt_count: int = 0
    progress_time: int | None = None
    wait_reason: WaitReason | None = None
    cancel_reason: str = ""
    digest: bytes = b""
    spec: bytes = b""
    progress: bytes = b""
    failure: bytes = b""
    result: bytes = b""
    changes: tuple[StateChange, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
