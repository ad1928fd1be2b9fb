"""What workers say on lease streams and is not taken: counted every time, logged once for each reason and stream."""

from __future__ import annotations

import enum

from structlog.typing import FilteringBoundLogger

from telecine_scheduler.domain.errors import ProtocolViolation
from telecine_scheduler.domain.lease import Lease
from telecine_scheduler.metrics import SchedulerMetrics


class Refused(enum.StrEnum):
    """Why. The first four end the stream; an outcome or progress ends or loses itself; the stale are answered STALE."""

    HELLO = "hello"
    """None came in time, or one came twice."""
    RULE = "rule"
    """A rule of the contract."""
    SIZE = "size"
    """More entries or bytes than a message may have."""
    CREDIT = "credit"
    """More units than the worker has."""
    OUTCOME = "outcome"
    PROGRESS = "progress"
    STALE = "stale"
    """A lease that is over, or never was: a replay, a wrong token, an unknown job."""


def violation(refused: Refused, message: str) -> ProtocolViolation:
    """The error that ends a stream; `Refusals.end` counts it."""
    return ProtocolViolation(message, metadata={"rule": refused.value})


class Refusals:
    """Of one stream."""

    def __init__(self, metrics: SchedulerMetrics, log: FilteringBoundLogger) -> None:
        self._metrics = metrics
        self._log = log
        self._told: set[Refused] = set()

    def name(self, worker_id: str, session_id: str) -> None:
        """Whose stream it is, as soon as that is known."""
        self._log = self._log.bind(worker_id=worker_id, session_id=session_id)

    def payload(self, refused: Refused, job_id: str, violations: str) -> None:
        """An OUTCOME or PROGRESS breaks a rule."""
        self._count(refused, job_id=job_id, violations=violations)

    def stale(self, lease: Lease) -> None:
        """A lease was named that is over or unknown."""
        self._count(Refused.STALE, tenant=lease.name.tenant, job_id=lease.name.job_id, token=lease.token)

    def end(self, error: ProtocolViolation) -> None:
        """The stream ends because of this."""
        self._count(Refused(error.metadata.get("rule", Refused.RULE)), violations=error.message)

    def _count(self, refused: Refused, **facts: object) -> None:
        self._metrics.refused.labels(refused.value).inc()
        if refused in self._told:
            return
        self._told.add(refused)
        say = self._log.info if refused is Refused.STALE else self._log.error
        say("worker's message refused", reason=refused.value, **facts)
