"""Whether calls are worth making: every partition's store is looked at before anything is asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

import structlog

from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.store.checks import UnfitStore
from telecine_scheduler.store.partition import Partition, Partitions

log = structlog.get_logger(__name__)

AGAIN_SECONDS = 0.2
# A store that was found unfit is looked at again after so long.
UNFIT_SECONDS = 1.0


class Readiness:
    """Read by the health service, the HTTP endpoint and the interceptor. *where* is the URL as logs may show it."""

    def __init__(self, partitions: Partitions, sweep: Callable[[Partition], Awaitable[None]], where: str) -> None:
        self._partitions = partitions
        self._sweep = sweep
        self._where = where
        self._warned: set[str] = set()
        # Set once a partition was found fit.
        self.begun = asyncio.Event()
        self.draining = False

    def not_ready(self) -> str | None:
        """Why not, or None: one partition that serves is enough."""
        if self.draining:
            return "stopping"
        if not self.begun.is_set():
            return "waiting for the job store (Redis)"
        if any(partition.serving for partition in self._partitions):
            return None
        unfit = (partition.fitness.unfit for partition in self._partitions)
        return next(filter(None, unfit), "the job store (Redis) does not answer")

    def gate(self) -> None:
        """Refuse calls until a store was found fit."""
        if not self.begun.is_set():
            raise StoreUnavailable("this scheduler starts: it waits for the job store (Redis)")

    async def begin(self) -> None:
        """Until a partition is fit, and each was looked at once. Raises UnfitStore where one must not be used."""
        while not self.begun.is_set():
            looks = await asyncio.gather(*map(self._look, self._partitions), return_exceptions=True)
            for look in looks:
                if isinstance(look, BaseException):
                    raise look
            if any(looks):
                self.begun.set()
            else:
                await asyncio.sleep(AGAIN_SECONDS)

    async def go_on(self, partition: Partition) -> None:
        """After the beginning, look at a partition that was away then, and at every other server that takes one over.

        An unfit one is no reason to stop the others.
        """
        await self.begun.wait()
        while True:
            try:
                if partition.checked.is_set():
                    self._warn(await partition.fitness.look_at_next())
                elif not await self._look(partition):
                    await asyncio.sleep(AGAIN_SECONDS)
            except UnfitStore as error:
                log.error("job store unfit", partition=partition.number, redis=self._where, error=str(error))
                await asyncio.sleep(UNFIT_SECONDS)
            except StoreUnavailable as error:
                partition.watch.failed(error)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _look(self, partition: Partition) -> bool:
        """Whether it was found fit."""
        try:
            self._warn(await partition.fitness.look())
            await self._sweep(partition)
        except StoreUnavailable as error:
            partition.watch.failed(error)
            return False
        partition.checked.set()
        return True

    def _warn(self, warnings: Iterable[str]) -> None:
        """Once, however many partitions and servers it is about."""
        for warning in warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                log.warning(warning, redis=self._where)
