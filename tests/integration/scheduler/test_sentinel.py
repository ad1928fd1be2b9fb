"""Behind Sentinel: the primary is asked for, and asked for again when it dies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from support.invariants import Keyspace
from support.replicas import Pair, admin
from support.running_scheduler import running_scheduler
from support.sentinels import DOWN_MILLISECONDS, Sentinels
from support.steady_callers import steady_callers
from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.store.checks import Durability
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.link import ask, close, connect

# Four times what is promised after the sentinels find it dead.
BACK_SECONDS = DOWN_MILLISECONDS / 1000 + 4 * 5


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@pytest.fixture(scope="module")
def sentinels(pair: Pair) -> Iterator[Sentinels]:
    with Sentinels(pair) as sentinels:
        yield sentinels


async def test_a_service_that_the_sentinels_do_not_know(sentinels: Sentinels) -> None:
    """There is no primary of another name: the store is away, which a log can say."""
    client = connect(sentinels.url.replace("/jobs", "/other"), prefix())
    try:
        with pytest.raises(StoreUnavailable) as away:
            await ask(client.ping, client)
    finally:
        await close(client)
    assert "none of 3 asked says where the primary is" in str(away.value.__cause__)


async def test_a_dead_primary_is_replaced(pair: Pair, sentinels: Sentinels) -> None:
    """One sentinel and the primary die: callers are served by the replica as soon as the sentinels made it the primary, without
    a restart of ours, and what had been replicated is there.
    """
    async with (
        asyncio.timeout(60), running_scheduler(sentinels.url, durability=Durability.FSYNC) as running,
        steady_callers(running) as [callers],
    ):  # fmt: skip
        await asyncio.to_thread(pair.caught_up)
        sentinels.stop_one()
        died = time.monotonic()
        pair.primary.kill()
        await callers.refused()
        # What the replica had not been told yet was acknowledged and is lost: `quorum` is for whoever minds.
        callers.acknowledged.clear()
        back = await callers.served(died, seconds=50)
        assert back < BACK_SECONDS
    with admin(pair.replica) as client:
        assert [] == Keyspace(client).violations()
