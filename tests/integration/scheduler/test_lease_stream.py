"""LeaseService on a real server: the protocol as a worker meets it."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

import grpc
import pytest

from support.redis_server import RedisServer
from support.rpc_errors import read
from support.running_scheduler import Running, ScriptedWorker, a_spec, running_scheduler
from telecine.v1 import job_pb2, media_pb2
from telecine.v1 import lease_service_pb2 as lease_pb
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler import app

Code = grpc.StatusCode
Keep, Cancel, Stale = (
    lease_pb.RenewResult.VERDICT_KEEP, lease_pb.RenewResult.VERDICT_CANCEL, lease_pb.RenewResult.VERDICT_STALE,
)  # fmt: skip


@pytest.fixture
def unpolled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the safety net under the wake-ups; ask for it before the scheduler."""
    monkeypatch.setattr(app, "POLL_PERIOD", timedelta(hours=1))


async def test_a_job_from_grant_to_outcome(scheduler: Running) -> None:
    """Grant, accept, renew, publish, outcome: each is answered, and the job ends with the worker's result."""
    await scheduler.submit(priority=70)
    async with ScriptedWorker(scheduler.address) as worker:
        welcome = await worker.welcome()
        grant = await worker.grant()
        kept = await worker.accept(grant.lease)
        renewed = await worker.renew(grant.lease, fraction=0.5, phase=job_pb2.Progress.PHASE_ENCODING)
        running = await scheduler.get()
        allowed = await worker.publish(grant.lease)
        result = job_pb2.JobResult(artifacts=[job_pb2.Artifact(path="out.mp4", size_bytes=7)])
        ack = await worker.finish(grant.lease, succeeded=result)

    job = await scheduler.get()
    assert (1, timedelta(seconds=30)) == (welcome.protocol_version, welcome.lease_ttl.ToTimedelta())
    assert a_spec(priority=70) == media_pb2.JobSpec.FromString(grant.spec)
    assert f"default~job~1~{grant.lease.token}" == grant.staging_name
    assert (Keep, Keep, timedelta(seconds=30)) == (kept.verdict, renewed.verdict, kept.valid_for.ToTimedelta())
    assert (job_pb2.JOB_STATE_RUNNING, 0.5) == (running.state, running.progress.fraction)
    assert lease_pb.PublishDecision.DECISION_ALLOWED == allowed.decision
    assert ("COMMITTED", job_pb2.JOB_STATE_SUCCEEDED) == (ack, job.state)
    assert (["out.mp4"], 1.0) == ([artifact.path for artifact in job.result.artifacts], job.progress.fraction)
    assert [(1, "w1", job_pb2.Attempt.OUTCOME_SUCCEEDED)] == [(a.number, a.worker_id, a.outcome) for a in job.attempts]


async def test_credit_bounds_what_is_granted(scheduler: Running) -> None:
    """Never more units than the worker said, counted over the stream."""
    for number in range(4):
        await scheduler.submit(f"job{number}")
    async with ScriptedWorker(scheduler.address, slots=4) as worker:
        await worker.welcome()
        await worker.send(credit=lease_pb.Credit(limit=3))
        granted: list[str] = []
        while len(granted) < 3:
            granted += [grant.lease.job_id for grant in (await worker.read()).grants]
        # The answer to this shows that nothing else is on the way.
        await worker.send(
            renewals=[lease_pb.Renewal(lease=lease_pb.LeaseRef(tenant="default", job_id="none", token=1))]
        )
        response = await worker.read()

    assert (["job0", "job1", "job2"], 0, Stale) == (granted, len(response.grants), response.renew_results[0].verdict)


async def test_a_submit_reaches_an_idle_worker_at_once(unpolled: None, scheduler: Running) -> None:
    """A worker that waits is granted the job without any poll."""
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        first = asyncio.create_task(worker.grant())
        await scheduler.submit("warm")
        await worker.finish((await first).lease, succeeded=job_pb2.JobResult())
        waiting = asyncio.create_task(worker.grant(limit=2))
        await scheduler.submit("quick")
        grant = await waiting

    assert "quick" == grant.lease.job_id


async def test_a_burst_reaches_every_idle_worker_at_once(unpolled: None, scheduler: Running) -> None:
    """Four submits in one turn go to four idle workers, without any poll."""
    async with contextlib.AsyncExitStack() as stack:
        workers = []
        for number in range(4):
            worker = await stack.enter_async_context(ScriptedWorker(scheduler.address, worker_id=f"w{number}", slots=1))
            await worker.welcome()
            workers.append(worker)
        await scheduler.submit("warm")
        await workers[0].finish((await workers[0].grant()).lease, succeeded=job_pb2.JobResult())
        beat = lease_pb.Renewal(lease=lease_pb.LeaseRef(tenant="default", job_id="none", token=1))
        for number, worker in enumerate(workers):
            # The answer to the renewal comes after that to the dispatch, which found nothing.
            await worker.send(credit=lease_pb.Credit(limit=2 if number == 0 else 1), renewals=[beat])
            await worker.until(lambda response: response.renew_results)
        waiting = [asyncio.create_task(worker.until(lambda response: list(response.grants))) for worker in workers]
        await asyncio.gather(*(scheduler.submit(f"job{number}") for number in range(4)))
        grants = await asyncio.gather(*waiting)

    assert {f"job{number}" for number in range(4)} == {grant.lease.job_id for [grant] in grants}


async def test_a_job_submitted_elsewhere_reaches_an_idle_worker(
    unpolled: None, scheduler: Running, redis_server: RedisServer
) -> None:
    """The wake-up crosses schedulers: submitted through one, granted through another, without any poll."""
    async with running_scheduler(redis_server.url) as other, ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        for number in range(5):
            waiting = asyncio.create_task(worker.grant(limit=number + 1))
            await other.submit(f"job{number}")
            grant = await waiting
            assert f"job{number}" == grant.lease.job_id
            assert "COMMITTED" == await worker.finish(grant.lease, succeeded=job_pb2.JobResult())


async def test_a_cancel_reaches_the_worker(scheduler: Running, redis_server: RedisServer) -> None:
    """The order is pushed over the stream, whichever scheduler the cancel was said to; the outcome ends it."""
    await scheduler.submit()
    async with running_scheduler(redis_server.url) as other, ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        grant = await worker.grant()
        await worker.accept(grant.lease)
        answer = await other.jobs.CancelJob(pb.CancelJobRequest(job_id="job"))
        order = await worker.until(lambda response: response.cancel_orders and response.cancel_orders[0])
        verdict = (await worker.renew(grant.lease)).verdict
        decision = (await worker.publish(grant.lease)).decision
        ack = await worker.finish(grant.lease, cancelled=lease_pb.Outcome.Cancelled())

    assert job_pb2.JOB_STATE_CANCELLING == answer.job.state
    assert (grant.lease, timedelta(seconds=10)) == (order.lease, order.cancel_grace.ToTimedelta())
    assert (Cancel, lease_pb.PublishDecision.DECISION_CANCEL) == (verdict, decision)
    assert ("CANCELLED", job_pb2.JOB_STATE_CANCELLED) == (ack, (await scheduler.get()).state)


async def test_an_outcome_may_be_sent_again(scheduler: Running) -> None:
    """The second time it is known already, on this stream or in the next Hello."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        grant = await worker.grant()
        first = await worker.finish(grant.lease, succeeded=job_pb2.JobResult())
        second = await worker.finish(grant.lease, succeeded=job_pb2.JobResult())
    outcome = lease_pb.Outcome(lease=grant.lease, succeeded=job_pb2.JobResult())
    async with ScriptedWorker(scheduler.address, stream_epoch=2, unconfirmed_outcomes=[outcome]) as worker:
        third = (await worker.welcome()).outcome_acks[0].ack

    assert ("COMMITTED", "ALREADY", lease_pb.OutcomeAck.ACK_ALREADY) == (first, second, third)


async def test_a_reconnecting_worker_keeps_its_lease(scheduler: Running, redis_server: RedisServer) -> None:
    """Hello names what it holds; another scheduler says KEEP, and the attempt goes on with its token."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        grant = await worker.grant()
        await worker.accept(grant.lease)
    held = [lease_pb.Renewal(lease=grant.lease, sequence=5)]
    async with (
        running_scheduler(redis_server.url) as other,
        ScriptedWorker(other.address, stream_epoch=2, held_leases=held) as worker,
    ):
        verdict = (await worker.welcome()).renew_results[0].verdict
        ack = await worker.finish(grant.lease, succeeded=job_pb2.JobResult())

    assert (Keep, "COMMITTED", 1) == (verdict, ack, (await scheduler.get()).attempt_count)


async def test_a_grant_that_was_never_received_goes_back(scheduler: Running) -> None:
    """A reconnecting worker that does not name a grant has not got it: the job is offered again at once, uncharged."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        lost = await worker.grant()
    async with ScriptedWorker(scheduler.address, stream_epoch=2) as worker:
        await worker.welcome()
        again = await worker.grant()

    assert (1, True) == (again.attempt, again.lease.token > lost.lease.token)


async def test_a_second_process_with_the_same_id_is_refused(scheduler: Running) -> None:
    """Two pods must not steal from each other; the refusal says when to try again."""
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        async with ScriptedWorker(scheduler.address, session_id="twin") as twin:
            refused = read(await twin.error())

    assert (Code.ALREADY_EXISTS, "ALREADY_CONNECTED", 5.0) == (refused.code, refused.reason, refused.retry_seconds)


async def test_an_old_stream_is_fenced(scheduler: Running) -> None:
    """When a session has a newer stream the older one cannot come back."""
    async with ScriptedWorker(scheduler.address, stream_epoch=2) as worker:
        await worker.welcome()
        async with ScriptedWorker(scheduler.address, stream_epoch=1) as old:
            refused = read(await old.error())

    assert (Code.FAILED_PRECONDITION, "FENCED") == (refused.code, refused.reason)


async def test_an_unknown_protocol_is_refused(scheduler: Running) -> None:
    """The versions the scheduler speaks are in the refusal."""
    async with ScriptedWorker(scheduler.address, min_protocol_version=2, max_protocol_version=3) as worker:
        refused = read(await worker.error())

    assert ("UNSUPPORTED_PROTOCOL", {"min": "1", "max": "1"}) == (refused.reason, refused.metadata)


@pytest.mark.parametrize(
    "message",
    [
        {"hello": lease_pb.Hello(worker_id="w1", session_id="s1", stream_epoch=9, queues=["default"], slots=1)},
        {"accepts": [lease_pb.Accept()]},
        {"renewals": [lease_pb.Renewal(lease=lease_pb.LeaseRef(tenant="default", job_id="job", token=-1))]},
        {"outcomes": [lease_pb.Outcome(succeeded=job_pb2.JobResult())]},
        {"credit": lease_pb.Credit(limit=-1)},
    ],
)
async def test_a_message_that_breaks_the_protocol_ends_the_stream(
    scheduler: Running, message: dict[str, object]
) -> None:
    """The reason is said, and nobody else is harmed."""
    async with ScriptedWorker(scheduler.address, worker_id="other") as other:
        await other.welcome()
        async with ScriptedWorker(scheduler.address) as worker:
            await worker.welcome()
            await worker.send(**message)
            refused = read(await worker.error())
        await scheduler.submit()
        assert "job" == (await other.grant()).lease.job_id

    assert (Code.INVALID_ARGUMENT, "PROTOCOL_VIOLATION") == (refused.code, refused.reason)


async def test_an_outcome_that_breaks_a_rule_ends_its_own_attempt(scheduler: Running) -> None:
    """It is a defect of the worker, which would send it again for ever: the job learns of it, and the stream goes on."""
    await scheduler.submit()
    rate = media_pb2.VideoStream(frame_rate=media_pb2.Rational(numerator=0, denominator=1))
    info = media_pb2.MediaInfo(video_streams=[rate])
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        grant = await worker.grant()
        ack = await worker.finish(grant.lease, succeeded=job_pb2.JobResult(inputs={"in": info}))
        verdict = (await worker.renew(grant.lease)).verdict

    job = await scheduler.get()
    assert ("RETRYING", Stale) == (ack, verdict)
    assert ("INTERNAL_ERROR", True) == (job.failure.reason, "numerator" in job.failure.message)


async def test_a_stream_begins_with_hello(scheduler: Running) -> None:
    """Anything else first is refused."""
    from telecine.v1 import lease_service_pb2_grpc

    call = lease_service_pb2_grpc.LeaseServiceStub(scheduler.channel).StreamLeases()
    await call.write(lease_pb.StreamLeasesRequest(credit=lease_pb.Credit(limit=1)))

    assert Code.INVALID_ARGUMENT is await call.code()


async def test_a_worker_that_vanishes_loses_its_job_within_the_grace(redis_server: RedisServer, client: object) -> None:
    """The stream broke and nobody came back: after the reconnect grace another worker has the job."""
    async with (
        asyncio.timeout(30),
        running_scheduler(redis_server.url, reconnect_grace=timedelta(milliseconds=300)) as scheduler,
    ):
        await scheduler.submit()
        async with ScriptedWorker(scheduler.address) as worker:
            await worker.welcome()
            await worker.accept((await worker.grant()).lease)
        async with ScriptedWorker(scheduler.address, worker_id="w2") as second:
            await second.welcome()
            grant = await second.grant()
            await second.finish(grant.lease, succeeded=job_pb2.JobResult())

        job = await scheduler.get()
    assert [job_pb2.Attempt.OUTCOME_LOST, job_pb2.Attempt.OUTCOME_SUCCEEDED] == [a.outcome for a in job.attempts]
    assert ("WORKER_LOST", job_pb2.Failure.KIND_CRASH) == (job.attempts[0].failure.reason, job.attempts[0].failure.kind)


async def test_a_worker_that_says_bye_keeps_its_leases(scheduler: Running) -> None:
    """A worker that moves as it was asked to has its full TTL to appear elsewhere."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        grant = await worker.grant()
        await worker.accept(grant.lease)
        await worker.send(bye=lease_pb.Bye())
        await worker.call.done_writing()
        assert Code.OK is await worker.call.code()
    held = [lease_pb.Renewal(lease=grant.lease, sequence=5)]
    async with ScriptedWorker(scheduler.address, stream_epoch=2, held_leases=held) as worker:
        assert Keep == (await worker.welcome()).renew_results[0].verdict


async def test_a_stopping_scheduler_asks_its_workers_to_move(scheduler: Running) -> None:
    """GoAway first; renewals are served until the worker has gone; new streams are turned away."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        grant = await worker.grant()
        await worker.accept(grant.lease)
        scheduler.stop.set()
        await worker.until(lambda response: response.HasField("go_away"))
        verdict = (await worker.renew(grant.lease)).verdict
        async with ScriptedWorker(scheduler.address, worker_id="late") as late:
            refused = read(await late.error())
        await worker.send(bye=lease_pb.Bye())
        await worker.call.done_writing()

    assert (Keep, Code.UNAVAILABLE) == (verdict, refused.code)


async def test_an_older_progress_is_not_shown(scheduler: Running) -> None:
    """What was overtaken on the way does not turn progress back."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        grant = await worker.grant()
        await worker.renew(grant.lease, sequence=7, fraction=0.7)
        await worker.renew(grant.lease, sequence=3, fraction=0.3)

        assert 0.7 == (await scheduler.get()).progress.fraction
