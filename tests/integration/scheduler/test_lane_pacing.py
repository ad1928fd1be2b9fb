"""When a lane sends on a real server: at once for who comes alone, fuller pipelines under load."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import redis

from support.redis_server import RedisServer
from telecine_scheduler.store import lane as lanes
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.lane import Lane
from telecine_scheduler.store.link import close, connect


@dataclass(kw_only=True)
class Paced:
    """A lane that nothing else uses, and how its pipelines ended."""

    lane: Lane
    pipelines: list[str] = field(default_factory=list)

    async def one(self) -> None:
        await self.lane.call("get", (), (b"default:none", 0))

    async def two(self) -> int:
        """Two calls, the second of which comes some turns of the loop later; in how many pipelines they went."""
        before = len(self.pipelines)
        first = asyncio.create_task(self.one())
        for _ in range(20):
            await asyncio.sleep(0)
        await asyncio.gather(first, self.one())
        return len(self.pipelines) - before


@pytest.fixture
async def paced(
    redis_server: RedisServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Paced]:
    """Pauses are long, so that it is seen whether there was one."""
    monkeypatch.setattr(lanes, "FILL_SECONDS", 0.5)
    monkeypatch.setattr(lanes, "SHORT_CHAIN", 3)
    connection = connect(redis_server.url)
    pipelines: list[str] = []
    lane = Lane("fast", connection, prefix(), lambda _, __, outcome: pipelines.append(outcome))
    running = asyncio.create_task(lane.run())
    async with asyncio.timeout(20):
        yield Paced(lane=lane, pipelines=pipelines)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await close(connection)


async def test_a_short_chain_meets_no_pause(paced: Paced, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few calls one after the other are each sent as they come."""
    monkeypatch.setattr(lanes, "FILL_SECONDS", 3600.0)
    await paced.one()

    assert 2 == await paced.two()


async def test_pipelines_fill_under_load(paced: Paced) -> None:
    """After more of them without a break, calls that come a little apart share one."""
    for _ in range(4):
        await paced.one()

    assert 1 == await paced.two()


async def test_a_pipeline_that_is_full_enough_is_not_waited_for(paced: Paced, monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that are there already go at once."""
    for _ in range(4):
        await paced.one()
    monkeypatch.setattr(lanes, "FILL_SECONDS", 3600.0)
    await asyncio.gather(*(paced.one() for _ in range(lanes.ENOUGH)))

    assert 5 == len(paced.pipelines)
