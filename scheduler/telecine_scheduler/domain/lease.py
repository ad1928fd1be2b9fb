"""Leases: what is granted, asked and answered between a worker and the store."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from telecine_scheduler.domain.cost import Cost
from telecine_scheduler.domain.job import AttemptOutcome, FailureKind, JobName, Timeout


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Names a lease. The token is a fence: compared for equality only."""

    name: JobName
    token: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The offer of a lease.

    *total_left* is what is left of the job's total limit (None: it has none; zero: nothing is); *cancel_grace* the job's
    own, None where it has none.
    """

    lease: Lease
    attempt: int
    generation: int
    units: int
    spec: bytes
    total_left: timedelta | None = None
    cancel_grace: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """What a dispatch came to. *waits*: the next job needs more units than are left, and smaller ones must not starve it."""

    grants: Sequence[Grant]
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long things of a lease take. *live* is how long a silent scheduler counts as alive."""

    ttl: timedelta = timedelta(seconds=30)
    accept_window: timedelta = timedelta(seconds=5)
    reconnect_grace: timedelta = timedelta(seconds=3)
    publish_window: timedelta = timedelta(seconds=60)
    cancel_grace: timedelta = timedelta(seconds=10)
    live: timedelta = timedelta(seconds=5)
    gap: timedelta = timedelta(seconds=2)

    @property
    def renew_interval(self) -> timedelta:
        """A third of the TTL: two renewals may be lost."""
        return self.ttl / 3


class Verdict(enum.StrEnum):
    """What became of a lease that a worker asked about."""

    KEEP = "KEEP"
    ALLOWED = "ALLOWED"
    CANCEL = "CANCEL"
    STALE = "STALE"
    # A failover of Redis lost the lease, and nobody has it: the worker may have it again (`adopt`), and then ask once more.
    ADOPTABLE = "ADOPTABLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """A verdict.

    *waited* is set when this began the job's first attempt: how long it had waited since it was submitted. *cancel_grace*
    is the job's own, with CANCEL; None where it has none. *timeout* is set when the lease is STALE because just now a limit
    ended its job, and *ran* how long the attempt had run by then; *forgiven* when it had been taken for lost, and what that
    had cost the job was taken back.
    """

    verdict: Verdict
    waited: timedelta | None = None
    cancel_grace: timedelta | None = None
    timeout: Timeout | None = None
    ran: timedelta | None = None
    forgiven: bool = False

    @property
    def adoptable(self) -> bool:
        """Whether the lease has to be adopted before there is an answer."""
        return self.verdict is Verdict.ADOPTABLE


class Ack(enum.StrEnum):
    """What became of an outcome that a worker reported."""

    COMMITTED = "COMMITTED"
    ALREADY = "ALREADY"
    STALE = "STALE"
    CANCELLED = "CANCELLED"
    RETRYING = "RETRYING"
    # As of Verdict.
    ADOPTABLE = "ADOPTABLE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How an attempt ended, as its worker says.

    *value* is the encoded JobResult or Failure; *short* the failure without its log. *outcome* is never LOST.
    """

    lease: Lease
    outcome: AttemptOutcome
    kind: FailureKind | None = None
    value: bytes = b""
    short: bytes = b""
    cost: Cost = field(default_factory=Cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """The answer to a report. *outcome* and *ran* are set where it changed something; *forgiven* is as of Ruling."""

    ack: Ack
    outcome: AttemptOutcome | None = None
    ran: timedelta | None = None
    forgiven: bool = False

    @property
    def adoptable(self) -> bool:
        """Whether the lease has to be adopted before there is an answer."""
        return self.ack is Ack.ADOPTABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamId:
    """Which stream of which process of which worker: later epochs of a session fence earlier ones."""

    worker_id: str
    session_id: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """Encoded Failures with which the store ends an attempt or a job by itself: a lost worker, and each limit of time.

    *poison* is put behind the Failure of the last crash, whose kind and reason it replaces. It ends with the tag of `message`:
    the store appends the length and the text, because it says how many crashes there were.
    """

    worker_lost: bytes
    queue_timeout: bytes
    total_timeout: bytes
    run_timeout: bytes
    poison: bytes
