"""Connections that go dead under a lane, and those that are only silent."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from support.redis_server import RedisServer
from support.replicas import admin, info
from support.steady_ports import steady_port
from support.swallowing_proxy import SwallowingProxy
from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.store.exchange import SILENT_SECONDS, Exchange
from telecine_scheduler.store.feed import Feed, WakeUps
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.lane import Lane
from telecine_scheduler.store.link import Replaced, close, connect


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="tc") as folder:
        server = RedisServer(Path(folder), port=str(steady_port()), appendonly="no", appendfsync="no")
        server.start()
        yield server
        server.kill()


@contextlib.asynccontextmanager
async def exchanging(url: str) -> AsyncIterator[tuple[Exchange, list[str]]]:
    """An exchange, and what it told of its connections."""
    client, told = connect(url), list[str]()
    try:
        async with asyncio.timeout(30):
            yield Exchange(client, lambda: told.append("dead")), told
    finally:
        await close(client)


@contextlib.asynccontextmanager
async def pair_of_lanes(url: str) -> AsyncIterator[tuple[Lane, Lane]]:
    """As a partition has them."""
    clients = [connect(url) for _ in range(2)]
    durable, fast = (
        Lane(name, each, prefix(), lambda *_: None) for name, each in zip(("durable", "fast"), clients, strict=True)
    )
    durable.pair_with(fast)
    running = [asyncio.create_task(lane.run()) for lane in (durable, fast)]
    try:
        async with asyncio.timeout(30):
            yield durable, fast
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for client in clients:
            await close(client)


async def test_a_dead_connection_is_replaced_once(server: RedisServer) -> None:
    """It is given up for a new one that is answered, and that one is used from then on: nothing else is connected."""
    async with SwallowingProxy(server.port) as proxy, exchanging(proxy.url) as (exchange, told):
        assert [b"PONG"] == await exchange.send([("PING",)])
        proxy.swallow()
        with pytest.raises(Replaced):
            await exchange.send([("PING",)])
        assert (["dead"], 2) == (told, proxy.connection_count)
        assert [b"PONG", b"PONG"] == await exchange.send([("PING",), ("PING",)])
        assert 2 == proxy.connection_count


async def test_a_server_that_waits_for_its_replicas_is_not_dead(server: RedisServer) -> None:
    """Once something was answered, silence means nothing for as long as the server was asked to wait."""
    milliseconds = round(SILENT_SECONDS * 1000) + 800
    async with exchanging(f"redis://127.0.0.1:{server.port}") as (exchange, told):
        replies = await exchange.send([("PING",), ("WAIT", 5, milliseconds)], wait_seconds=milliseconds / 1000)

    assert ([b"PONG", 0], []) == (replies, told)


async def test_a_dead_connection_is_found_soon_however_long_replicas_take(server: RedisServer) -> None:
    """What is asked before the wait is answered at once, or the connection is dead."""
    async with SwallowingProxy(server.port) as proxy, exchanging(proxy.url) as (exchange, told):
        await exchange.send([("PING",)])
        proxy.swallow()
        async with asyncio.timeout(10):
            with pytest.raises(Replaced):
                await exchange.send([("PING",), ("WAIT", 0, 0)], wait_seconds=60)
    assert ["dead"] == told


async def test_what_one_lane_finds_dead_the_other_does_not_use(server: RedisServer) -> None:
    """An idle lane's connection went dead with that of its partner: the next call on it is answered, not lost."""
    async with SwallowingProxy(server.port) as proxy, pair_of_lanes(proxy.url) as (durable, fast):
        await asyncio.gather(*(lane.call("stats", (), ()) for lane in (durable, fast)))
        proxy.swallow()
        with pytest.raises(StoreUnavailable):
            await durable.call("stats", (), ())

        await fast.call("stats", (), ())
        await durable.call("stats", (), ())


async def test_a_lane_under_way_is_looked_at_with_its_partner(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that is silent when the partner's connection is found dead does not have to wait its own time."""
    async with SwallowingProxy(server.port) as proxy, pair_of_lanes(proxy.url) as (durable, fast):
        await asyncio.gather(*(lane.call("stats", (), ()) for lane in (durable, fast)))
        proxy.swallow()
        first = asyncio.create_task(durable.call("stats", (), ()))
        async with asyncio.timeout(10):
            while durable._exchange._timer is None:
                await asyncio.sleep(0.01)
        monkeypatch.setattr("telecine_scheduler.store.exchange.SILENT_SECONDS", 60.0)
        monkeypatch.setattr("telecine_scheduler.store.lane.ANSWER_SECONDS", 60.0)
        second = asyncio.create_task(fast.call("stats", (), ()))
        async with asyncio.timeout(10):
            answers = await asyncio.gather(first, second, return_exceptions=True)
    assert [StoreUnavailable, StoreUnavailable] == [type(answer) for answer in answers]


async def test_a_server_that_became_a_replica_is_left_by_both_lanes(server: RedisServer) -> None:
    """The lane that only reads would not notice, and go on reading there."""
    async with pair_of_lanes(f"redis://127.0.0.1:{server.port}") as (durable, fast):
        await asyncio.gather(*(lane.call("stats", (), ()) for lane in (durable, fast)))
        before = connections(server)
        with admin(server) as client:
            client.replicaof("127.0.0.1", 1)
            try:
                with pytest.raises(StoreUnavailable):
                    await durable.call("resync", ("another", 1), ())
                await fast.call("stats", (), ())
            finally:
                client.replicaof("NO", "ONE")
        assert set() == before & connections(server)
        assert info(server, "replication")["role"] == "master"


async def test_readers_that_hang_are_soon_done(server: RedisServer) -> None:
    """A reader of the feed or of wake-ups blocks for a second; on a dead connection it does not block for ever."""
    async with SwallowingProxy(server.port) as proxy:
        clients = [connect(proxy.url) for _ in range(2)]
        feed, wake_ups = Feed(clients[0], prefix()), WakeUps(clients[1], prefix(), "a")
        try:
            async with asyncio.timeout(10):
                await feed.read()
                assert (([], False), None) == (await feed.read(), await wake_ups.next())
                proxy.swallow()
                ends = await asyncio.gather(feed.read(), wake_ups.next(), return_exceptions=True)
        finally:
            for client in clients:
                await close(client)
    assert [StoreUnavailable, StoreUnavailable] == [type(end) for end in ends]


def connections(server: RedisServer) -> set[str]:
    """Ours that are open."""
    with admin(server) as client:
        return {each["id"] for each in client.client_list() if each["name"] == "telecine-scheduler"}
