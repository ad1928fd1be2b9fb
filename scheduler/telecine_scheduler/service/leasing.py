"""Who gets what: the workers whose streams are here, and the leases that flow to them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from datetime import timedelta

import structlog

from telecine_scheduler.domain.errors import AlreadyConnected, StoreUnavailable, StreamFenced
from telecine_scheduler.domain.lease import Grant, Lease, StreamId
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.domain.worker import WorkerOffer, WorkerReport
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.store.classes import ClassTable
from telecine_scheduler.store.feed import Change, WakeUps
from telecine_scheduler.store.job_store import JobStore, RegisterReply

log = structlog.get_logger(__name__)

# What ends together is a balancer or a network, not so many workers: leases are then left alone.
MASS_SECONDS = 3.0
MASS_LEAST = 5
MASS_SHARE = 0.3


class WorkerStream:
    """One worker's stream on this scheduler: how much may be granted to it, and where grants go."""

    def __init__(
        self, stream: StreamId, offer: WorkerOffer, leasing: Leasing, *, on_grants: Callable[[list[Grant]], None],
        on_cancel: Callable[[Lease, timedelta | None], None], on_fenced: Callable[[StreamFenced], None],
        room: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        self.id = stream
        self.offer = offer
        self.draining = False
        self.on_cancel = on_cancel
        self._leasing = leasing
        self._on_grants = on_grants
        self.on_fenced = on_fenced
        # Returns when earlier grants are on their way, so that they never gather here.
        self._room = room
        self._limit = 0
        self._granted = 0
        self._wanted = asyncio.Event()
        # Units that submits count on whose dispatch has not been sent yet.
        self._promised = 0
        self._asking = False

    @property
    def free(self) -> int:
        """Units that may be granted now."""
        return 0 if self.draining else max(0, self._limit - self._granted)

    @property
    def unpromised(self) -> int:
        """Units that are free, and that neither a submit nor a dispatch under way counts on."""
        return 0 if self._asking else self.free - self._promised

    def serves(self, job_class: JobClass) -> bool:
        """Whether the worker can run jobs of this class."""
        offer = self.offer
        return job_class.served_by(queues=offer.queues, capabilities=offer.capabilities, slots=offer.slots)

    def credit(self, limit: int, *, draining: bool = False) -> None:
        """The worker takes *limit* units in all, counted from the beginning of the stream; none where it drains."""
        self._limit = limit
        if draining != self.draining:
            self.draining = draining
            self._leasing.news.set()
        self._leasing.note(self)
        self.want()

    def want(self) -> None:
        """There may be something for this worker."""
        if self.free:
            self._wanted.set()

    def promise(self, units: int) -> None:
        """A submit that is about to be sent counts on this worker. `want` has to follow when it was."""
        self._promised += units
        self._leasing.note(self)

    async def run(self) -> None:
        """Dispatch whenever there is credit and perhaps work, one request at a time, until cancelled or fenced."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                while await self._dispatch():
                    pass
            except StreamFenced as error:
                self.on_fenced(error)
                return
            except StoreUnavailable:
                # The safety poll tries again once Redis is back.
                continue

    async def _dispatch(self) -> bool:
        """Whether there may be more."""
        await self._room()
        after_submit, self._promised = self._promised > 0, 0
        classes = self._leasing.classes_of(self.offer)
        free = self.free
        self._asking = bool(free and classes)
        self._leasing.note(self)
        if not self._asking:
            return False
        try:
            grants = await self._leasing.store.dispatch(self.id, free=free, classes=classes, after_submit=after_submit)
            self._granted += sum(grant.units for grant in grants)
        finally:
            self._asking = False
            self._leasing.note(self)
        if grants:
            self._on_grants(grants)
        return bool(grants)


class Leasing:
    """The worker streams of this scheduler."""

    def __init__(self, store: JobStore, classes: ClassTable, wake_ups: WakeUps, metrics: SchedulerMetrics) -> None:
        self.store = store
        self._classes = classes
        self._wake_ups = wake_ups
        self._metrics = metrics
        self._streams: dict[str, WorkerStream] = {}
        # Of these, the ones with units that nobody counts on, so that a submit does not look at all the busy ones.
        self._idle: dict[WorkerStream, None] = {}
        self._ended: deque[float] = deque()
        # Ends of streams that the store has not heard of yet.
        self._untold: list[tuple[StreamId, bool]] = []
        # Set at first, and when a worker came, went, or began to drain.
        self.news = asyncio.Event()
        self.news.set()
        self.draining = False

    async def open(self, stream: StreamId, held: Collection[Lease]) -> None:
        """Register a worker's stream, and end what an older process of that worker left.

        Raises AlreadyConnected and StreamFenced. The worker's outcomes and held leases have been applied by then.
        """
        reply = await self.store.register(stream)
        if reply is RegisterReply.ALREADY_CONNECTED:
            raise AlreadyConnected(
                f"a worker with the id {stream.worker_id} is connected; two processes must not share an id",
                retry_after=timedelta(seconds=5),
            )
        if reply is RegisterReply.FENCED:
            raise StreamFenced(
                f"epoch {stream.epoch} of worker {stream.worker_id} is not the newest; count up and reconnect"
            )
        await self.reclaim(stream, held)
        await self._classes.refresh()

    async def reclaim(self, stream: StreamId, held: Collection[Lease]) -> None:
        """End the leases that the worker's record has and the worker has not."""
        outcomes = await self.store.reclaim(stream, held)
        if outcomes:
            log.warning("leases reclaimed", worker_id=stream.worker_id, outcomes=outcomes)
        self._metrics.count_reclaimed(outcomes)

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

    async def close(self, stream: WorkerStream, *, clean: bool) -> None:
        """A stream ended, or may never have begun.

        Its leases are shortened, unless that was agreed (*clean*) or many streams end together. The store is told until it has
        heard: a worker whose stream counts as open could not come back as a new process.
        """
        worker_id = stream.id.worker_id
        connected = len(self._streams)
        if self._streams.get(worker_id) is stream:
            del self._streams[worker_id]
            self._idle.pop(stream, None)
            self.news.set()
        shorten = not clean and not self.draining and not self._mass_ending(connected)
        self._untold.append((stream.id, shorten))
        with contextlib.suppress(StoreUnavailable):
            await self._tell_ends()

    async def _tell_ends(self) -> None:
        while self._untold:
            stream, shorten = self._untold[0]
            await self.store.disconnect(stream, shorten=shorten)
            if self._untold and self._untold[0] == (stream, shorten):
                del self._untold[0]

    def _mass_ending(self, connected: int) -> bool:
        now = asyncio.get_running_loop().time()
        self._ended.append(now)
        while now - self._ended[0] > MASS_SECONDS:
            self._ended.popleft()
        return len(self._ended) >= max(MASS_LEAST, MASS_SHARE * (connected + len(self._ended) - 1))

    def classes_of(self, offer: WorkerOffer) -> dict[str, int]:
        """Ids and units of the classes that this worker can run."""
        return self._classes.served_by(queues=offer.queues, capabilities=offer.capabilities, slots=offer.slots)

    async def classes_with(self, ids: Collection[str]) -> dict[str, JobClass]:
        """The classes that have these ids, as far as there are such."""
        if any(each not in self._classes for each in ids):
            await self._classes.refresh()
        found = ((each, self._classes.job_class(each)) for each in ids)
        return {each: job_class for each, job_class in found if job_class is not None}

    def reports(self) -> list[WorkerReport]:
        """The workers whose streams are here."""
        return [
            WorkerReport(stream=stream.id, offer=stream.offer, draining=stream.draining)
            for stream in self._streams.values()
        ]

    def fence(self, stream: StreamId) -> None:
        """End a stream that is here and not its worker's newest."""
        there = self._streams.get(stream.worker_id)
        if there is not None and there.id == stream:
            there.on_fenced(StreamFenced(f"worker {stream.worker_id} has a later stream than epoch {stream.epoch}"))

    def idle_for(self, job_class: JobClass) -> WorkerStream | None:
        """A worker here with room for a job of this class that no other submit counts on, where the class is known here."""
        if self._classes.id_of(job_class) is None:
            return None
        fitting = (s for s in self._idle if s.unpromised >= job_class.units and s.serves(job_class))
        return next(fitting, None)

    async def listen(self) -> None:
        """Wait up to a second for the next wake-up, and pass it on."""
        class_id = await self._wake_ups.next()
        if class_id is None:
            return
        if class_id not in self._classes:
            await self._classes.refresh()
        for stream in self._streams.values():
            if class_id in self.classes_of(stream.offer):
                stream.want()

    async def poll(self) -> None:
        """Look for work for every idle worker: the safety net under the wake-ups. Tell the store what it has not heard."""
        await self._tell_ends()
        if any(stream.free for stream in self._streams.values()):
            await self._classes.refresh()
        for stream in self._streams.values():
            stream.want()

    def follow(self, changes: list[Change]) -> None:
        """Pass on the cancels among *changes* that concern workers here."""
        for change in changes:
            stream = self._streams.get(change.worker_id) if change.cancel else None
            if stream and change.cancel:
                stream.on_cancel(change.cancel, change.cancel_grace)
