"""What a scheduler does without being asked: sweep, follow the feed, listen for work, look after its metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.service.directory import WorkerDirectory
from telecine_scheduler.service.leasing import Leasing
from telecine_scheduler.service.watch_sets import WatchSets
from telecine_scheduler.service.watching import Watching
from telecine_scheduler.store.feed import Feed
from telecine_scheduler.store.job_store import JobStore

log = structlog.get_logger(__name__)

# A store that has not answered for this long is away.
AWAY_SECONDS = 2.0
RETRY_SECONDS = 0.2
WARN_SECONDS = 1.0


class StoreWatch:
    """Whether the store answers, as the sweeps and reads see it; warns at most once a second."""

    def __init__(self) -> None:
        self._answered = float("-inf")
        self._warned = float("-inf")

    def answered(self) -> None:
        """It did just now."""
        self._answered = time.monotonic()

    @property
    def away(self) -> bool:
        """Whether it has been silent for two seconds."""
        return time.monotonic() - self._answered > AWAY_SECONDS

    def failed(self, error: StoreUnavailable) -> None:
        """Say so, but not too often."""
        now = time.monotonic()
        if now - self._warned >= WARN_SECONDS:
            self._warned = now
            cause = error.__cause__
            log.warning("job store unavailable", error=error.message, cause=type(cause).__name__ if cause else None)


class Background:
    """The steps. Each is called again and again by its part in app.py."""

    def __init__(
        self, *, store: JobStore, feed: Feed, leasing: Leasing, directory: WorkerDirectory, watching: Watching,
        watch_sets: WatchSets, metrics: SchedulerMetrics, store_watch: StoreWatch,
    ) -> None:  # fmt: skip
        self._store = store
        self._feed = feed
        self._leasing = leasing
        self._directory = directory
        self._watching = watching
        self._watch_sets = watch_sets
        self._metrics = metrics
        self._store_watch = store_watch

    async def sweep(self) -> None:
        """Let time do its work until there is no more of it."""
        more = True
        while more:
            swept = await self._store.sweep()
            self._store_watch.answered()
            self._metrics.count_sweep(swept)
            if swept.broken or swept.repaired:
                log.error("records broken", broken=swept.broken, repaired=swept.repaired, last=swept.wrong)
            more = swept.more

    async def follow(self) -> None:
        """Read the feed once, and tell the watchers and the workers."""
        try:
            changes, missed = await self._feed.read()
        except StoreUnavailable:
            self._feed.lost_track()
            raise
        self._watching.follow(changes, missed=missed, position=self._feed.position)
        self._leasing.follow(changes)

    async def measure(self) -> None:
        """Read the figures for the gauges."""
        stats = await self._store.stats()
        blocked = sum(each.ready for each in stats.classes if self._directory.is_blocked(each.job_class))
        self._metrics.show(stats)
        self._metrics.show_workers(self._directory.workers, blocked=blocked)
        self._metrics.show_watchers(one=self._watching.count, many=self._watch_sets.count)

    async def steadily(self, step: Callable[[], Awaitable[None]]) -> None:
        """One step that outlives the store: when it is away, say so and wait a little."""
        try:
            await step()
        except StoreUnavailable as error:
            self._store_watch.failed(error)
            await asyncio.sleep(RETRY_SECONDS)
