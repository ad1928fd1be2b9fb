"""Who gets what: the workers whose streams are here, and the leases that flow to them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence

from telecine_scheduler.domain.errors import StreamFenced
from telecine_scheduler.domain.job import Job
from telecine_scheduler.domain.lease import Lease, StreamId
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.domain.worker import WorkerReport
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.service.registration import Registration
from telecine_scheduler.service.worker_stream import WorkerStream
from telecine_scheduler.store.feed import Change
from telecine_scheduler.store.partition import Partition, Partitions
from telecine_scheduler.store.routed_store import RoutedStore

# What ends together is a balancer or a network, not so many workers: leases are then left alone.
MASS_SECONDS = 3.0
MASS_LEAST = 5
MASS_SHARE = 0.3


class Leasing:
    """The worker streams of this scheduler."""

    def __init__(self, partitions: Partitions, metrics: SchedulerMetrics) -> None:
        self.store = RoutedStore(partitions)
        # For a worker, which is about all partitions at once and asks again by itself.
        self.impatient_store = RoutedStore(partitions, patient=False)
        self.partitions = partitions
        self._registration = Registration(partitions, metrics)
        self._streams: dict[str, WorkerStream] = {}
        # Of these, the ones with units that nobody counts on, so that a submit does not look at all the busy ones.
        self._idle: dict[WorkerStream, None] = {}
        self._ended: deque[float] = deque()
        # Set at first, and when a worker came, went, or began to drain.
        self.news = asyncio.Event()
        self.news.set()
        self.draining = False

    async def open(self, stream: WorkerStream, held: Collection[Lease]) -> None:
        """Register a worker's stream, and end what an older process of that worker left.

        Raises AlreadyConnected and StreamFenced, and StoreUnavailable where no partition answers. The worker's outcomes and
        held leases have been applied by then.
        """
        await self._registration.open(stream, held)

    def attach(self, stream: WorkerStream) -> None:
        """Begin to dispatch to *stream*, unless a later one of its session is here already."""
        new = stream.id
        there = self._streams.get(new.worker_id)
        old = there.id if there else None
        if old and old.session_id == new.session_id and old.epoch > new.epoch:
            return
        self._streams[new.worker_id] = stream
        if there is not None:
            self._idle.pop(there, None)
        self.note(stream)
        self.news.set()

    def note(self, stream: WorkerStream) -> None:
        """What is free of a stream may have changed."""
        if stream.unpromised > 0 and self._streams.get(stream.id.worker_id) is stream:
            self._idle[stream] = None
        else:
            self._idle.pop(stream, None)

    def changed(self) -> None:
        """A worker came, went, or began to drain."""
        self.news.set()

    async def close(self, stream: WorkerStream, *, clean: bool) -> None:
        """A stream ended, or may never have begun.

        Its leases are shortened, unless that was agreed (*clean*) or many streams end together.
        """
        worker_id = stream.id.worker_id
        connected = len(self._streams)
        if self._streams.get(worker_id) is stream:
            del self._streams[worker_id]
            self._idle.pop(stream, None)
            self.news.set()
            if not clean:
                self._ended.append(asyncio.get_running_loop().time())
        shorten = not clean and not self.draining and not self._mass_ending(connected)
        await self._registration.close(stream, shorten=shorten)

    def _mass_ending(self, connected: int) -> bool:
        """Whether this end is one of many. Hellos that were refused, and streams that another one has followed, are none."""
        now = asyncio.get_running_loop().time()
        while self._ended and now - self._ended[0] > MASS_SECONDS:
            self._ended.popleft()
        return len(self._ended) >= max(MASS_LEAST, MASS_SHARE * (connected + len(self._ended) - 1))

    async def classes_of(self, jobs: Sequence[Job]) -> list[JobClass | None]:
        """The class of each of these jobs; None where it is gone. Raises StoreUnavailable."""
        where = [self.partitions.of(job.name.tenant) for job in jobs]
        unknown = {
            partition for partition, job in zip(where, jobs, strict=True) if job.class_id not in partition.classes
        }
        for partition in unknown:
            await partition.classes.refresh()
        return [partition.classes.job_class(job.class_id) for partition, job in zip(where, jobs, strict=True)]

    def reports(self, partition: Partition) -> list[WorkerReport]:
        """The workers whose streams are here, as far as *partition* knows them."""
        return [
            WorkerReport(stream=stream.id, offer=stream.offer, draining=stream.draining)
            for stream in self._streams.values()
            if stream.is_in(partition)
        ]

    def fence(self, stream: StreamId) -> None:
        """End a stream that is here and not its worker's newest."""
        there = self._streams.get(stream.worker_id)
        if there is not None and there.id == stream:
            there.on_fenced(StreamFenced(f"worker {stream.worker_id} has a later stream than epoch {stream.epoch}"))

    def idle_for(self, partition: Partition, job_class: JobClass) -> WorkerStream | None:
        """A worker here with room for a job of this class that no other submit counts on, where the class is known here."""
        if partition.classes.id_of(job_class) is None:
            return None
        units = job_class.units
        fitting = (s for s in self._idle if s.unpromised_to(partition) >= units and s.serves(job_class))
        return next(fitting, None)

    async def listen(self, partition: Partition) -> None:
        """Wait up to a second for the next wake-up of *partition*, and pass it on."""
        class_id = await partition.wake_ups.next()
        if class_id is None:
            return
        if class_id not in partition.classes:
            await partition.classes.refresh()
        for stream in self._streams.values():
            if class_id in stream.classes_in(partition):
                stream.want(partition)

    async def poll(self, partition: Partition) -> None:
        """Look for work for every idle worker: the safety net under the wake-ups. Tell the store what it has not heard."""
        if await self._registration.catch_up(partition):
            self.news.set()
        if any(stream.free for stream in self._streams.values()):
            await partition.classes.refresh()
        for stream in self._streams.values():
            stream.want(partition)

    def pass_on(self, partition: Partition, stream: WorkerStream) -> None:
        """A submit to *partition* counted on *stream* in vain: others may have room."""
        for each in self._streams.values():
            if each is not stream:
                each.want(partition)

    def follow(self, changes: list[Change]) -> None:
        """Pass on the cancels among *changes* that concern workers here."""
        for change in changes:
            stream = self._streams.get(change.worker_id) if change.cancel else None
            if stream and change.cancel:
                stream.on_cancel(change.cancel, change.cancel_grace)
