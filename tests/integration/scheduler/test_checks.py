"""What a scheduler finds out about a server before it trusts it, on servers set up wrongly on purpose."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from support.redis_server import RedisServer
from telecine_scheduler.domain.errors import StoreUnavailable
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


def operator(checks: Checks) -> redis.Redis:
    """A client of the same server for what operators do, which stays logged in whatever becomes of its user."""
    path = checks._client.connection_pool.connection_kwargs["path"]
    client = redis.Redis(unix_socket_path=path, single_connection_client=True)
    client.acl_setuser("operator", enabled=True, nopass=True, keys=["*"], categories=["+@all"])
    client.execute_command("AUTH", "operator", "")
    return client


async def test_a_synced_file_is_durable(start: Start) -> None:
    """appendfsync always needs nothing more: acknowledgements come after the sync by themselves."""
    verdict = await start(Durability.FSYNC).run()

    assert (None, ()) == (verdict.wait, verdict.warnings)


@pytest.mark.parametrize("durability", [Durability.FSYNC, Durability.QUORUM])
@pytest.mark.parametrize("assume_durable", [False, True])
async def test_a_file_synced_each_second_is_refused(start: Start, durability: Durability, assume_durable: bool) -> None:
    """Also where the server has WAITAOF, which may be answered before it has synced; nothing else can be assumed of what is
    there to be read.
    """
    with pytest.raises(UnfitStore, match=r"needs appendfsync always \(it is everysec\)"):
        await start(durability, assume_durable=assume_durable, appendfsync="everysec").run()


async def test_what_cannot_be_read_is_refused_unless_it_is_assumed(start: Start) -> None:
    """Managed services do not let settings be read: somebody has to know them."""
    checks = start(Durability.FSYNC)
    with operator(checks) as client:
        client.execute_command("ACL", "SETUSER", "default", "-config")
    with pytest.raises(UnfitStore, match=r"it is not readable.*TELECINE_DURABILITY_ASSUME=1"):
        await checks.run()
    checks._assume_durable = True
    assert "cannot be read" in (await checks.run()).warnings[0]


async def test_a_user_that_may_not_do_what_is_needed_is_named(start: Start) -> None:
    """NOPERM is no outage, and no defect."""
    checks = start(Durability.FSYNC)
    with operator(checks) as client:
        client.execute_command("ACL", "SETUSER", "default", "-hsetnx")
    with pytest.raises(UnfitStore, match=r"'hsetnx'.*give it"):
        await checks.run()


async def test_a_replica_is_refused_at_first_and_waited_for_later(start: Start) -> None:
    """Who says where Redis is has to name the primary; once it was one, or where others say it, a failover is under way."""
    checks = start(Durability.FSYNC)
    with operator(checks) as client:
        client.replicaof("127.0.0.1", 1)
        with pytest.raises(UnfitStore, match="is a slave; connect to the primary"):
            await checks.run()
        located = Checks(checks._client, prefix(), Durability.FSYNC, assume_durable=False, located=True)
        with pytest.raises(StoreUnavailable, match="is a slave"):
            await located.run()
        client.replicaof("NO", "ONE")
        await checks.run()
        client.replicaof("127.0.0.1", 1)
        with pytest.raises(StoreUnavailable, match="is a slave"):
            await checks.run()


async def test_a_server_that_was_a_replica_meanwhile_is_another(start: Start) -> None:
    """It has the same run id, and may have lost what it had."""
    checks = start(Durability.FSYNC)
    before, same = (await checks.run()).server, (await checks.run()).server
    with operator(checks) as client:
        client.replicaof("127.0.0.1", 1)
        client.replicaof("NO", "ONE")
        assert (await checks.run()).server.startswith(client.info("server")["run_id"])
    assert (before, True) == (same, before != (await checks.run()).server)


@pytest.mark.parametrize("durability", [Durability.FSYNC, Durability.EVERYSEC])
async def test_no_file_is_not_durable(start: Start, durability: Durability) -> None:
    """Without the append-only file only `memory` is honest."""
    with pytest.raises(UnfitStore, match="appendonly yes"):
        await start(durability, appendonly="no").run()


async def test_memory_says_what_it_is(start: Start) -> None:
    """It is allowed, and named."""
    verdict = await start(Durability.MEMORY, appendonly="no").run()
    assert "loses jobs" in verdict.warnings[0]


async def test_a_server_that_evicts_is_refused(start: Start) -> None:
    """A server that may throw keys away must not keep jobs."""
    with pytest.raises(UnfitStore, match="set maxmemory-policy noeviction"):
        await start(Durability.FSYNC, maxmemory_policy="allkeys-lru").run()


async def test_quorum_without_replicas_is_refused(start: Start) -> None:
    """It is refused by name rather than taken for something weaker."""
    with pytest.raises(
        UnfitStore, match=r"wants 1 replicas to confirm, and 0 are connected; .*TELECINE_QUORUM_REPLICAS"
    ):
        await start(Durability.QUORUM).run()


async def test_quorum_needs_the_file_too(start: Start) -> None:
    """What replicas have is no better than what the primary keeps."""
    with pytest.raises(UnfitStore, match="appendonly yes"):
        await start(Durability.QUORUM, appendonly="no").run()


async def test_the_number_of_partitions_stays(start: Start) -> None:
    """Another number than the data was written with would look for tenants where they are not; the same one is fine."""
    checks = start(Durability.FSYNC)
    checks._partitions = 3
    await checks.run()
    await checks.run()
    checks._partitions = 4
    with pytest.raises(
        UnfitStore, match=r"is in 3 partitions, and TELECINE_PARTITIONS is 4.* set TELECINE_PARTITIONS=3"
    ):
        await checks.run()


async def test_data_of_before_partitions_is_in_one(start: Start) -> None:
    """A store that an older scheduler began says nothing of partitions: it has one."""
    checks = start(Durability.FSYNC)
    await checks.run()
    checks._partitions = 1
    await checks.run()
    checks._partitions = 2
    with pytest.raises(UnfitStore, match="is in 1 partitions"):
        await checks.run()


async def test_another_schema_is_refused(start: Start) -> None:
    """Data of a version this scheduler does not know is left alone."""
    checks = start(Durability.FSYNC)
    await checks.run()
    with operator(checks) as client:
        client.hset(f"{prefix()}meta", "schema", "999")
    with pytest.raises(UnfitStore, match="999"):
        await checks.run()
