"""How streams end, and what an end is taken for."""

from __future__ import annotations

import asyncio

import pytest
import redis

from support.redis_server import RedisServer
from support.rpc_errors import read
from support.running_scheduler import Running, ScriptedWorker, running_scheduler
from telecine.v1 import job_pb2
from telecine.v1 import lease_service_pb2 as lease_pb
from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.domain.lease import Acknowledgement, Report
from telecine_scheduler.store.job_store import JobStore
from telecine_scheduler.store.keys import prefix


async def test_an_outcome_that_is_not_taken_in_yet_keeps_its_lease(
    redis_server: RedisServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis was away for a moment in the middle of the Hello: the worker says it again, and it counts."""
    finish, away = JobStore.finish, [True]

    async def finish_later(store: JobStore, report: Report) -> Acknowledgement:
        if away:
            away.pop()
            raise StoreUnavailable("away")
        return await finish(store, report)

    monkeypatch.setattr(JobStore, "finish", finish_later)
    async with asyncio.timeout(60), running_scheduler(redis_server.url) as scheduler:
        await scheduler.submit()
        async with ScriptedWorker(scheduler.address) as worker:
            await worker.welcome()
            lease = (await worker.grant()).lease
            await worker.accept(lease)
        outcomes = [lease_pb.Outcome(lease=lease, succeeded=job_pb2.JobResult())]
        async with ScriptedWorker(scheduler.address, stream_epoch=2, unconfirmed_outcomes=outcomes) as worker:
            [ack] = (await worker.welcome()).outcome_acks
            again = await worker.finish(lease, succeeded=job_pb2.JobResult())
        job = await scheduler.get()

    assert (lease_pb.OutcomeAck.ACK_TRY_AGAIN, "COMMITTED") == (ack.ack, again)
    assert (job_pb2.JOB_STATE_SUCCEEDED, 1) == (job.state, job.attempt_count)


async def test_refused_hellos_are_no_mass_of_ends(scheduler: Running, client: redis.Redis) -> None:
    """Six processes come with an id that is taken, just before its worker dies: it was only one, and its lease is shortened."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        await worker.accept((await worker.grant()).lease)
        for number in range(6):
            async with ScriptedWorker(scheduler.address, session_id=f"twin{number}") as twin:
                assert "ALREADY_CONNECTED" == read(await twin.error()).reason
    async with asyncio.timeout(10):
        while client.hget(f"{prefix()}w:w1", "up") != b"0":
            await asyncio.sleep(0.01)

    ((_, end),) = client.zrange(f"{prefix()}lease", 0, -1, withscores=True)
    assert end - float(client.hget(f"{prefix()}meta", "clock") or 0) < 10_000_000  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [99, job_pb2.Failure.KIND_UNSPECIFIED])
async def test_a_failure_of_an_unknown_kind_is_taken(scheduler: Running, kind: int) -> None:
    """A newer worker's, or none: it counts as unknown, is tried once more, and neither stream nor Hello ends over it."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        grant = await worker.grant()
        outcome = lease_pb.Outcome(lease=grant.lease, failed=job_pb2.Failure(reason="NEW", message="m"))
        outcome.failed.kind = kind  # type: ignore[assignment]
        ack = await worker.finish(grant.lease, failed=outcome.failed)
    async with ScriptedWorker(scheduler.address, stream_epoch=2, unconfirmed_outcomes=[outcome]) as worker:
        welcome = await worker.welcome()

    failure = (await scheduler.get()).failure
    assert ("RETRYING", [lease_pb.OutcomeAck.ACK_ALREADY]) == (ack, [each.ack for each in welcome.outcome_acks])
    assert (job_pb2.Failure.KIND_UNKNOWN, "NEW") == (failure.kind, failure.reason)
