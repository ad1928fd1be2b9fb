"""What a worker's stream asks for, and when: against a store of one number, in which order counts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.domain.job import JobName
from telecine_scheduler.domain.lease import Dispatched, Grant, Lease, StreamId
from telecine_scheduler.domain.worker import WorkerOffer
from telecine_scheduler.service.worker_stream import WorkerStream

OFFER = WorkerOffer(queues=frozenset(), capabilities=frozenset(), slots=4, version="")
A_GRANT = Grant(lease=Lease(name=JobName(tenant="a", job_id="j"), token=1), attempt=1, generation=1, units=1, spec=b"")


@dataclass(eq=False)
class Place:
    """A partition: how many jobs of one unit are queued there, and how many units the job before them needs."""

    queued: int = 0
    large: int = 0
    serving: bool = True
    away: bool = False
    asked: list[str] = field(default_factory=list)

    @property
    def store(self) -> Any:
        return self

    @property
    def classes(self) -> Any:
        return self

    def served_by(self, **_: object) -> dict[str, int]:
        return {"c": 1}

    async def dispatch(self, _: StreamId, *, free: int, classes: object, after_submit: bool) -> Dispatched:
        self.asked.append("after a submit" if after_submit else "asked")
        if self.away:
            raise StoreUnavailable("away")
        if self.large > free:
            return Dispatched(grants=[], waits=True)
        granted = min(free, self.queued)
        self.queued -= granted
        await asyncio.sleep(0)
        return Dispatched(grants=[A_GRANT] * granted, waits=False)

    async def submit(self) -> None:
        self.queued += 1


@dataclass
class Streams:
    """Those of a scheduler, who hear of what comes to nothing here."""

    passed_on: list[Any] = field(default_factory=list)

    def note(self, stream: WorkerStream) -> None: ...

    def changed(self) -> None: ...

    def pass_on(self, partition: Any, stream: WorkerStream) -> None:
        self.passed_on.append(partition)


@dataclass
class Rig:
    stream: WorkerStream
    streams: Streams
    taken: asyncio.Event
    grants: list[Grant]

    def submit(self, place: Place) -> bool:
        """As Submitting does; whether it counted on this worker."""
        if self.stream.unpromised_to(place) < 1:  # type: ignore[arg-type]
            return False
        self.stream.promise(place, 1)  # type: ignore[arg-type]
        self._sent = asyncio.ensure_future(place.submit())
        asyncio.get_running_loop().call_soon(self.stream.submitted, place)
        return True


async def settle() -> None:
    """Until every task has come to where it waits."""
    for _ in range(30):
        await asyncio.sleep(0)


@asynccontextmanager
async def rig_of(*places: Place) -> AsyncIterator[Rig]:
    taken, grants, streams = asyncio.Event(), list[Grant](), Streams()
    taken.set()

    async def room() -> None:
        await taken.wait()

    ignored: Callable[..., None] = lambda *_: None  # noqa: E731
    stream = WorkerStream(
        StreamId(worker_id="w", session_id="s", epoch=1), OFFER, streams, on_grants=grants.extend, on_cancel=ignored,
        on_fenced=ignored, room=room,
    )  # fmt: skip
    for place in places:
        stream.joined(place)  # type: ignore[arg-type]
    running = asyncio.create_task(stream.run())
    await settle()
    yield Rig(stream, streams, taken, grants)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("released_by", ["room", "credit"])
async def test_a_dispatch_comes_behind_the_submit_that_counts_on_it(released_by: str) -> None:
    """Also where the stream was set free in the very turn of the submit, and asks before it."""
    place = Place()
    async with rig_of(place) as rig:
        if released_by == "room":
            rig.stream.credit(4)
            await settle()
            rig.taken.clear()
            rig.stream.want(place)  # type: ignore[arg-type]
            await settle()
            rig.taken.set()
        else:
            rig.stream.credit(4)
        assert rig.submit(place)
        await settle()

        assert 1 == place.asked.count("after a submit")
        assert (0, [A_GRANT]) == (place.queued, rig.grants)


async def test_nothing_is_promised_while_a_larger_job_waits_for_room() -> None:
    """Submits to another partition would starve it, unit by unit; once it has room, or is away, they count again."""
    here, there = Place(large=2), Place()
    async with rig_of(here, there) as rig:
        rig.stream.credit(1)
        await settle()
        assert not rig.submit(there)

        rig.stream.credit(1)
        assert not rig.submit(there)
        await settle()
        assert not rig.submit(there)

        here.large, here.queued = 0, 1
        rig.stream.credit(2)
        await settle()
        assert [A_GRANT] == rig.grants
        assert rig.submit(there)


@pytest.mark.parametrize("how", ["serving", "away"])
async def test_a_partition_that_is_away_is_waited_for_no_more(how: str) -> None:
    """Whatever job there needed room: the others' go on."""
    here, there = Place(large=2), Place()
    async with rig_of(here, there) as rig:
        rig.stream.credit(1)
        await settle()
        setattr(here, how, how == "away")
        rig.stream.credit(1)
        await settle()

        assert rig.submit(there)


@pytest.mark.parametrize("why", ["waits", "full", "away"])
async def test_a_submit_that_counted_in_vain_is_passed_on(why: str) -> None:
    """Another worker may have room, and nobody else was woken."""
    place, other = Place(), Place()
    async with rig_of(place, other) as rig:
        rig.stream.credit(1)
        await settle()
        assert rig.submit(place)
        if why == "waits":
            place.large = 2
        elif why == "full":
            rig.stream.credit(0)
        else:
            place.serving = False
        await settle()

        assert [place] == rig.streams.passed_on


async def test_where_none_serves_it_is_asked_all_the_same() -> None:
    """Its answer says how it is; sweeps that are late must not stop grants."""
    place = Place(serving=False, queued=1)
    async with rig_of(place) as rig:
        rig.stream.credit(1)
        await settle()

        assert [A_GRANT] == rig.grants
