"""What is counted: over the partition, over a tenant's queue, by a sweep, and by the auditor."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from telecine_scheduler.domain.job import JobState
from telecine_scheduler.domain.submission import JobClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one sweep did.

    *failed* counts lost attempts that were their job's last; the timeouts are jobs that a limit ended. *repaired* counts
    entries of timers that should not have been there; *broken* records that could not be handled, of which *wrong* says
    what was the matter with the last. *braked* counts leases that were kept for another TTL because too many ran out together;
    *alarm* is set by the sweep that found so.
    """

    promoted: int
    returned: int
    lost: int
    failed: int
    cancelled: int
    purged: int
    repaired: int
    broken: int
    queue_timeout: int
    total_timeout: int
    run_timeout: int
    braked: int
    more: bool
    frozen: bool
    alarm: bool
    wrong: str


class Repair(enum.StrEnum):
    """What the auditor mends."""

    TIMER = "timer"
    """A job had no timer of its state (lease, due time, retention) or of its limits."""
    READY = "ready"
    """A queued job was not among those that are dispatched, or in another place than its own."""
    TURN = "turn"
    """A tenant with ready jobs took no turns, or one without did."""
    LEASE_SET = "lease_set"
    """A worker's set did not have a lease of its, or had another's."""
    INDEX = "index"
    """A job was not listed under its state or a label, or was under another state."""
    STRAY = "stray"
    """An entry of a timer or a ready set that its job is not in the state for."""
    GHOST = "ghost"
    """Something named a job that has no record."""
    COUNTER = "counter"
    """A counter did not say what is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """A step of the auditor's walk.

    *position* is where to go on, None where the pass is over. *looked* is how many entries it looked at, of *jobs* there are;
    *broken* counts those that could not be handled, of which *wrong* says what was the matter with the last; where
    there are none it says what was left out.
    """

    position: tuple[bytes, ...] | None
    looked: int
    jobs: int
    broken: int
    wrong: str
    repairs: Mapping[Repair, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassStats:
    """How full one class is."""

    job_class: JobClass
    ready: int
    oldest: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Figures over the partition."""

    jobs: Mapping[JobState, int]
    leases: int
    classes: Sequence[ClassStats]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCounts:
    """A tenant's jobs in one queue, or in all.

    *jobs* has every state but LEASED, which counts as QUEUED. *oldest* is the age of the ready job that became QUEUED first,
    None where none is ready; *ready* says how many ready jobs of each class there are.
    """

    jobs: Mapping[JobState, int]
    oldest: timedelta | None
    ready: Sequence[tuple[JobClass, int]]
