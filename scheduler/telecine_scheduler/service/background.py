"""What a scheduler does without being asked: sweep, follow the feeds, look after its metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.domain.figures import Stats
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.service.directory import WorkerDirectory
from telecine_scheduler.service.leasing import Leasing
from telecine_scheduler.service.watch_sets import WatchSets
from telecine_scheduler.service.watching import Watching
from telecine_scheduler.store.merging import merged_stats
from telecine_scheduler.store.partition import Partition, Partitions

log = structlog.get_logger(__name__)

RETRY_SECONDS = 0.2


class Background:
    """The steps. Each is called again and again by its part in app.py, those of a partition by a part for each."""

    def __init__(
        self, *, partitions: Partitions, leasing: Leasing, directory: WorkerDirectory, watching: Watching,
        watch_sets: WatchSets, metrics: SchedulerMetrics,
    ) -> None:  # fmt: skip
        self._partitions = partitions
        self._leasing = leasing
        self._directory = directory
        self._watching = watching
        self._watch_sets = watch_sets
        self._metrics = metrics
        # As they were last read: those of a partition that is away stand until it is back.
        self._stats: dict[Partition, Stats] = {}

    async def sweep(self, partition: Partition) -> None:
        """Let time do its work until there is no more of it."""
        more = True
        while more:
            swept = await partition.store.sweep()
            partition.watch.answered()
            self._metrics.count_sweep(swept)
            if swept.broken or swept.repaired:
                log.error(
                    "records broken", partition=partition.number, broken=swept.broken, repaired=swept.repaired,
                    last=swept.wrong,
                )  # fmt: skip
            if swept.alarm:
                log.error("leases ran out together", partition=partition.number, kept=swept.braked)
            more = swept.more

    async def follow(self, partition: Partition) -> None:
        """Read the feed once, and tell the watchers and the workers."""
        feed = partition.feed
        try:
            changes, missed = await feed.read()
        except StoreUnavailable:
            feed.lost_track()
            raise
        self._watching.of(partition).follow(changes, missed=missed, position=feed.position)
        self._leasing.follow(changes)

    async def measure(self) -> None:
        """Read the figures for the gauges."""
        await self._partitions.each(self._measure)
        stats = merged_stats(self._stats.values())
        blocked = sum(each.ready for each in stats.classes if self._directory.is_blocked(each.job_class))
        self._metrics.show(stats)
        self._metrics.show_workers(self._directory.workers, blocked=blocked)
        self._metrics.show_watchers(one=self._watching.count, many=self._watch_sets.count)

    async def _measure(self, partition: Partition) -> None:
        self._stats[partition] = await partition.store.stats()

    async def steadily(self, partition: Partition, step: Callable[[Partition], Awaitable[None]]) -> None:
        """One step that outlives the store: when it is away, say so and wait a little."""
        try:
            await step(partition)
        except StoreUnavailable as error:
            partition.watch.failed(error)
            await asyncio.sleep(RETRY_SECONDS)

    async def patiently(self, step: Callable[[], Awaitable[None]]) -> None:
        """One step over all partitions that outlives them: when all are away, wait a little. Their own steps say so."""
        try:
            await step()
        except StoreUnavailable:
            await asyncio.sleep(RETRY_SECONDS)
