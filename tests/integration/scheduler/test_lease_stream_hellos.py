"""Many workers that connect at once: each is served, nobody loses a lease by waiting, and too many are asked to come again."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest
import redis

from support.redis_server import RedisServer
from support.rpc_errors import read
from support.running_scheduler import Running, ScriptedWorker, running_scheduler
from telecine.v1 import job_pb2
from telecine.v1 import lease_service_pb2 as lease_pb
from telecine_scheduler.rpc import hello_admission
from telecine_scheduler.store.keys import prefix

Keep = lease_pb.RenewResult.VERDICT_KEEP
US = 1_000_000


async def connect(
    address: str, number: int, epoch: int = 1, held: list[lease_pb.Renewal] | None = None
) -> tuple[int, list[lease_pb.RenewResult]]:
    """As a worker does: refused, it comes again as it is told. How often it was refused, and what it was told in the end."""
    hello = {"worker_id": f"w{number}", "session_id": f"s{number}", "stream_epoch": epoch, "held_leases": held or []}
    refusals = 0
    while True:
        async with ScriptedWorker(address, **hello) as worker:
            try:
                welcome = await worker.welcome()
            except grpc.aio.AioRpcError:
                refused = read(await worker.error())
                assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_HELLOS") == (refused.code, refused.reason)
                assert refused.retry_seconds
                await asyncio.sleep(refused.retry_seconds)
                refusals += 1
                continue
            await worker.send(bye=lease_pb.Bye())
            await worker.call.done_writing()
            await worker.call.code()
            return refusals, list(welcome.renew_results)


async def test_forty_workers_at_once_are_served(redis_server: RedisServer, client: redis.Redis) -> None:
    """A scheduler is replaced: forty workers come to the other one with a lease each, and all keep it, within 15 s."""
    async with asyncio.timeout(60), running_scheduler(redis_server.url) as other:
        async with running_scheduler(redis_server.url) as scheduler:
            held = await asyncio.gather(*(_begun(scheduler, number) for number in range(40)))
        began = time.monotonic()
        answers = await asyncio.gather(*(connect(other.address, n, 2, [each]) for n, each in enumerate(held)))
        took = time.monotonic() - began
        leases = client.zcard(f"{prefix()}lease")

    assert [(0, [(each.lease, Keep)]) for each in held] == [
        (refusals, [(result.lease, result.verdict) for result in results]) for refusals, results in answers
    ]
    assert (40, True) == (leases, took <= 15)


async def _begun(scheduler: Running, number: int) -> lease_pb.Renewal:
    """One job that a worker of its own runs; its stream ended with Bye."""
    async with ScriptedWorker(scheduler.address, worker_id=f"w{number}", session_id=f"s{number}") as worker:
        await worker.welcome()
        await scheduler.submit(f"job{number}")
        lease = (await worker.grant()).lease
        await worker.accept(lease)
        await worker.send(bye=lease_pb.Bye())
        await worker.call.done_writing()
        await worker.call.code()
    return lease_pb.Renewal(lease=lease, sequence=1)


async def test_too_many_at_once_come_again(scheduler: Running, client: redis.Redis) -> None:
    """While Redis hangs for a moment a hundred come: eight are worked on, 64 wait, the others are told when to come again, and
    in the end all are served.
    """
    client.client_pause(2000)
    refusals = [each for each, _ in await asyncio.gather(*(connect(scheduler.address, n) for n in range(100)))]

    assert 28 <= sum(refusals)
    assert {"hellos_refused_total": float(sum(refusals)), "hellos_waiting": 0.0} == await scheduler.samples("hellos")


@pytest.mark.parametrize("waiting", [64, 0], ids=["waits", "refused"])
async def test_what_a_waiting_worker_holds_gets_its_full_time(
    redis_server: RedisServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, waiting: int
) -> None:
    """Its stream broke, which left it three seconds. Its Hello waits, or is refused: it has thirty again."""

    def left(scores: list[tuple[bytes, float]]) -> float:
        return scores[0][1] - float(client.hget(f"{prefix()}meta", "clock") or 0)  # type: ignore[arg-type]

    async with asyncio.timeout(60), running_scheduler(redis_server.url) as scheduler:
        await scheduler.submit()
        async with ScriptedWorker(scheduler.address) as worker:
            await worker.welcome()
            lease = (await worker.grant()).lease
            await worker.accept(lease)
        while left(client.zrange(f"{prefix()}lease", 0, -1, withscores=True)) > 4 * US:
            await asyncio.sleep(0.01)

        monkeypatch.setattr(hello_admission, "AT_ONCE", 0)
        monkeypatch.setattr(hello_admission, "MOST_WAITING", waiting)
        held = [lease_pb.Renewal(lease=lease, sequence=1)]
        async with (
            running_scheduler(redis_server.url) as busy,
            ScriptedWorker(busy.address, stream_epoch=2, held_leases=held) as waiter,
        ):
            if not waiting:
                assert "TOO_MANY_HELLOS" == read(await waiter.error()).reason
            while left(client.zrange(f"{prefix()}lease", 0, -1, withscores=True)) < 20 * US:
                await asyncio.sleep(0.01)
        # The progress of the Hello was left to be taken in when its turn comes.
        held[0].progress.fraction = 0.5
        async with ScriptedWorker(scheduler.address, stream_epoch=3, held_leases=held) as worker:
            assert Keep == (await worker.welcome()).renew_results[0].verdict
            assert 0.5 == (await scheduler.get()).progress.fraction
            assert "COMMITTED" == await worker.finish(lease, succeeded=job_pb2.JobResult())
