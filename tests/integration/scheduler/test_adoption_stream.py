"""Workers whose leases a failover of Redis lost, over a whole scheduler: they go on, and what they did counts."""

from __future__ import annotations

import asyncio

import pytest
import redis

from support.redis_server import RedisServer
from support.running_scheduler import Running, ScriptedWorker, running_scheduler
from telecine.v1 import job_pb2
from telecine.v1 import lease_service_pb2 as pb
from telecine_scheduler.rpc import hello_admission
from telecine_scheduler.store.keys import prefix

META = f"{prefix()}meta"
SUCCEEDED = job_pb2.JobResult()


def lost(client: redis.Redis, job_id: str = "job") -> pb.LeaseRef:
    """A lease of the job that the server before gave and this one does not have."""
    clock = int(client.hget(META, "clock") or 0)
    client.hset(META, mapping={"lost_from": clock, "lost_to": clock + 1_000_000})
    return pb.LeaseRef(tenant="default", job_id=job_id, token=clock + 1)


async def test_a_hello_takes_its_leases_up_again(scheduler: Running, client: redis.Redis) -> None:
    """The verdict is KEEP, the job runs on this worker, and its outcome is committed."""
    await scheduler.submit()
    ref = lost(client)

    async with ScriptedWorker(scheduler.address, held_leases=[pb.Renewal(lease=ref, sequence=7)]) as worker:
        welcome = await worker.welcome()
        running = await scheduler.get()
        ack = await worker.finish(ref, succeeded=SUCCEEDED)

    [result] = welcome.renew_results
    assert pb.RenewResult.VERDICT_KEEP == result.verdict
    assert (job_pb2.JOB_STATE_RUNNING, 1, "w1") == (running.state, running.attempt_count, running.attempts[0].worker_id)
    assert "ADOPTED" == running.recent_changes[-1].reason
    assert ("COMMITTED", job_pb2.JOB_STATE_SUCCEEDED) == (ack, (await scheduler.get()).state)
    assert {"leases_adopted_total": 1} == await scheduler.samples("leases_adopted_total")


async def test_an_outcome_that_waited_is_taken(scheduler: Running, client: redis.Redis) -> None:
    """The job had succeeded, and Redis lost even that it was granted: it is not run again."""
    await scheduler.submit()
    ref = lost(client)

    async with ScriptedWorker(
        scheduler.address, unconfirmed_outcomes=[pb.Outcome(lease=ref, succeeded=SUCCEEDED)]
    ) as worker:
        welcome = await worker.welcome()

    [ack] = welcome.outcome_acks
    assert pb.OutcomeAck.ACK_COMMITTED == ack.ack
    assert job_pb2.JOB_STATE_SUCCEEDED == (await scheduler.get()).state


async def test_a_hello_that_waits_takes_its_leases_up_again(
    scheduler: Running, redis_server: RedisServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its turn comes later; by then nobody else has the job."""
    monkeypatch.setattr(hello_admission, "AT_ONCE", 0)
    await scheduler.submit()
    ref = lost(client)
    async with (
        running_scheduler(redis_server.url) as busy,
        ScriptedWorker(busy.address, held_leases=[pb.Renewal(lease=ref, sequence=7)]),
        asyncio.timeout(10),
    ):
        while (await scheduler.get()).state != job_pb2.JOB_STATE_RUNNING:
            await asyncio.sleep(0.01)

    assert "w1" == (await scheduler.get()).attempts[0].worker_id


async def test_any_message_takes_a_lease_up_again(scheduler: Running, client: redis.Redis) -> None:
    """The stream outlived the failover, and the next message about each lease finds that it was lost."""
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        await scheduler.submit("renewed")
        keep = await worker.renew(lost(client, "renewed"), 3, fraction=0.5)
        await scheduler.submit("accepted")
        accepted = await worker.accept(lost(client, "accepted"))
        await scheduler.submit("published")
        allowed = await worker.publish(lost(client, "published"))

    assert {pb.RenewResult.VERDICT_KEEP} == {keep.verdict, accepted.verdict}
    assert pb.PublishDecision.DECISION_ALLOWED == allowed.decision
    assert 0.5 == (await scheduler.get("renewed")).progress.fraction
    assert {"leases_adopted_total": 3} == await scheduler.samples("leases_adopted_total")


async def test_a_job_that_somebody_else_has_is_not_given_up(scheduler: Running, client: redis.Redis) -> None:
    """The old lease is stale; the new one stays."""
    await scheduler.submit()
    ref = lost(client)
    async with ScriptedWorker(scheduler.address) as first, ScriptedWorker(scheduler.address, worker_id="w2") as second:
        await asyncio.gather(first.welcome(), second.welcome())
        grant = await first.grant()
        await first.accept(grant.lease)

        assert "STALE" == await second.finish(ref, succeeded=SUCCEEDED)
        assert pb.RenewResult.VERDICT_KEEP == (await first.renew(grant.lease)).verdict
    assert {"leases_adopted_total": 0} == await scheduler.samples("leases_adopted_total")
