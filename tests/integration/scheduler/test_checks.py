"""What a scheduler finds out about a server before it trusts it, on servers set up wrongly on purpose."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from support.redis_server import RedisServer
from telecine_scheduler.store.checks import Checks, Durability, UnfitStore
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.link import close, connect

Start = Callable[..., Checks]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a server with these settings, and gives the checks of it."""
    clients = []
    with ExitStack() as stack:

        def started(durability: Durability, *, assume_durable: bool = False, **settings: str) -> Checks:
            server = RedisServer(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tc"))), **settings)
            stack.callback(server.stop)
            server.start()
            clients.append(connect(server.url))
            return Checks(clients[-1], prefix(), durability, assume_durable=assume_durable)

        yield started
        for client in clients:
            await close(client)


async def test_a_synced_file_is_durable(start: Start) -> None:
    """appendfsync always needs nothing more: acknowledgements come after the sync by themselves."""
    assert (False, []) == await start(Durability.FSYNC).run()


async def test_a_file_synced_each_second_needs_waiting(start: Start) -> None:
    """With everysec, fsync waits for WAITAOF where the server has it, with a warning, and is refused where it has not."""
    checks = start(Durability.FSYNC, appendfsync="everysec")
    try:
        synced, [warning] = await checks.run()
    except UnfitStore as error:
        assert "WAITAOF" in str(error)
    else:
        assert (True, True) == (synced, "appendfsync is everysec" in warning)


@pytest.mark.parametrize("durability", [Durability.FSYNC, Durability.EVERYSEC])
async def test_no_file_is_not_durable(start: Start, durability: Durability) -> None:
    """Without the append-only file only `memory` is honest."""
    with pytest.raises(UnfitStore, match="appendonly yes"):
        await start(durability, appendonly="no").run()


async def test_memory_says_what_it_is(start: Start) -> None:
    """It is allowed, and named."""
    _, [warning] = await start(Durability.MEMORY, appendonly="no").run()
    assert "loses jobs" in warning


async def test_a_server_that_evicts_is_refused(start: Start) -> None:
    """A server that may throw keys away must not keep jobs."""
    with pytest.raises(UnfitStore, match="set maxmemory-policy noeviction"):
        await start(Durability.FSYNC, maxmemory_policy="allkeys-lru").run()


async def test_quorum_is_not_there_yet(start: Start) -> None:
    """It is refused by name rather than taken for something weaker."""
    with pytest.raises(UnfitStore, match="quorum is not there yet"):
        await start(Durability.QUORUM).run()


async def test_another_schema_is_refused(start: Start) -> None:
    """Data of a version this scheduler does not know is left alone."""
    checks = start(Durability.FSYNC)
    await checks.run()
    with redis.Redis(unix_socket_path=checks._client.connection_pool.connection_kwargs["path"]) as client:
        client.hset(f"{prefix()}meta", "schema", "999")
    with pytest.raises(UnfitStore, match="999"):
        await checks.run()
