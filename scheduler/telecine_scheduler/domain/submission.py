"""What a caller submits, in the scheduler's own words: what the queue has to know about a spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from telecine_scheduler.domain.job import JobName


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When a failed attempt is followed by another.

    The delay before the n-th new attempt is d/2 plus a random part of d/2, with d = min(maximum, initial * 2^(n-1)); the
    store computes it where it counts the failure.
    """

    max_attempts: int = 3
    initial_backoff: timedelta = timedelta(seconds=10)
    max_backoff: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long the record of a finished job is kept, by how it ended; kept to the second, rounded up."""

    succeeded: timedelta = timedelta(hours=24)
    failed: timedelta = timedelta(days=7)
    cancelled: timedelta = timedelta(hours=24)


DEFAULT_HARD_RUN = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Time limits that the queue sees to; None: none, or for *cancel_grace* what the operator set.

    *queue* runs to the first start, *total* to the end; both count from the submit, and from the retry after RetryJob.
    *hard_run* bounds one attempt: the worker ends it, the store is the backstop.
    """

    queue: timedelta | None = None
    total: timedelta | None = None
    hard_run: timedelta = DEFAULT_HARD_RUN
    cancel_grace: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobClass:
    """A distinct set of what a job needs from a worker; ready jobs are kept per class."""

    queue: str
    units: int
    requirements: frozenset[str]

    def served_by(self, *, queues: frozenset[str], capabilities: frozenset[str], slots: int) -> bool:
        """Whether a worker that offers this much can run the class's jobs."""
        return self.queue in queues and self.requirements <= capabilities and self.units <= slots

    def __str__(self) -> str:
        return "|".join((self.queue, str(self.units), ",".join(sorted(self.requirements))))

    @classmethod
    def parse(cls, text: str) -> JobClass:
        """The class that *text* (from `str`) stands for."""
        queue, units, requirements = text.split("|")
        return cls(queue=queue, units=int(units), requirements=frozenset(filter(None, requirements.split(","))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job to admit. *spec* is the encoded JobSpec, opaque from here to the worker; *digest* a hash of it, secrets aside."""

    name: JobName
    job_class: JobClass
    priority: int
    spec: bytes
    digest: bytes
    not_before: int = 0
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    retention: Retention = field(default_factory=Retention)
    limits: Limits = field(default_factory=Limits)
    labels: Mapping[str, str] = field(default_factory=dict)
