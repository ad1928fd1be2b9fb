"""Leases that a failover of Redis lost and workers still have: they are taken up again, and then their messages answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.domain.lease import Acknowledgement, Lease, Ruling, StreamId
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.service.leasing import Leasing

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer", Ruling, Acknowledgement)


class Adoption:
    """For one worker's stream."""

    def __init__(self, leasing: Leasing, stream: StreamId, metrics: SchedulerMetrics) -> None:
        self._store = leasing.store
        self._stream = stream
        self._metrics = metrics

    async def settled(self, lease: Lease, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """What *ask* answers about the lease, which is never that it is adoptable."""
        answer = await ask()
        if not answer.adoptable:
            return answer
        if await self._store.adopt(lease, self._stream):
            self._metrics.adopted.inc()
            log.warning(
                "lease adopted that Redis had lost", worker_id=self._stream.worker_id, tenant=lease.name.tenant,
                job_id=lease.name.job_id, token=lease.token,
            )  # fmt: skip
        answer = await ask()
        if answer.adoptable:
            raise StoreUnavailable("Redis lost the lease again while it was adopted; it is asked about again")
        return answer
