"""A replica takes over, or a server is started again: what a scheduler finds out and writes down before all else."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import grpc
import pytest
import redis

from support.invariants import Keyspace
from support.redis_server import RedisServer
from support.replicas import Pair, admin, info
from support.rpc_errors import refusal
from support.running_scheduler import Running, ScriptedWorker, running_scheduler
from support.steady_callers import steady_callers
from support.swallowing_proxy import SwallowingProxy
from telecine.v1 import lease_service_pb2 as lease_pb
from telecine_scheduler.store.checks import Durability, identity
from telecine_scheduler.store.keys import prefix

TTL = timedelta(seconds=6)


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


@contextlib.asynccontextmanager
async def one_address(
    pair: Pair, durability: Durability = Durability.FSYNC
) -> AsyncIterator[tuple[Running, SwallowingProxy]]:
    """A scheduler that reaches the pair through one address, which leads to the primary at first."""
    async with (
        asyncio.timeout(60), SwallowingProxy(pair.primary.port) as address,
        running_scheduler(address.url, durability=durability, ttl=TTL) as running,
    ):  # fmt: skip
        yield running, address


def server(of: RedisServer) -> str:
    """Which one it is just now, as partitions know it."""
    return identity(info(of, "server") | info(of, "replication"))


def meta(server: RedisServer) -> dict[str, int | str]:
    """What a partition knows of itself."""
    with admin(server) as client:
        found = {key.decode(): value.decode() for key, value in client.hgetall(f"{prefix()}meta").items()}
    return {key: value if key == "run" else int(value) for key, value in found.items()}


async def lost_grant(
    running: Running, pair: Pair, worker: ScriptedWorker
) -> tuple[lease_pb.LeaseRef, lease_pb.LeaseRef]:
    """Two leases, the second of which the replica never hears of, because it has taken over by then."""
    await worker.welcome()
    await running.submit("known")
    known = (await worker.grant(1)).lease
    await worker.accept(known)
    await running.submit("lost")
    pair.caught_up()
    pair.promote()
    return known, (await worker.grant(2)).lease


async def test_the_tokens_that_a_failover_lost_are_written_down(pair: Pair) -> None:
    """On the new primary the range of lost tokens has exactly those that were given after its last write; leases are frozen for
    a TTL; and what it gives from then on is greater.
    """
    async with one_address(pair) as (running, address), ScriptedWorker(running.address) as worker:
        known, lost = await lost_grant(running, pair, worker)
        address.server_port = pair.replica.port
        pair.primary.kill()
        async with asyncio.timeout(20):
            while meta(pair.replica)["run"] != server(pair.replica):
                await asyncio.sleep(0.01)

        found = meta(pair.replica)
        assert int(known.token) <= int(found["lost_from"]) < int(lost.token) <= int(found["lost_to"])
        assert int(lost.token) + TTL // timedelta(microseconds=1) <= int(found["frozen_until"])
        async with steady_callers(running):
            pass
        assert int((await worker.grant(3)).lease.token) > int(found["lost_to"])


async def test_a_restart_loses_no_token(pair: Pair) -> None:
    """A server that was started again with all its data has given none of the tokens of the range that is written down."""
    async with running_scheduler(pair.primary.url, ttl=TTL) as running, ScriptedWorker(running.address) as worker:
        await worker.welcome()
        await running.submit("job")
        token = int((await worker.grant()).lease.token)
        before = meta(pair.primary)
        # Long after the scheduler began, as far as the store knows.
        with admin(pair.primary) as client:
            client.hset(f"{prefix()}meta", "lost_to", int(before["lost_to"]) - 10 * TTL // timedelta(microseconds=1))
        await asyncio.to_thread(pair.primary.kill)
        await asyncio.to_thread(pair.primary.start)
        async with asyncio.timeout(20):
            while meta(pair.primary)["run"] == before["run"]:
                await asyncio.sleep(0.01)

        found = meta(pair.primary)
        assert token <= int(found["lost_from"]) < int(found["lost_to"])
        assert int(found["lost_to"]) < int(found["frozen_until"])


async def test_a_first_server_has_lost_nothing(pair: Pair) -> None:
    """An empty store begins with an empty range, so that no token of some other store is believed; nothing is frozen."""
    async with running_scheduler(pair.primary.url):
        found = meta(pair.primary)

    assert found["lost_from"] == found["lost_to"]
    assert "frozen_until" not in found
    assert server(pair.primary) == found["run"]


async def test_a_second_loss_within_a_ttl_keeps_the_first(pair: Pair) -> None:
    """Workers of before the first may not have been back when the server changes again."""
    async with running_scheduler(pair.primary.url, ttl=TTL):
        first = meta(pair.primary)
        with admin(pair.primary) as client:
            client.hset(f"{prefix()}meta", mapping={"lost_from": int(first["lost_to"]) - 1000, "run": "another"})
            client.client_kill_filter(_type="normal", skipme=True)
            while (found := meta(pair.primary))["run"] == "another":
                await asyncio.sleep(0.01)

    assert int(first["lost_to"]) - 1000 == found["lost_from"]
    assert int(found["lost_to"]) > int(first["lost_to"])


async def test_a_server_that_comes_back_knows_what_it_lost(pair: Pair) -> None:
    """A replica that takes over is never trusted, and the old primary takes its place again with what the replica had: the same
    process, which has lost what it gave last, and says so.
    """
    with admin(pair.replica) as client:
        client.config_set("appendonly", "no")
    async with one_address(pair) as (running, address), ScriptedWorker(running.address) as worker:
        _, lost = await lost_grant(running, pair, worker)
        address.server_port = pair.replica.port
        with admin(pair.primary) as client:
            client.replicaof("127.0.0.1", pair.replica.port)
            async with asyncio.timeout(20):
                while "appendonly yes" not in await not_ready(running):
                    await asyncio.sleep(0.01)
                while "up" != info(pair.primary, "replication")["master_link_status"]:
                    await asyncio.sleep(0.01)
            client.replicaof("NO", "ONE")
        address.server_port = pair.primary.port
        async with asyncio.timeout(20):
            while meta(pair.primary)["run"] != server(pair.primary):
                await asyncio.sleep(0.01)

        found = meta(pair.primary)
        assert int(found["lost_from"]) < int(lost.token) <= int(found["lost_to"])


async def test_a_new_primary_that_forbids_what_is_needed_is_not_trusted(pair: Pair) -> None:
    """NOPERM ends no scheduler: it says why it is not ready, and goes on when somebody has mended it."""
    async with one_address(pair) as (running, address):
        await running.submit("before")
        pair.caught_up()
        with admin(pair.replica) as client:
            client.acl_setuser("operator", enabled=True, nopass=True, keys=["*"], categories=["+@all"])
        with redis.Redis(port=pair.replica.port, username="operator", password="any") as client:
            client.execute_command("ACL", "SETUSER", "default", "-info")
            client.replicaof("NO", "ONE")
            address.server_port = pair.replica.port
            await asyncio.to_thread(pair.primary.kill)
            async with asyncio.timeout(20):
                while "may not do all that is needed" not in await not_ready(running):
                    await asyncio.sleep(0.01)
            refused = await refusal(running.submit("after"))
            assert ("STORE_UNAVAILABLE", True) == (refused.reason, refused.retry_seconds is not None)

            client.execute_command("ACL", "SETUSER", "default", "+info")
            async with steady_callers(running) as [callers]:
                await callers.served(time.monotonic())


async def test_classes_are_read_from_the_new_primary(pair: Pair) -> None:
    """A worker that is connected all the while is given a job of a class that only the new primary knows, though the old one is
    still there to be read.
    """
    async with (
        one_address(pair, Durability.MEMORY) as (running, address),
        ScriptedWorker(running.address, queues=["default", "late"]) as worker,
    ):  # fmt: skip
        await worker.welcome()
        await running.submit("known")
        await worker.accept((await worker.grant(1)).lease)
        await asyncio.to_thread(pair.caught_up)
        pair.promote()
        address.server_port = pair.replica.port
        with admin(pair.primary) as client:
            client.replicaof("127.0.0.1", 1)
        async with asyncio.timeout(20):
            while True:
                try:
                    await running.submit("new", queue="late")
                    break
                except grpc.aio.AioRpcError as error:
                    assert grpc.StatusCode.UNAVAILABLE is error.code()
                    await asyncio.sleep(0.05)
        assert "new" == (await worker.grant(2)).lease.job_id


async def test_no_connection_stays_at_a_server_that_is_none_to_write_to(pair: Pair) -> None:
    """Where the old primary is a replica before anybody says who took over, readers too do not come back to it: it would be
    silent about every change from then on.
    """
    async with one_address(pair, Durability.MEMORY) as (running, address):
        await running.submit("before")
        await asyncio.to_thread(pair.caught_up)
        with admin(pair.primary) as client:
            client.replicaof("127.0.0.1", 1)
            client.client_kill_filter(_type="normal", skipme=True)
            # Readers try again twice a second at least.
            for number in range(5):
                await refusal(running.submit(f"between{number}"))
            pair.promote()
            address.server_port = pair.replica.port
            async with steady_callers(running) as [callers]:
                await callers.served(time.monotonic())
            async with asyncio.timeout(10):
                while "telecine-scheduler" in {each["name"] for each in client.client_list()}:
                    await asyncio.sleep(0.01)


async def test_an_unfit_new_primary_is_not_trusted() -> None:
    """A replica that keeps nothing on disk takes over: nothing is written to it and nothing acknowledged, and the scheduler
    says why it is not ready, until somebody mends it.
    """
    with Pair() as pair:
        with admin(pair.replica) as client:
            client.config_set("appendonly", "no")
        async with one_address(pair) as (running, address):
            await running.submit("before")
            pair.caught_up()
            pair.promote()
            address.server_port = pair.replica.port
            await asyncio.to_thread(pair.primary.kill)
            async with asyncio.timeout(20):
                while "appendonly yes" not in await not_ready(running):
                    await asyncio.sleep(0.01)
            refused = await refusal(running.submit("after"))
            assert ("STORE_UNAVAILABLE", True) == (refused.reason, refused.retry_seconds is not None)
            assert server(pair.replica) != meta(pair.replica)["run"]

            with admin(pair.replica) as client:
                assert not client.exists(f"{prefix()}j:default:after")
                client.config_set("appendonly", "yes")
            async with steady_callers(running) as [callers]:
                await callers.served(time.monotonic())
            with admin(pair.replica) as client:
                assert [] == Keyspace(client).violations()


async def test_a_primary_that_becomes_a_replica_is_left(pair: Pair) -> None:
    """Both live on with their places changed: connections that are open lead to the old primary still, and are given up for
    their READONLY.
    """
    async with one_address(pair) as (running, address), steady_callers(running) as [callers]:
        await asyncio.to_thread(pair.caught_up)
        pair.promote()
        address.server_port = pair.replica.port
        with admin(pair.primary) as client:
            client.replicaof("127.0.0.1", pair.replica.port)
        # What was acknowledged since is lost with the old primary's data: `quorum` is for whoever minds.
        callers.acknowledged.clear()
        await callers.served(time.monotonic())
    assert server(pair.replica) == meta(pair.replica)["run"]


async def not_ready(running: Running) -> str:
    """What /readyz says."""
    host, _, port = running.metrics.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
    answer = (await reader.read()).decode()
    writer.close()
    return answer
