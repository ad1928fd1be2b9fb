"""quorum: nothing is acknowledged before enough replicas have it. WAITAOF where the server has it, WAIT where it has not."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator

import grpc
import pytest
import redis

from support.invariants import Keyspace
from support.replicas import Pair, admin
from support.rpc_errors import Refusal, refusal
from support.running_scheduler import Running, running_scheduler
from telecine_scheduler.store.checks import Checks, Durability, UnfitStore
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.link import close, connect
from telecine_scheduler.store.waits import Wait

QUORUM = Durability.QUORUM


@pytest.fixture
def pair() -> Iterator[Pair]:
    with Pair() as pair:
        yield pair


async def checked(pair: Pair, **settings: str | int) -> tuple[Wait | None, str]:
    """What the checks of `quorum` find, with these settings of the primary."""
    with admin(pair.primary) as operator:
        for name, value in settings.items():
            operator.config_set(name.replace("_", "-"), value)
    client = connect(pair.primary.url)
    try:
        verdict = await Checks(client, prefix(), QUORUM, assume_durable=False).run()
    finally:
        await close(client)
    return verdict.wait, " ".join(verdict.warnings)


def has_waitaof(pair: Pair) -> bool:
    with admin(pair.primary) as client:
        try:
            client.waitaof(0, 0, 1)
        except redis.ResponseError:
            return False
        return True


async def test_quorum_waits_for_what_the_server_can_tell(pair: Pair) -> None:
    """The disks of all where there is WAITAOF; else the memory of the replicas, while the primary syncs by itself."""
    wait, warnings = await checked(pair, min_replicas_to_write=1)

    assert (Wait(synced=has_waitaof(pair), replicas=1), "") == (wait, warnings)


async def test_a_primary_that_may_be_cut_off_is_warned_of(pair: Pair) -> None:
    """Without min-replicas-to-write it would take writes that nobody will have."""
    _, warnings = await checked(pair)

    assert "min-replicas-to-write is 0" in warnings


async def test_replicas_that_keep_nothing_are_found_at_once(pair: Pair) -> None:
    """Such a one never says that it has synced: that is told at the start, and not to every caller. Where all that can be
    waited for is the memory of the replicas, it makes no difference.
    """
    with admin(pair.replica) as operator:
        operator.config_set("appendonly", "no")
    if has_waitaof(pair):
        with pytest.raises(UnfitStore, match=r"only 0 of 1 replicas .* set appendonly yes at every replica"):
            await checked(pair)
    else:
        assert Wait(synced=False, replicas=1) == (await checked(pair))[0]


async def refused_for_want_of_replicas(running: Running, job_id: str) -> Refusal:
    refused = await refusal(running.submit(job_id))
    assert (grpc.StatusCode.UNAVAILABLE, True) == (refused.code, refused.retry_seconds is not None)
    return refused


async def test_a_short_count_is_never_ok(pair: Pair) -> None:
    """While the replica does not confirm, a submit is UNAVAILABLE with an unknown outcome, and so is its repetition at another
    scheduler, which finds the job and writes nothing. Once it does, the same submit is acknowledged, and there is one job.
    """
    url = f"redis://127.0.0.1:{pair.primary.port}"
    async with (
        asyncio.timeout(60), running_scheduler(url, durability=QUORUM) as first,
        running_scheduler(url, durability=QUORUM) as second,
    ):  # fmt: skip
        await first.submit("before")
        os.kill(pair.replica.pid, signal.SIGSTOP)
        try:
            refused = await refused_for_want_of_replicas(first, "job")
            assert "only 0 of 1 replicas of Redis confirmed the write" in refused.message
            assert "repeat the call with the same job_id" in refused.message
            await refused_for_want_of_replicas(second, "job")
        finally:
            os.kill(pair.replica.pid, signal.SIGCONT)

        async with asyncio.timeout(20):
            while True:
                try:
                    await second.submit("job")
                    break
                except grpc.aio.AioRpcError as error:
                    assert grpc.StatusCode.UNAVAILABLE is error.code()
    with admin(pair.replica) as replica:
        assert replica.exists(f"{prefix()}j:default:job")
    with admin(pair.primary) as primary:
        assert b"2" == primary.hget(f"{prefix()}states", "Q")
        assert [] == Keyspace(primary).violations()
