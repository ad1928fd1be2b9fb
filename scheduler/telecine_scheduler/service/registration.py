"""Makes every partition know which streams are open, whenever it can be told."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Collection
from datetime import timedelta

import structlog

from telecine_scheduler.domain.errors import AlreadyConnected, StoreUnavailable, StreamFenced
from telecine_scheduler.domain.lease import Lease, StreamId
from telecine_scheduler.domain.reply import RegisterReply
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.service.worker_stream import WorkerStream
from telecine_scheduler.store.partition import Partition, Partitions

log = structlog.get_logger(__name__)

# Of one worker while a partition is away: the first ones, which it may have heard begin, and the last one. The others never
# began there, however often a worker has come meanwhile.
MOST_ENDS = 16

# Streams that are registered together in a partition that is back.
MOST_AT_ONCE = 100


class Registration:
    """A partition that is away hears of a stream's begin and end when it is back, and grants it nothing before."""

    def __init__(self, partitions: Partitions, metrics: SchedulerMetrics) -> None:
        self._partitions = partitions
        self._metrics = metrics
        # Streams that have not been closed, by worker, and the partitions that may have heard them begin.
        self._open: dict[str, dict[WorkerStream, set[Partition]]] = defaultdict(dict)
        # Of these, the ones that a partition does not know yet, with what their workers held.
        self._pending: dict[Partition, dict[WorkerStream, Collection[Lease]]] = defaultdict(dict)
        # Of the pending ones, those that are being registered: an end that is told now could be heard before the begin.
        self._beginning: dict[Partition, set[WorkerStream]] = defaultdict(set)
        # Ends of streams that a partition has not heard of yet, by worker, and whether to shorten the leases.
        self._untold: dict[Partition, dict[str, dict[StreamId, bool]]] = defaultdict(dict)

    async def open(self, stream: WorkerStream, held: Collection[Lease]) -> None:
        """Register a worker's stream, and end what an older process of that worker left. `close` has to follow.

        Raises AlreadyConnected and StreamFenced, and StoreUnavailable where no partition answers.
        """
        self._open[stream.id.worker_id][stream] = set()
        asked = self._partitions.worth_asking()
        away = [partition for partition in self._partitions if partition not in asked]
        # One after the other until one has answered, which decides between two processes that come at the same time.
        while not await self._try_to_register(asked[0], stream, held, last=len(asked) == 1):
            away.append(asked.pop(0))
        others = asked[1:]
        # None goes on by itself when another one refuses: what it did after the close would stay.
        answers = await asyncio.gather(
            *(self._try_to_register(partition, stream, held) for partition in others), return_exceptions=True
        )
        for partition, answer in zip(others, answers, strict=True):
            if isinstance(answer, BaseException):
                raise answer
            if not answer:
                away.append(partition)
        for partition in away:
            self._pending[partition][stream] = held

    async def _try_to_register(
        self, partition: Partition, stream: WorkerStream, held: Collection[Lease], *, last: bool = False
    ) -> bool:
        """Whether it answered. Where it did not, it is told later, or for the *last* one StoreUnavailable is raised."""
        try:
            await self._begin(partition, stream, held)
            await partition.classes.refresh()
        except StoreUnavailable:
            if last:
                raise
            return False
        stream.joined(partition)
        return True

    async def _begin(
        self, partition: Partition, stream: WorkerStream, held: Collection[Lease], *, again: bool = False
    ) -> None:
        heard = self._open[stream.id.worker_id][stream]
        heard.add(partition)
        reply = await partition.store.register(stream.id)
        if reply is RegisterReply.ALREADY_CONNECTED:
            raise AlreadyConnected(
                f"a worker with the id {stream.id.worker_id} is connected; two processes must not share an id",
                retry_after=timedelta(seconds=5),
            )
        # Where it was tried before, the stream may be fenced by itself; reclaiming tells.
        if reply is RegisterReply.FENCED and not again:
            # What is registered there may have the same id, and does not end with this stream.
            heard.discard(partition)
            raise StreamFenced(
                f"epoch {stream.id.epoch} of worker {stream.id.worker_id} is not the newest; count up and reconnect"
            )
        await self._reclaim(partition, stream.id, held)

    async def _reclaim(self, partition: Partition, stream: StreamId, held: Collection[Lease]) -> None:
        """End the leases that the worker's record has and the worker has not."""
        own = [lease for lease in held if self._partitions.of(lease.name.tenant) is partition]
        outcomes = await partition.store.reclaim(stream, own)
        if outcomes:
            log.warning("leases reclaimed", worker_id=stream.worker_id, outcomes=outcomes)
        self._metrics.count_reclaimed(outcomes)

    async def close(self, stream: WorkerStream, *, shorten: bool) -> None:
        """A stream ended, or may never have begun. Every partition that may have heard it begin is told until it has heard:
        a worker whose stream counts as open could not come back as a new process.
        """
        heard = self._forget(stream)
        for partition in heard:
            ends = self._untold[partition].setdefault(stream.id.worker_id, {})
            if len(ends) == MOST_ENDS:
                ends.popitem()
            ends[stream.id] = shorten
        asked = [each for each in self._partitions.worth_asking() if each in heard and not self._begins(each, stream)]
        await asyncio.gather(*(self._try_to_tell(partition, stream.id, shorten) for partition in asked))

    def _forget(self, stream: WorkerStream) -> set[Partition]:
        """No longer open; the partitions that have to hear of it."""
        for pending in self._pending.values():
            pending.pop(stream, None)
        of_worker = self._open.get(stream.id.worker_id, {})
        heard = of_worker.pop(stream, set())
        if not of_worker:
            self._open.pop(stream.id.worker_id, None)
        for other, heard_of_other in of_worker.items():
            if other.id == stream.id:
                # The partitions cannot tell them apart: the last one's end is the end of both.
                heard_of_other.update(heard)
                return set()
        return heard

    def _begins(self, partition: Partition, stream: WorkerStream) -> bool:
        return stream in self._beginning[partition]

    async def _try_to_tell(self, partition: Partition, stream: StreamId, shorten: bool) -> None:
        with contextlib.suppress(StoreUnavailable):
            await self._tell_end(partition, stream, shorten)

    async def _tell_ends(self, partition: Partition) -> None:
        ends = [end for of_worker in self._untold[partition].values() for end in of_worker.items()]
        answers = await asyncio.gather(*(self._tell_end(partition, *end) for end in ends), return_exceptions=True)
        for answer in answers:
            if answer is not None:
                raise answer

    async def _tell_end(self, partition: Partition, stream: StreamId, shorten: bool) -> None:
        # Where the partition is still to hear of the next stream, it would take the worker for gone.
        await partition.store.disconnect(stream, shorten=shorten and not self._is_back(partition, stream))
        ends = self._untold[partition].get(stream.worker_id, {})
        ends.pop(stream, None)
        if not ends:
            self._untold[partition].pop(stream.worker_id, None)

    def _is_back(self, partition: Partition, stream: StreamId) -> bool:
        """Whether the worker has a later stream here, which has what it holds in *partition*."""
        return any(
            _follows(other.id, stream) and (other in self._pending[partition] or other.is_in(partition))
            for other in self._open.get(stream.worker_id, {})
        )

    async def catch_up(self, partition: Partition) -> bool:
        """Tell a partition what it has not heard; whether it knows streams that it did not know. Raises StoreUnavailable."""
        await self._tell_ends(partition)
        waiting = list(self._pending[partition])
        begun: list[WorkerStream] = []
        for start in range(0, len(waiting), MOST_AT_ONCE):
            group = waiting[start : start + MOST_AT_ONCE]
            answers = await asyncio.gather(
                *(self._begin_late(partition, each) for each in group), return_exceptions=True
            )
            for stream, answer in zip(group, answers, strict=True):
                if isinstance(answer, BaseException):
                    raise answer
                if answer:
                    begun.append(stream)
        # Of those that were closed while they were registered.
        await self._tell_ends(partition)
        return await self._join(partition, begun) if begun else False

    async def _begin_late(self, partition: Partition, stream: WorkerStream) -> bool:
        """Whether the partition knows the stream now, which may have been closed meanwhile."""
        held = self._pending[partition].get(stream)
        if held is None:
            return False
        self._beginning[partition].add(stream)
        try:
            await self._begin(partition, stream, held, again=True)
        except StreamFenced as error:
            self._pending[partition].pop(stream, None)
            stream.on_fenced(error)
            return False
        except AlreadyConnected:
            # The end of the stream before it was not heard of yet.
            log.warning("worker not registered yet", worker_id=stream.id.worker_id, partition=partition.number)
            return False
        finally:
            self._beginning[partition].discard(stream)
        return True

    async def _join(self, partition: Partition, begun: Collection[WorkerStream]) -> bool:
        """Let the partition grant leases to those that are still open; whether there are any."""
        await partition.classes.refresh()
        joined = [stream for stream in begun if stream in self._pending[partition]]
        for stream in joined:
            del self._pending[partition][stream]
            stream.joined(partition)
        return bool(joined)


def _follows(stream: StreamId, other: StreamId) -> bool:
    return stream.session_id != other.session_id or stream.epoch > other.epoch
