"""How many Hellos a scheduler works on at once: when every worker comes at once, each is served, one after the other."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

from telecine_scheduler.domain.errors import TooManyHellos
from telecine_scheduler.metrics import SchedulerMetrics

AT_ONCE = 8
MOST_WAITING = 64
# Who is refused comes again after so long, each at another moment.
SOONEST, LATEST = timedelta(seconds=1), timedelta(seconds=5)


class HelloAdmission:
    """Of one scheduler."""

    def __init__(self, metrics: SchedulerMetrics) -> None:
        self._metrics = metrics
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    @asynccontextmanager
    async def turn(self, restore: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
        """Within it a Hello is worked on. One that has to wait is restored before: what its worker holds gets its full time.

        Raises TooManyHellos, restored all the same.
        """
        if self._turns.locked():
            await self._wait(restore)
        else:
            await self._turns.acquire()
        try:
            yield
        finally:
            self._turns.release()

    async def _wait(self, restore: Callable[[], Awaitable[None]]) -> None:
        if self._waiting >= MOST_WAITING:
            await restore()
            self._metrics.hellos_refused.inc()
            raise TooManyHellos(
                f"{MOST_WAITING} workers wait for their hello to be answered; try again, at another scheduler if there is one",
                retry_after=random.uniform(0, 1) * (LATEST - SOONEST) + SOONEST,  # noqa: S311 - no secret
            )
        self._waiting += 1
        self._metrics.hellos_waiting.set(self._waiting)
        try:
            await restore()
            await self._turns.acquire()
        finally:
            self._waiting -= 1
            self._metrics.hellos_waiting.set(self._waiting)
