"""A partition around a store under test."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from support.redis_server import RedisServer
from support.store_bench import Bench
from telecine_scheduler.store.checks import Checks, Durability
from telecine_scheduler.store.feed import Feed, WakeUps
from telecine_scheduler.store.fitness import Fitness
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.link import close, connect
from telecine_scheduler.store.partition import Partition
from telecine_scheduler.store.store_watch import StoreWatch


@contextlib.asynccontextmanager
async def partition_of(bench: Bench, server: RedisServer, number: int = 0) -> AsyncIterator[Partition]:
    """One that serves, whatever its number with the bench's keys."""
    client = connect(server.url)
    lanes: Any = {"durable": bench.store._durable, "fast": bench.store._fast}
    checks = Checks(client, prefix(), Durability.MEMORY, assume_durable=False)
    partition = Partition(
        number=number, store=bench.store, classes=bench.classes, feed=Feed(client, prefix()),
        wake_ups=WakeUps(client, prefix(), "a"), fitness=Fitness(checks, prefix(), timedelta(seconds=30)),
        watch=StoreWatch(number), **lanes,
    )  # fmt: skip
    partition.checked.set()
    partition.watch.answered()
    try:
        yield partition
    finally:
        await close(client)
