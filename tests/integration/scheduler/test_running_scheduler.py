"""The scheduler that tests run ends with them, however they end."""

from __future__ import annotations

import asyncio

import pytest
import redis

from support.redis_server import RedisServer
from support.running_scheduler import running_scheduler


async def test_a_test_that_fails_leaves_nothing_behind(redis_server: RedisServer, client: redis.Redis) -> None:
    """Its error is what is seen, and no scheduler goes on sweeping the store of the next test."""
    before = asyncio.all_tasks()
    with pytest.raises(KeyError, match="of the test"):
        async with asyncio.timeout(30), running_scheduler(redis_server.url):
            raise KeyError("of the test")

    assert {each.get_name() for each in before} == {each.get_name() for each in asyncio.all_tasks()}
