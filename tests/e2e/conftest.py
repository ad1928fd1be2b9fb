"""One whole system for the tests of this folder; each uses jobs of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import redis

from support.ffmpeg_under_test import make_clip
from support.invariants import Keyspace
from support.processes import Live, System
from telecine_client import AsyncClient


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """Two schedulers and a worker with two slots. Ends with the invariants checked."""
    with System() as system:
        scheduler = system.scheduler("first").start()
        second = system.scheduler("second").start()
        worker = system.worker(scheduler.ready["grpc"], TELECINE_SLOTS="2").start()
        source = make_clip(system.media / "source.mp4", seconds=4)
        yield Live(system=system, scheduler=scheduler, second=second, worker=worker, source=source)
        assert 0 == worker.stop()
        assert 0 == second.stop()
        assert 0 == scheduler.stop()
        with redis.Redis(unix_socket_path=str(system.redis.socket)) as client:
            assert [] == Keyspace(client).violations()


@pytest.fixture
async def client(live: Live) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(live.address) as client:
        yield client
