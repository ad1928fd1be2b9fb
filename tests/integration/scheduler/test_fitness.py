"""A connection waits until its server was looked at, and is the same one afterwards."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import redis
from redis.asyncio import UnixDomainSocketConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from support.redis_server import RedisServer
from telecine_scheduler.store.checks import Checks, Durability
from telecine_scheduler.store.fitness import Fitness
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.link import close, connect


@pytest.mark.parametrize("lost", [False, True])
async def test_a_greeting_goes_on_where_it_began(redis_server: RedisServer, client: redis.Redis, lost: bool) -> None:
    """A connection that was lost while its server was looked at, and made anew, was not greeted: it is not used."""
    looking = connect(redis_server.url)
    checks = Checks(looking, prefix(), Durability.MEMORY, assume_durable=False)
    fitness = Fitness(checks, prefix(), timedelta(seconds=30))
    connection = UnixDomainSocketConnection(path=str(redis_server.socket))
    try:
        async with asyncio.timeout(20):
            await connection.connect()
            greeting = asyncio.create_task(fitness.greet(connection))
            while not fitness._wanted.is_set():
                await asyncio.sleep(0.01)
            if lost:
                await connection.disconnect()
                await connection.connect()
            await fitness.look_at_next()
            if lost:
                with pytest.raises(RedisConnectionError, match="was lost"):
                    await greeting
            else:
                await greeting
        assert lost == (client.hget(f"{prefix()}meta", "run") is None)
    finally:
        await connection.disconnect()
        await close(looking)
