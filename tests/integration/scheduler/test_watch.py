"""WatchJob on real servers: snapshots, resuming, and always the end."""

from __future__ import annotations

import asyncio

import grpc
import pytest
import redis

from support.redis_server import RedisServer
from support.rpc_errors import read, refusal
from support.running_scheduler import Running, ScriptedWorker, running_scheduler
from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.store.keys import prefix

Code = grpc.StatusCode


async def watched(scheduler: Running, after: int = 0) -> list[job_pb2.Job]:
    """Everything a watch gives, to its end."""
    request = pb.WatchJobRequest(job_id="job", after_revision=after)
    async with asyncio.timeout(15):
        return [response.job async for response in scheduler.jobs.WatchJob(request)]


async def run_job(worker: ScriptedWorker) -> None:
    """One attempt with five reports of progress."""
    grant = await worker.grant()
    await worker.accept(grant.lease)
    for sequence in range(1, 6):
        await worker.renew(grant.lease, sequence=sequence, fraction=sequence / 10)
    await worker.finish(grant.lease, succeeded=job_pb2.JobResult(artifacts=[job_pb2.Artifact(path="out.mp4")]))


async def test_a_watch_tells_a_jobs_life_to_its_end(scheduler: Running) -> None:
    """The job as it is comes first, with its spec; revisions rise; the last one is final and has its artifacts."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        watch = asyncio.create_task(watched(scheduler))
        await run_job(worker)
        jobs = await watch

    revisions = [job.revision for job in jobs]
    assert sorted(set(revisions)) == revisions
    assert [True] + [False] * (len(jobs) - 1) == [job.HasField("spec") for job in jobs]
    assert (job_pb2.JOB_STATE_SUCCEEDED, ["out.mp4"]) == (jobs[-1].state, [a.path for a in jobs[-1].result.artifacts])
    assert ["SUBMITTED", "STARTED", "SUCCEEDED"] == [change.reason for change in jobs[-1].recent_changes]


async def test_a_full_watch_is_full_to_the_end(scheduler: Running) -> None:
    """Whoever asks for everything gets the spec and the attempts with every snapshot."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        request = pb.WatchJobRequest(job_id="job", view=job_pb2.JOB_VIEW_FULL)
        responses = aiter(scheduler.jobs.WatchJob(request))
        await anext(responses)
        await run_job(worker)
        jobs = [response.job async for response in responses]

    assert {True} == {job.HasField("spec") for job in jobs}
    assert 1 == len(jobs[-1].attempts)


async def test_a_watch_on_another_scheduler_sees_the_same(scheduler: Running, redis_server: RedisServer) -> None:
    """Submitted and run through one, watched through another: no revision goes back, and the end arrives."""
    await scheduler.submit()
    async with running_scheduler(redis_server.url) as other, ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        watch = asyncio.create_task(watched(other))
        await run_job(worker)
        jobs = await watch

    revisions = [job.revision for job in jobs]
    assert (sorted(set(revisions)), job_pb2.JOB_STATE_SUCCEEDED) == (revisions, jobs[-1].state)


async def test_a_watch_resumes_after_a_revision(scheduler: Running) -> None:
    """Nothing that was seen is told again."""
    job = await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        watch = asyncio.create_task(watched(scheduler, after=job.revision))
        await run_job(worker)
        jobs = await watch

    assert min(each.revision for each in jobs) > job.revision
    assert "in" in jobs[0].spec.inputs


async def test_the_end_is_told_to_whoever_comes_late(scheduler: Running) -> None:
    """A finished job's last snapshot is sent whatever the watcher has seen."""
    await scheduler.submit()
    await scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id="job"))

    [job] = await watched(scheduler, after=2**62)

    assert job_pb2.JOB_STATE_CANCELLED == job.state


async def test_the_end_is_told_to_whoever_is_ahead(scheduler: Running) -> None:
    """A caller with a revision that is not there yet hears of nothing but the end."""
    await scheduler.submit()
    call = scheduler.jobs.WatchJob(pb.WatchJobRequest(job_id="job", after_revision=2**62))
    await call.initial_metadata()
    await scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id="job"))
    async with asyncio.timeout(10):
        [job] = [answer.job async for answer in call]

    assert job_pb2.JOB_STATE_CANCELLED == job.state


async def test_many_watchers_all_see_the_end(scheduler: Running) -> None:
    """A hundred watches of one job each end with its end."""
    await scheduler.submit()
    watches = [asyncio.create_task(watched(scheduler)) for _ in range(100)]
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        await run_job(worker)
        ends = [jobs[-1].state for jobs in await asyncio.gather(*watches)]

    assert [job_pb2.JOB_STATE_SUCCEEDED] * 100 == ends


async def test_a_watcher_that_does_not_read_misses_nothing_that_counts(scheduler: Running) -> None:
    """A slow reader gets fewer snapshots, never older ones, and every state change is in the last."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        responses = aiter(scheduler.jobs.WatchJob(pb.WatchJobRequest(job_id="job")))
        first = await anext(responses)
        await run_job(worker)
        jobs = [first.job] + [response.job async for response in responses]

    assert ["SUBMITTED", "STARTED", "SUCCEEDED"] == [change.reason for change in jobs[-1].recent_changes]


async def test_a_job_that_is_deleted_ends_its_watch(scheduler: Running, client: redis.Redis) -> None:
    """NOT_FOUND with JOB_DELETED, not silence."""
    await scheduler.submit()
    call = scheduler.jobs.WatchJob(pb.WatchJobRequest(job_id="job"))
    await call.read()
    # At once: a job that ends before it is deleted would end the watch by that.
    client.flushall()
    client.xadd(f"{prefix()}feed", {"j": "default:job", "r": "0", "s": "-"})

    refused = await refusal(call.read())

    assert (Code.NOT_FOUND, "JOB_DELETED") == (refused.code, refused.reason)


async def test_a_stopping_scheduler_ends_watches_as_unavailable(scheduler: Running) -> None:
    """So that a client resumes elsewhere."""
    await scheduler.submit()
    call = scheduler.jobs.WatchJob(pb.WatchJobRequest(job_id="job"))
    await call.read()
    scheduler.stop.set()

    refused = await refusal(call.read())

    assert (Code.UNAVAILABLE, "STORE_UNAVAILABLE") == (refused.code, refused.reason)


async def test_a_watch_outlives_a_restart_of_redis(client: redis.Redis) -> None:
    """The watch stays open while Redis is away, and tells what happened after."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="tc") as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            async with asyncio.timeout(40), running_scheduler(server.url) as scheduler:
                await scheduler.submit()
                watch = asyncio.create_task(watched(scheduler))
                server.kill()
                server.start()
                while True:
                    try:
                        await scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id="job"))
                        break
                    except grpc.aio.AioRpcError as error:
                        assert Code.UNAVAILABLE is read(error).code
                assert job_pb2.JOB_STATE_CANCELLED == (await watch)[-1].state
        finally:
            server.stop()


@pytest.mark.parametrize("job_id", ["none", "", "bad id"])
async def test_a_watch_of_nothing_is_refused(scheduler: Running, job_id: str) -> None:
    """Unknown and impossible ids are told apart."""
    refused = await refusal(scheduler.jobs.WatchJob(pb.WatchJobRequest(job_id=job_id)).read())

    assert (Code.NOT_FOUND if job_id == "none" else Code.INVALID_ARGUMENT) is refused.code
