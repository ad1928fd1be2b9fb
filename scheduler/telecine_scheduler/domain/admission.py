"""What is admitted to the queue, first or again, and how a batch that is not says so."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from telecine_scheduler.domain.errors import TelecineError
from telecine_scheduler.domain.ranking import Ranking

MAX_CLASSES = 256
MAX_CLASSES_PER_TENANT = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """How much may be queued (0: no limit), how jobs are ranked, and how fast those of a tenant are tried again.

    Of a tenant's retries *retry_burst* may come at once, and *retry_rate* a second (0: no limit); further ones wait longer.
    The first retry after a crash is not counted.
    """

    max_queued: int = 1_000_000
    max_queued_per_tenant: int = 0
    max_classes: int = MAX_CLASSES
    max_classes_per_tenant: int = MAX_CLASSES_PER_TENANT
    ranking: Ranking = field(default_factory=Ranking)
    retry_rate: float = 10.0
    retry_burst: int = 100


class BatchRefused(Exception):
    """Nothing of a batch was stored. Never reaches a caller as it is.

    *errors*: by index, what a submit of that item alone, or after those before it, would raise. *existing*: indexes of the
    items whose id a job with another digest has; whether its spec is another one, the caller gets and compares.
    """

    def __init__(self, *, errors: Mapping[int, TelecineError], existing: Collection[int]) -> None:
        super().__init__(f"{len(errors) + len(existing)} items of a batch were refused")
        self.errors = dict(errors)
        self.existing = tuple(existing)
