"""One worker's stream on this scheduler: how much may be granted to it, by whom, and where grants go."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Protocol

from telecine_scheduler.domain.errors import StoreUnavailable, StreamFenced
from telecine_scheduler.domain.lease import Dispatched, Grant, Lease, StreamId
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.domain.worker import WorkerOffer
from telecine_scheduler.service.rotation import Rotation
from telecine_scheduler.store.partition import Partition


class Streams(Protocol):
    """Those of this scheduler, among which a stream is."""

    def note(self, stream: WorkerStream) -> None:
        """What is free of a stream may have changed."""

    def changed(self) -> None:
        """A worker began to drain, or no longer does."""

    def pass_on(self, partition: Partition, stream: WorkerStream) -> None:
        """A submit to *partition* counted on *stream* in vain: others may have room."""


class WorkerStream:
    """Asks one partition at a time, each for all that is free: units that one is asked for are not offered by another."""

    def __init__(
        self, stream: StreamId, offer: WorkerOffer, streams: Streams, *, on_grants: Callable[[list[Grant]], None],
        on_cancel: Callable[[Lease, timedelta | None], None], on_fenced: Callable[[StreamFenced], None],
        room: Callable[[], Awaitable[None]],
    ) -> None:  # fmt: skip
        self.id = stream
        self.offer = offer
        self.draining = False
        self.on_cancel = on_cancel
        self._streams = streams
        self._on_grants = on_grants
        self.on_fenced = on_fenced
        # Returns when earlier grants are on their way, so that they never gather here.
        self._room = room
        # Where the stream is registered: nobody else grants it anything.
        self._partitions: dict[Partition, None] = {}
        self._rotation = Rotation()
        self._limit = 0
        self._granted = 0
        self._wanted = asyncio.Event()
        # Units that submits to one partition count on whose dispatch has not been sent yet.
        self._promised = 0
        self._promised_to: Partition | None = None
        # Where such submits are in the lane: the next dispatch there stands behind them.
        self._submitted_to: Partition | None = None
        # Whose next job needs more room than is free. What others have must not starve it.
        self._waits_for: Partition | None = None
        self._asking = False

    @property
    def free(self) -> int:
        """Units that may be granted now."""
        return 0 if self.draining else max(0, self._limit - self._granted)

    @property
    def granted(self) -> int:
        """Units that were granted on this stream, ended ones included."""
        return self._granted

    @property
    def unpromised(self) -> int:
        """Units that are free, and that no submit, no dispatch under way and no larger job counts on."""
        return 0 if self._asking or self._waits_for is not None else self.free - self._promised

    def unpromised_to(self, partition: Partition) -> int:
        """As many of those as a submit to *partition* may count on: submits to one at a time do."""
        open_to_it = partition in self._partitions and self._promised_to in {None, partition}
        return self.unpromised if open_to_it else 0

    def serves(self, job_class: JobClass) -> bool:
        """Whether the worker can run jobs of this class."""
        offer = self.offer
        return job_class.served_by(queues=offer.queues, capabilities=offer.capabilities, slots=offer.slots)

    def classes_in(self, partition: Partition) -> dict[str, int]:
        """Ids and units of the classes there that the worker can run."""
        offer = self.offer
        return partition.classes.served_by(queues=offer.queues, capabilities=offer.capabilities, slots=offer.slots)

    def joined(self, partition: Partition) -> None:
        """The stream is registered there."""
        self._partitions[partition] = None
        self.want(partition)

    def is_in(self, partition: Partition) -> bool:
        """Whether the stream is registered there."""
        return partition in self._partitions

    def credit(self, limit: int, *, draining: bool = False) -> None:
        """The worker takes *limit* units in all, counted from the beginning of the stream; none where it drains."""
        self._limit = limit
        if draining != self.draining:
            self.draining = draining
            self._streams.changed()
        self._streams.note(self)
        self._rotation.others(self._partitions)
        self._go()

    def want(self, partition: Partition) -> None:
        """There may be something for this worker in *partition*."""
        if partition in self._partitions:
            self._rotation.likely(partition)
            self._go()

    def _go(self) -> None:
        if self.free:
            self._wanted.set()

    def promise(self, partition: Partition, units: int) -> None:
        """A submit that is about to be sent counts on this worker. `submitted` has to follow when it is in the lane."""
        self._promised += units
        self._promised_to = partition
        self._streams.note(self)

    def submitted(self, partition: Partition) -> None:
        """What counts on this worker is in the lane of *partition*."""
        self._submitted_to = partition
        self._rotation.first(partition)
        # Also where nothing is free any more: then it is passed on.
        self._wanted.set()

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

    async def _dispatch(self) -> bool:
        """Ask whose turn it is; whether another may be asked after it."""
        await self._room()
        partition = self._rotation.next(also_away=self._alone) if self.free else None
        after_submit = self._keep_promise(partition)
        if partition is None:
            self._streams.note(self)
            return False
        if self._waits_for is not partition:
            # It is away.
            self._waits_for = None
        classes = self.classes_in(partition)
        if not classes:
            return True
        try:
            answer = await self._ask(partition, classes, after_submit=after_submit)
        except StoreUnavailable:
            # The safety poll tries again once it is back.
            return True
        if answer.grants:
            self._on_grants([*answer.grants])
        if answer.waits:
            # Nobody is asked until more is free.
            self._rotation.first(partition)
            if after_submit:
                self._streams.pass_on(partition, self)
        elif answer.grants:
            self._rotation.likely(partition)
        return not answer.waits

    @property
    def _alone(self) -> bool:
        """Whether no partition serves: then each is asked all the same."""
        return not any(each.serving for each in self._partitions)

    def _keep_promise(self, partition: Partition | None) -> bool:
        """Whether submits that are in the lane of *partition*, which is asked now, count on that. Others are passed on."""
        submitted_to = self._submitted_to
        if submitted_to is None:
            return False
        self._promised, self._promised_to, self._submitted_to = 0, None, None
        if submitted_to is not partition:
            self._streams.pass_on(submitted_to, self)
        return submitted_to is partition

    async def _ask(self, partition: Partition, classes: dict[str, int], *, after_submit: bool) -> Dispatched:
        self._asking = True
        self._streams.note(self)
        try:
            answer = await partition.store.dispatch(self.id, free=self.free, classes=classes, after_submit=after_submit)
        except StoreUnavailable:
            self._waits_for = None
            raise
        else:
            self._granted += sum(grant.units for grant in answer.grants)
            self._waits_for = partition if answer.waits else None
            return answer
        finally:
            self._asking = False
            self._streams.note(self)
