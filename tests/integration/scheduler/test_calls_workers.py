"""The directory of workers on real servers: who is listed, and what a job that nobody can run says."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any

import grpc
import pytest

from support.redis_server import RedisServer
from support.rpc_errors import read, refusal
from support.running_scheduler import CAPABILITIES, Running, ScriptedWorker, a_spec, running_scheduler
from telecine.v1 import job_pb2, media_pb2
from telecine.v1 import lease_service_pb2 as lease_pb
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.service import directory

Code = grpc.StatusCode


async def listing(scheduler: Running, **request: Any) -> pb.ListWorkersResponse:
    return await scheduler.jobs.ListWorkers(pb.ListWorkersRequest(**request))


async def workers_are(scheduler: Running, *expected: str) -> list[pb.Worker]:
    """The listed workers, once they are these."""
    async with asyncio.timeout(10):
        while True:
            workers = list((await listing(scheduler, page_size=1000)).workers)
            if [worker.worker_id for worker in workers] == list(expected):
                return workers


async def reason(scheduler: Running, job_id: str = "job") -> str:
    return (await scheduler.get(job_id)).blocked_reason


async def reason_becomes(scheduler: Running, *, blocked: bool) -> str:
    """Why the job cannot be run, once it is so or not so."""
    async with asyncio.timeout(10):
        while bool(text := await reason(scheduler)) is not blocked:
            pass
    return text


async def test_connected_workers_are_listed_wherever_they_are(scheduler: Running, redis_server: RedisServer) -> None:
    """By id, with what they offer and how busy they are, by either scheduler; gone ones are not."""
    await scheduler.submit()
    async with (
        running_scheduler(redis_server.url) as other,
        ScriptedWorker(scheduler.address, worker_id="b", slots=3, version="1.2", queues=["default", "night"]) as busy,
    ):
        await busy.welcome()
        await busy.accept((await busy.grant()).lease)
        async with ScriptedWorker(other.address, worker_id="a", capabilities=["gpu/nvidia"]) as idle:
            await idle.welcome()
            for each in (scheduler, other):
                a, b = await workers_are(each, "a", "b")
                assert (["gpu/nvidia"], 2, 0, False) == (
                    list(a.capabilities),
                    a.slot_count,
                    a.busy_slot_count,
                    a.draining,
                )
                assert (["default", "night"], "1.2", 3, 1) == (
                    list(b.queues), b.version, b.slot_count, b.busy_slot_count,
                )  # fmt: skip
                assert sorted(CAPABILITIES) == list(b.capabilities)
                assert b.connect_time.ToDatetime() <= b.last_seen_time.ToDatetime()
        for each in (scheduler, other):
            await workers_are(each, "b")


async def test_workers_come_in_pages(scheduler: Running) -> None:
    """Each once, by id; a token of ours goes on, and any other is refused."""
    names = [f"w{number:02}" for number in range(12)]
    async with contextlib.AsyncExitStack() as stack:
        for name in names:
            worker = await stack.enter_async_context(ScriptedWorker(scheduler.address, worker_id=name))
            await worker.welcome()
        await workers_are(scheduler, *names)
        found, token = [], ""
        while True:
            page = await listing(scheduler, page_size=5, page_token=token)
            found.append([worker.worker_id for worker in page.workers])
            token = page.next_page_token
            if not token:
                break
        jobs_token = "AAAAAAAAAAAx"
        refused = [await refusal(listing(scheduler, **bad)) for bad in ({"page_token": jobs_token}, {"page_size": -1})]

    assert [names[:5], names[5:10], names[10:]] == found
    assert [(Code.INVALID_ARGUMENT, ["page_token"]), (Code.INVALID_ARGUMENT, ["page_size"])] == [
        (each.code, each.fields) for each in refused
    ]


async def test_a_draining_worker_is_listed_as_that_and_counted_out(scheduler: Running) -> None:
    """It takes nothing more; a job that only it could run says so."""
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        await worker.send(credit=lease_pb.Credit(limit=1))
        await workers_are(scheduler, "w1")
        await worker.send(credit=lease_pb.Credit(limit=1, draining=True))
        async with asyncio.timeout(10):
            while not (await workers_are(scheduler, "w1"))[0].draining:
                pass
        await scheduler.submit()
        text = await reason_becomes(scheduler, blocked=True)
        stats = await scheduler.jobs.GetQueueStats(pb.GetQueueStatsRequest())
        # The answer shows that nothing was granted before it.
        beat = lease_pb.Renewal(lease=lease_pb.LeaseRef(tenant="default", job_id="none", token=1))
        await worker.send(renewals=[beat])
        response = await worker.read()

    assert ("every worker that could run it is draining and takes no more work", 0) == (text, len(response.grants))
    assert (0, 0, 1) == (stats.worker_count, stats.slot_count, stats.blocked_job_count)


@pytest.mark.parametrize(
    ("job", "says"),
    [
        ({"queue": "night"}, "no connected worker serves the queue 'night' (they serve 'default')"),
        ({"requirements": ["gpu/nvidia"]}, "offers gpu/nvidia; start one that does"),
        ({"units": 3}, "it needs 3 slots at once, and the largest worker that could run it has 2"),
        ({"units": 2}, ""),
    ],
)
async def test_a_job_that_nobody_can_run_says_why(scheduler: Running, job: dict[str, Any], says: str) -> None:
    """In every answer that has it while it is queued: submit, get, list and watch; and it is counted."""
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        await workers_are(scheduler, "w1")
        submitted = await scheduler.submit(**job)
        [listed] = (await scheduler.jobs.ListJobs(pb.ListJobsRequest())).jobs
        watched = (await scheduler.jobs.WatchJob(pb.WatchJobRequest(job_id="job")).read()).job
        stats = await scheduler.jobs.GetQueueStats(pb.GetQueueStatsRequest())
        texts = {each.blocked_reason for each in (submitted, await scheduler.get(), listed, watched)}

    assert (1, True) == (len(texts), says in "".join(texts))
    assert (bool(says), bool(says)) == (bool("".join(texts)), bool(stats.blocked_job_count))


async def test_the_reason_goes_when_a_worker_comes_and_comes_when_he_goes(
    scheduler: Running, redis_server: RedisServer
) -> None:
    """Also when he is connected to another scheduler."""
    await scheduler.submit()
    assert "no worker is connected" in await reason(scheduler)
    async with running_scheduler(redis_server.url) as other, ScriptedWorker(other.address) as worker:
        await worker.welcome()
        await reason_becomes(scheduler, blocked=False)
    assert "no worker is connected" in await reason_becomes(scheduler, blocked=True)


async def test_nobody_is_told_that_a_job_is_blocked_from_old_knowledge(
    redis_server: RedisServer, client: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a caller is told so, the workers are looked at again: here nothing else would look at them."""
    monkeypatch.setattr(directory, "BEAT_SECONDS", 3600)
    async with (
        asyncio.timeout(40),
        running_scheduler(redis_server.url) as scheduler,
        running_scheduler(redis_server.url) as other,
    ):
        await scheduler.submit()
        await reason_becomes(scheduler, blocked=True)
        async with ScriptedWorker(other.address) as worker:
            await worker.welcome()
            await reason_becomes(scheduler, blocked=False)


async def test_a_task_goes_only_where_its_encoder_is(scheduler: Running) -> None:
    """What the task needs is derived from it: a worker without the library is passed over, one with it gets the job."""
    lacking = [label for label in CAPABILITIES if label != "encoder/libx265"]
    video = media_pb2.Video(codec="h265")
    task = media_pb2.Task(transcode=media_pb2.TranscodeTask(input="in", path="out.mp4", video=video))
    async with ScriptedWorker(scheduler.address, worker_id="without", capabilities=lacking) as without:
        await without.welcome()
        await workers_are(scheduler, "without")
        await without.send(credit=lease_pb.Credit(limit=1))
        await scheduler.submit(task=task)
        text = await reason_becomes(scheduler, blocked=True)
        async with ScriptedWorker(scheduler.address, worker_id="with") as able:
            await able.welcome()
            granted = (await able.grant()).lease.job_id

    assert ("job", True) == (granted, text.endswith("offers encoder/libx265; start one that does"))


async def test_a_refusing_worker_is_counted_and_another_gets_the_job(scheduler: Running) -> None:
    """The reason of the refusal is in the metrics, and the job goes elsewhere."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address, worker_id="w1") as first:
        await first.welcome()
        grant = await first.grant()
        async with ScriptedWorker(scheduler.address, worker_id="w2", session_id="s2") as second:
            await second.welcome()
            waiting = asyncio.create_task(second.grant())
            refusal_ = lease_pb.Accept.REFUSAL_UNSUPPORTED
            await first.send(accepts=[lease_pb.Accept(lease=grant.lease, refusal=refusal_)])
            again = await waiting

    assert ("job", 1, True) == (again.lease.job_id, again.attempt, again.lease.token > grant.lease.token)
    text = await asyncio.to_thread(scrape, scheduler.metrics)
    assert 'telecine_grants_refused_total{reason="unsupported"} 1.0' in text


def scrape(address: str) -> str:
    import urllib.request

    return str(urllib.request.urlopen(f"http://{address}/metrics", timeout=5).read().decode())


async def test_a_stream_that_was_left_is_ended(scheduler: Running, redis_server: RedisServer) -> None:
    """The worker has a newer stream elsewhere: the old one, which asks for nothing, is fenced within the next report."""
    async with (
        running_scheduler(redis_server.url) as other,
        ScriptedWorker(scheduler.address) as old,
    ):
        await old.welcome()
        async with ScriptedWorker(other.address, stream_epoch=2) as new:
            await new.welcome()
            refused = read(await old.error())
            await workers_are(scheduler, "w1")

    assert (Code.FAILED_PRECONDITION, "FENCED") == (refused.code, refused.reason)


async def test_workers_slots_and_blocked_jobs_are_shown(scheduler: Running) -> None:
    """Draining workers are counted apart and their slots are not; a job blocks where nobody could run it."""
    await scheduler.submit("runs")
    async with (
        ScriptedWorker(scheduler.address, worker_id="w1", slots=3) as busy,
        ScriptedWorker(scheduler.address, worker_id="w2", session_id="s2", slots=4) as idle,
        ScriptedWorker(scheduler.address, worker_id="w3", session_id="s3", slots=5) as draining,
    ):
        for worker in (busy, idle, draining):
            await worker.welcome()
        await draining.send(credit=lease_pb.Credit(limit=0, draining=True))
        await busy.accept((await busy.grant()).lease)
        for number in range(2):
            await scheduler.submit(f"blocked{number}", queue="night")
        await scheduler.shows(
            {
                "workers{state=serving}": 2, "workers{state=draining}": 1, "slots{state=busy}": 1, "slots{state=free}": 6,
                "jobs_blocked": 2,
            }
        )  # fmt: skip


async def test_limits_reach_the_worker(scheduler: Running) -> None:
    """A grant has what is left of the total, and the job's own grace, which a cancel has too, wherever it was asked."""
    limits = media_pb2.Limits()
    limits.total_timeout.FromTimedelta(timedelta(hours=1))
    limits.cancel_grace.FromTimedelta(timedelta(seconds=3))
    await scheduler.submit("own", limits=limits)
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        grant = await worker.grant()
        await worker.accept(grant.lease)
        await scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id="own"))
        order = await worker.until(lambda response: response.cancel_orders and response.cancel_orders[0])
        verdict = await worker.renew(grant.lease)
        await worker.finish(grant.lease, cancelled=lease_pb.Outcome.Cancelled())
        await scheduler.submit("plain")
        plain = await worker.grant(limit=2)

    left = grant.total_time_left.ToTimedelta()
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert [timedelta(seconds=3)] * 3 == [each.cancel_grace.ToTimedelta() for each in (grant, order, verdict)]
    assert (False, timedelta(seconds=10)) == (plain.HasField("total_time_left"), plain.cancel_grace.ToTimedelta())


@pytest.mark.parametrize(("limit", "reason_"), [("queue_timeout", "QUEUE_TIMEOUT"), ("total_timeout", "TOTAL_TIMEOUT")])
async def test_a_job_that_waits_too_long_fails(scheduler: Running, limit: str, reason_: str) -> None:
    """Nobody can run it: at its limit it is FAILED, and says by which."""
    limits = media_pb2.Limits()
    getattr(limits, limit).FromTimedelta(timedelta(milliseconds=1))
    await scheduler.jobs.SubmitJob(pb.SubmitJobRequest(job_id="job", spec=a_spec(limits=limits)))
    async with asyncio.timeout(10):
        jobs = [answer.job async for answer in scheduler.jobs.WatchJob(pb.WatchJobRequest(job_id="job"))]

    failure = jobs[-1].failure
    assert (job_pb2.JOB_STATE_FAILED, job_pb2.Failure.KIND_DEADLINE, reason_) == (
        jobs[-1].state, failure.kind, failure.reason,
    )  # fmt: skip
    assert (limit in failure.message, reason_) == (True, jobs[-1].recent_changes[-1].reason)
