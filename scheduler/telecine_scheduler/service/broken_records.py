"""Records that cannot be read: a defect of ours, or of whoever wrote there, that must not harm what stands beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from telecine_scheduler.domain.errors import TelecineError
from telecine_scheduler.domain.job import Job, JobName
from telecine_scheduler.metrics import SchedulerMetrics

log = structlog.get_logger(__name__)

# What decoding raises. Whatever else a read may fail at concerns more than one record.
UNREADABLE = (LookupError, ValueError, TypeError, ArithmeticError)


class BrokenRecords:
    """Says so of each that is met, and counts it."""

    def __init__(self, metrics: SchedulerMetrics) -> None:
        self._metrics = metrics

    def met(self, name: JobName, error: Exception) -> None:
        """The record of this job could not be read."""
        self._metrics.broken_records.inc()
        log.error("record broken", tenant=name.tenant, job_id=name.job_id, error=type(error).__name__)

    def readable(
        self, names: Sequence[JobName], found: Sequence[Job | BaseException | None]
    ) -> Mapping[JobName, Job | None]:
        """What was *found* of these, without the broken ones. Raises any other error."""
        readable: dict[JobName, Job | None] = {}
        for name, each in zip(names, found, strict=True):
            if isinstance(each, UNREADABLE) and not isinstance(each, TelecineError):
                self.met(name, each)
            elif isinstance(each, BaseException):
                raise each
            else:
                readable[name] = each
        return readable
