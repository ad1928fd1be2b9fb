"""What is counted: over the partition, over a tenant's queue, and by a sweep."""

from __future__ import annotations

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
    what was the matter with the last.
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
    more: bool
    frozen: bool
    wrong: str


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
