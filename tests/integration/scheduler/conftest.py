"""A real Redis or Valkey, a store on it, and a clock that is moved, not waited for."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from support.invariants import Keyspace
from support.redis_server import RedisServer
from support.running_scheduler import Running, running_scheduler
from support.store_bench import WORKER, Bench
from telecine_scheduler.domain.admission import Admission
from telecine_scheduler.domain.lease import Endings, Times
from telecine_scheduler.store.classes import ClassTable
from telecine_scheduler.store.job_store import JobStore
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.lane import Lane
from telecine_scheduler.store.link import close, connect


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    # A short path: a unix socket's has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="tc") as folder:
        server = RedisServer(Path(folder), appendonly="no", appendfsync="no")
        server.start()
        yield server
        server.stop()


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=str(redis_server.socket)) as client:
        client.flushall()
        yield client


@pytest.fixture
async def bench(redis_server: RedisServer, client: redis.Redis) -> AsyncIterator[Bench]:
    """Ends with the invariants checked."""
    times = Times()
    redis_clients = [connect(redis_server.url) for _ in range(2)]
    lanes = [
        Lane(name, each, prefix(), lambda *_: None)
        for name, each in zip(("durable", "fast"), redis_clients, strict=True)
    ]
    running = [asyncio.create_task(lane.run()) for lane in lanes]
    store = JobStore(
        durable=lanes[0], fast=lanes[1], scheduler="a", times=times, admission=Admission(max_queued=5, max_queued_per_tenant=4),
        endings=Endings(
            worker_lost=b"lost", queue_timeout=b"queue", total_timeout=b"total", run_timeout=b"run", poison=b"poison"
        ),
    )  # fmt: skip
    await store.register(WORKER)
    await store.sweep()
    async with asyncio.timeout(30):
        yield Bench(store=store, client=client, classes=ClassTable(lanes[1]), times=times)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for each in redis_clients:
        await close(each)
    assert [] == Keyspace(client).violations()


@pytest.fixture
async def scheduler(redis_server: RedisServer, client: redis.Redis) -> AsyncIterator[Running]:
    """A whole scheduler. Ends with the invariants checked."""
    async with asyncio.timeout(60), running_scheduler(redis_server.url) as running:
        yield running
    assert [] == Keyspace(client).violations()
