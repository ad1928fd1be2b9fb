"""On a Redis Cluster: each partition lives in the node that has its slot, wherever that is just now."""

from __future__ import annotations

import asyncio
import itertools
import time
import zlib
from collections.abc import Iterator

import pytest
import redis.exceptions

from support.cluster import Cluster
from support.invariants import Keyspace
from support.replicas import admin
from support.running_scheduler import ScriptedWorker, running_scheduler
from support.steady_callers import steady_callers
from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.store import lane
from telecine_scheduler.store.checks import Durability
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.link import ask, close, connect
from telecine_scheduler.store.locators import locator
from telecine_scheduler.store.servers import parse_servers
from telecine_scheduler.store.waits import Wait

# p0 and p1 share a node, p2 and p3 have one each.
PARTITIONS = 4
BACK_SECONDS = 8.0


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        yield cluster


def tenants() -> list[str]:
    """One of each partition, by its number."""
    found: dict[int, str] = {}
    for number in itertools.count():
        found.setdefault(partition_of(f"tenant{number}"), f"tenant{number}")
        if len(found) == PARTITIONS:
            return [found[partition] for partition in range(PARTITIONS)]
    raise AssertionError


def partition_of(tenant: str) -> int:
    """As the scheduler spreads them: stable for ever."""
    return zlib.crc32(tenant.encode()) % PARTITIONS


async def test_partitions_live_in_their_nodes(cluster: Cluster) -> None:
    """Each tenant's jobs are where the slot of its partition is, all nodes have some, and a worker is fed from all of them."""
    async with (
        asyncio.timeout(60), running_scheduler(cluster.url, partitions=PARTITIONS, durability=Durability.FSYNC) as running,
        ScriptedWorker(running.address, slots=PARTITIONS) as worker,
    ):  # fmt: skip
        await worker.welcome()
        async with steady_callers(running, tenants(), each=1):
            pass
        granted: set[str] = set()
        for limit in range(1, 4 * PARTITIONS + 1):
            granted.add((await worker.grant(limit)).lease.tenant)
            if len(granted) == PARTITIONS:
                break
    assert set(tenants()) == granted
    owners = [cluster.owner(prefix(number)) for number in range(PARTITIONS)]
    assert 3 == len({owner.port for owner in owners})
    for number, (owner, tenant) in enumerate(zip(owners, tenants(), strict=True)):
        with admin(owner) as client:
            assert client.exists(f"{prefix(number)}n:{tenant}")


async def test_a_slot_that_moves_is_followed(cluster: Cluster) -> None:
    """Once a partition's slot is in another node, it is served there, with all its jobs; another partition's callers notice
    nothing.
    """
    mine, other = tenants()[0], tenants()[3]
    source = cluster.owner(prefix(0))
    target = next(node for node in cluster.nodes if node is not source)
    async with (
        asyncio.timeout(60), running_scheduler(cluster.url, partitions=PARTITIONS) as running,
        steady_callers(running, [mine, other]) as [moved, stayed],
    ):  # fmt: skip
        await asyncio.to_thread(cluster.move, prefix(0), target)
        back = await moved.served(time.monotonic())
        assert back < BACK_SECONDS
        await stayed.served(time.monotonic())
        assert [] == stayed.refusals
    assert target is cluster.owner(prefix(0))
    with admin(target) as client:
        assert client.exists(f"{prefix(0)}meta")
        assert [] == Keyspace(client).violations()
    with admin(source) as client, pytest.raises(redis.exceptions.MovedError):
        client.hgetall(f"{prefix(0)}meta")


async def test_what_is_waited_for_follows_its_slot(cluster: Cluster) -> None:
    """MOVED says that nothing was done, also where there is something to wait for behind it: nobody is told of it."""
    key = prefix(1)
    source = cluster.owner(key)
    target = next(node for node in cluster.nodes if node is not source)
    client = connect(cluster.url, key)
    durable = lane.Lane("durable", client, key, lambda *_: None, wait=lambda: Wait(synced=False, replicas=0))
    running = asyncio.create_task(durable.run())
    try:
        async with asyncio.timeout(30):
            await durable.call("stats", (), ())
            # Back again too, so that partitions are where other tests want them.
            for owner in (target, source):
                await asyncio.to_thread(cluster.move, key, owner)
                await durable.call("stats", (), ())
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await close(client)


async def test_a_slot_that_is_half_moved_is_away(cluster: Cluster) -> None:
    """Between the first key that is moved and the last, scripts would see half a partition: none is run, on either node."""
    key = prefix(2)
    source = cluster.owner(key)
    target = next(node for node in cluster.nodes if node is not source)
    async with (
        asyncio.timeout(60), running_scheduler(cluster.url, partitions=PARTITIONS) as running,
        steady_callers(running, [tenants()[2]]) as [callers],
    ):  # fmt: skip
        with cluster.moving(key, target):
            await callers.refused()
            moving = time.monotonic()
            for _ in range(8):
                await callers.refused()
            assert callers.last_begun < moving
            with admin(target) as client:
                assert [] == client.keys(f"{key}*")
        await callers.served(time.monotonic())


async def test_a_node_that_dies_takes_only_its_partitions(cluster: Cluster) -> None:
    """The others' callers are served while it is away, and its own as soon as it is back."""
    node = cluster.owner(prefix(2))
    mine, other = tenants()[2], next(
        tenant for number, tenant in enumerate(tenants()) if cluster.owner(prefix(number)) is not node
    )  # fmt: skip
    async with (
        asyncio.timeout(60), running_scheduler(cluster.url, partitions=PARTITIONS, durability=Durability.FSYNC) as running,
        steady_callers(running, [mine, other]) as [gone, stayed],
    ):  # fmt: skip
        await asyncio.to_thread(node.kill)
        await gone.refused()
        await stayed.served(time.monotonic())
        assert [] == stayed.refusals
        await asyncio.to_thread(node.start)
        assert await gone.served(time.monotonic()) < BACK_SECONDS


async def test_a_cluster_is_found_through_any_node(cluster: Cluster) -> None:
    """Nodes of the URL that are not there do not matter while one of them is; with none of them the store is away."""
    alive = cluster.nodes[1].port
    client = connect(f"redis+cluster://127.0.0.1:1,127.0.0.1:{alive}", prefix(3))
    nowhere = connect("redis+cluster://127.0.0.1:1,127.0.0.1:2", prefix(3))
    try:
        found = await ask(lambda: client.hget(f"{prefix(3)}meta", "schema"), client)
        with pytest.raises(StoreUnavailable):
            await ask(nowhere.ping, nowhere)
    finally:
        await close(client)
        await close(nowhere)
    assert b"1" == found


async def test_a_password_that_is_asked_for_elsewhere_is_no_obstacle(cluster: Cluster) -> None:
    """Whoever is asked where the primary is, as sentinels are, may have no password where the servers of the data have one."""
    servers = parse_servers(cluster.url.replace("://", "://me:word@"))
    found = locator(servers, prefix(3))
    assert found is not None

    assert cluster.owner(prefix(3)).port == (await found.find()).port
