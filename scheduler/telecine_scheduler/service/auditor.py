"""The auditor: walks over everything that is kept, all the time and slowly, and mends what should be impossible.

While nothing is lost and the scripts are right it finds nothing: every repair is a defect of ours, or of whoever wrote there.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.store.partition import Partition

log = structlog.get_logger(__name__)

# So long a pass takes at most; with the rest after it, everything is looked at every ten minutes.
PASS_SECONDS = 480.0
# An entry names a job, and a job is named by two to four; where a tenant has few, they are counted too.
ENTRIES_PER_JOB = 5
# Between two steps; and before it is asked again whose turn it is.
LONGEST_PAUSE_SECONDS = 0.25
TURN_SECONDS = 10.0


class Auditor:
    """Walks over each partition by itself. The store sees to it that of several schedulers one walks at a time."""

    def __init__(self, metrics: SchedulerMetrics) -> None:
        self._metrics = metrics
        self._positions: dict[Partition, tuple[bytes, ...]] = {}

    async def step(self, partition: Partition) -> None:
        """Look at some entries, and wait as long as spreads the pass over its time."""
        began = time.monotonic()
        # Where Redis is away, the pass goes on here: a step may be repeated. Where anything else is wrong, it begins anew.
        position = self._positions.pop(partition, None)
        try:
            audited = await partition.store.audit(position)
        except StoreUnavailable:
            if position is not None:
                self._positions[partition] = position
            raise
        if audited is None:
            await asyncio.sleep(TURN_SECONDS)
            return
        self._metrics.count_audit(audited)
        if audited.repairs:
            log.error("impossible state mended", partition=partition.number, repairs=dict(audited.repairs))
        if audited.broken:
            log.error("entries not audited", partition=partition.number, broken=audited.broken, last=audited.wrong)
        elif audited.wrong:
            log.warning("not all is audited", partition=partition.number, why=audited.wrong)
        if audited.position is None:
            return
        self._positions[partition] = audited.position
        share = max(1, audited.looked) / max(1, ENTRIES_PER_JOB * audited.jobs)
        await asyncio.sleep(min(LONGEST_PAUSE_SECONDS, PASS_SECONDS * share - (time.monotonic() - began)))
