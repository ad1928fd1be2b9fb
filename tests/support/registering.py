"""A registration whose partitions are away, slow or back as a test says."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import Any

from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.domain.lease import StreamId
from telecine_scheduler.domain.reply import RegisterReply
from telecine_scheduler.service.registration import Registration


class Store:
    """Of one partition, which may be away; notes what it hears, and waits for *others* before it answers."""

    def __init__(self, *, away: bool = True, reply: RegisterReply = RegisterReply.OK) -> None:
        self.away = away
        self.known_away = False
        self.reply = reply
        self.begun: list[StreamId] = []
        self.heard: list[StreamId] = []
        self.shortened: list[bool] = []
        self.others = asyncio.Barrier(1)
        # Until it is set, nothing is answered to a begin.
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = asyncio.Event()

    async def register(self, stream: StreamId) -> RegisterReply:
        self.asked.set()
        await self.answers.wait()
        if self.away:
            raise StoreUnavailable("away")
        await self.others.wait()
        self.begun.append(stream)
        return self.reply

    async def reclaim(self, stream: StreamId, held: object) -> list[str]:
        return []

    async def disconnect(self, stream: StreamId, *, shorten: bool) -> None:
        if self.away:
            raise StoreUnavailable("away")
        await self.others.wait()
        self.heard.append(stream)
        self.shortened.append(shorten)


class Classes:
    """Of a partition; counts how often they are read."""

    def __init__(self) -> None:
        self.readings = 0

    async def refresh(self) -> None:
        self.readings += 1


class Metrics:
    """Has nothing to count."""

    def count_reclaimed(self, outcomes: list[str]) -> None:
        assert [] == outcomes


@dataclass(frozen=True, eq=False)
class Away:
    """What a registration needs of a partition."""

    store: Store
    number: int = 0
    classes: Classes = field(default_factory=Classes)


def registered(*stores: Store) -> tuple[Registration, Any]:
    """With a partition for each store; the last one of them."""

    class Partitions(list[Any]):
        def worth_asking(self) -> list[Any]:
            return [each for each in self if not each.store.known_away]

    made: Any = Partitions(map(Away, stores))
    metrics: Any = Metrics()
    return Registration(made, metrics), made[-1]


@dataclass(frozen=True, eq=False)
class Stream:
    """What a registration needs of one."""

    id: StreamId
    partitions: list[Any] = field(default_factory=list)

    def joined(self, partition: Any) -> None:
        self.partitions.append(partition)

    def is_in(self, partition: Any) -> bool:
        return partition in self.partitions


def stream(worker: int, epoch: int) -> Any:
    """One of many of a worker's session."""
    return Stream(StreamId(worker_id=f"w{worker}", session_id="s", epoch=epoch))


async def begun(registration: Registration, worker: int, epoch: int) -> Any:
    """A stream that may have been heard to begin."""
    made = stream(worker, epoch)
    with contextlib.suppress(StoreUnavailable):
        await registration.open(made, [])
    return made


async def ended(registration: Registration, worker: int, epoch: int) -> None:
    """A stream that was begun, and is over."""
    await registration.close(await begun(registration, worker, epoch), shorten=True)
