"""Crashes over a whole scheduler: poison is told as what it is, and a worker that comes back had not crashed."""

from __future__ import annotations

import pytest
import redis

from support.running_scheduler import Running, ScriptedWorker
from telecine.v1 import job_pb2, media_pb2
from telecine.v1 import lease_service_pb2 as pb
from telecine_scheduler.store.keys import prefix

CRASH = job_pb2.Failure(
    kind=job_pb2.Failure.KIND_CRASH, reason="FFMPEG_CRASHED", message="it was killed", log_tail="the log", exit_code=-9
)
POLICY = media_pb2.RetryPolicy(max_attempts=10)


async def crash(worker: ScriptedWorker, limit: int) -> str:
    grant = await worker.grant(limit)
    await worker.accept(grant.lease)
    return await worker.finish(grant.lease, failed=CRASH)


@pytest.mark.parametrize(("alone", "workers"), [(False, "2 workers"), (True, "1 worker")])
async def test_poison_is_told_as_such(scheduler: Running, alone: bool, workers: str) -> None:
    """The failure says how often the job crashed and on how many workers; its log is that of the last crash."""
    policy = media_pb2.RetryPolicy(max_attempts=10)
    policy.initial_backoff.FromMilliseconds(1)
    policy.max_backoff.FromMilliseconds(1)
    await scheduler.submit(retry_policy=policy)
    async with ScriptedWorker(scheduler.address) as first:
        await first.welcome()
        acks = [await crash(first, 1), await crash(first, 2)]
        if alone:
            acks.append(await crash(first, 3))
    if not alone:
        async with ScriptedWorker(scheduler.address, worker_id="w2") as second:
            await second.welcome()
            acks.append(await crash(second, 1))

    job = await scheduler.get()
    failure = job.failure
    assert ["RETRYING", "RETRYING", "COMMITTED"] == acks
    assert (job_pb2.JOB_STATE_FAILED, "POISON") == (job.state, job.recent_changes[-1].reason)
    assert (job_pb2.Failure.KIND_CRASH, "POISON", "the log", -9) == (
        failure.kind, failure.reason, failure.log_tail, failure.exit_code,
    )  # fmt: skip
    assert failure.message.startswith(f"the job crashed 3 times on {workers}: ")
    assert ["FFMPEG_CRASHED"] * 3 == [attempt.failure.reason for attempt in job.attempts]


async def test_a_worker_that_comes_back_is_counted(scheduler: Running, client: redis.Redis) -> None:
    """Its lease had run out and stays over; what that had cost the job is taken back once."""
    await scheduler.submit(retry_policy=POLICY)
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        grant = await worker.grant()
        await worker.accept(grant.lease)
        client.zadd(f"{prefix()}lease", {"default:job": 1})
        await scheduler.shows({"swept_total{action=lost}": 1})
        assert b"1" == client.hget(f"{prefix()}j:default:job", "cr")

        verdicts = [(await worker.renew(grant.lease, number)).verdict for number in (1, 2)]
        ack = await worker.finish(grant.lease, succeeded=job_pb2.JobResult())

    assert [pb.RenewResult.VERDICT_STALE] * 2 == verdicts
    assert ("STALE", None) == (ack, client.hget(f"{prefix()}j:default:job", "cr"))
    assert {"crashes_forgiven_total": 1} == await scheduler.samples("crashes_forgiven_total")
