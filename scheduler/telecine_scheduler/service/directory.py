"""The directory of workers: those connected here are reported to the store, and those of all schedulers are read back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.domain.job import Job, JobState
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.domain.worker import WorkerRecord
from telecine_scheduler.service.blocking import Ability, blocked_reason
from telecine_scheduler.service.leasing import Leasing
from telecine_scheduler.store.partition import Partition, Partitions
from telecine_scheduler.store.routed_store import RoutedStore

BEAT_SECONDS = 2.0
# Before a caller is told that nobody can run his job, what is known of the workers is at most this old.
FRESH_SECONDS = 1.0
PAGE = 1000
# No caller waits longer for a hint.
HINT_SECONDS = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Slots:
    """How many workers take work, and their slots."""

    workers: int
    slots: int
    busy: int


class WorkerDirectory:
    """What is known of the workers of every scheduler."""

    def __init__(self, partitions: Partitions, store: RoutedStore, leasing: Leasing) -> None:
        self._partitions = partitions
        self._store = store
        self._leasing = leasing
        self.workers: Collection[WorkerRecord] = ()
        self._abilities: Collection[Ability] = ()
        self._reasons: dict[JobClass, str] = {}
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def beat(self) -> None:
        """Wait two seconds, or until a worker comes, goes or begins to drain; report the workers here; read all."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEAT_SECONDS):
                await self._leasing.news.wait()
        self._leasing.news.clear()
        await self._partitions.each(self._report)
        await self._read()

    async def _report(self, partition: Partition) -> None:
        for stream in await partition.store.report_workers(self._leasing.reports(partition)):
            self._leasing.fence(stream)

    async def _read(self) -> None:
        workers: list[WorkerRecord] = []
        page = await self._store.workers("", PAGE)
        workers += page
        while len(page) == PAGE:
            page = await self._store.workers(page[-1].worker_id, PAGE)
            workers += page
        self.workers = workers
        self._abilities = {Ability(offer=worker.offer, draining=worker.draining) for worker in workers}
        self._reasons = {}
        self._read_at = asyncio.get_running_loop().time()

    async def freshen(self) -> None:
        """Read, unless what is known is fresh: once for all who ask at the same time, with one result or error for all."""
        if asyncio.get_running_loop().time() - self._read_at < FRESH_SECONDS:
            return
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read(), name="directory")
            # Whoever asked may have gone by the time it fails.
            self._reading.add_done_callback(_look_at)
        await asyncio.shield(self._reading)

    async def blocked_reasons(self, classes: Collection[JobClass]) -> Mapping[JobClass, str]:
        """Why no worker could run jobs of each class, in words; empty where one could, and where nothing is known.

        A hint: while the store is away or slow it is of what was known before, so that no call fails or waits for it.
        """
        if any(self._reason(each) for each in classes):
            with contextlib.suppress(StoreUnavailable, TimeoutError):
                async with asyncio.timeout(HINT_SECONDS):
                    await self.freshen()
        known = self._read_at > float("-inf")
        return {each: self._reason(each) if known else "" for each in classes}

    async def reasons_of(self, jobs: Sequence[Job]) -> list[str]:
        """The same for each of these jobs; empty for those that are not ready."""
        ready = [job for job in jobs if job.state is JobState.QUEUED]
        try:
            async with asyncio.timeout(HINT_SECONDS):
                classes = await self._leasing.classes_of(ready)
        except (StoreUnavailable, TimeoutError):
            return [""] * len(jobs)
        reasons = await self.blocked_reasons({each for each in classes if each is not None})
        found = iter(classes)
        return [self._listed(reasons, next(found)) if job.state is JobState.QUEUED else "" for job in jobs]

    @staticmethod
    def _listed(reasons: Mapping[JobClass, str], job_class: JobClass | None) -> str:
        return "" if job_class is None else reasons[job_class]

    def _reason(self, job_class: JobClass) -> str:
        if job_class not in self._reasons:
            self._reasons[job_class] = blocked_reason(job_class, self._abilities)
        return self._reasons[job_class]

    def is_blocked(self, job_class: JobClass) -> bool:
        """Whether it is known that no worker could run jobs of this class."""
        return self._read_at > float("-inf") and bool(self._reason(job_class))

    def slots(self, queue: str = "") -> Slots:
        """Of the workers that serve *queue* (empty: any) and do not drain."""
        taking = [w for w in self.workers if not w.draining and (not queue or queue in w.offer.queues)]
        return Slots(workers=len(taking), slots=sum(w.offer.slots for w in taking), busy=sum(w.busy for w in taking))


def _look_at(reading: asyncio.Task[None]) -> None:
    if not reading.cancelled():
        reading.exception()
