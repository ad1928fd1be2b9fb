"""What calls say where something is wrong: within the bounds of gRPC, for each item alone, and never for a hint."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
import redis

from support.redis_server import RedisServer
from support.rpc_errors import of_status, refusal
from support.running_scheduler import Running, ScriptedWorker, a_spec, running_scheduler
from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.rpc import queries, submission_stream, watch_calls
from telecine_scheduler.service import directory
from telecine_scheduler.store.job_store import JobStore
from telecine_scheduler.store.keys import prefix

Code = grpc.StatusCode
DEFAULT = [("grpc.use_local_subchannel_pool", 1)]


def bad(job_id: str = "", count: int = 1) -> pb.SubmitJobRequest:
    """So many violations."""
    labels = {f"a label with spaces in its name {number}": "" for number in range(count)}
    return pb.SubmitJobRequest(job_id=job_id, spec=a_spec(labels=labels))


def good(job_id: str, **changes: Any) -> pb.SubmitJobRequest:
    return pb.SubmitJobRequest(job_id=job_id, spec=a_spec(**changes))


async def streamed(scheduler: Running, *requests: pb.SubmitJobRequest) -> list[pb.SubmitResult]:
    message = pb.SubmitJobsRequest(requests=requests)
    async with asyncio.timeout(20):
        [answer] = [each async for each in scheduler.jobs.SubmitJobs(iter([message]))]
    return list(answer.results)


@pytest.mark.parametrize("items", [20, 500])
async def test_a_batch_of_bad_items_is_told_over_any_channel(scheduler: Running, items: int) -> None:
    """With gRPC's own bound on trailers: the first violations by their places, and how many more were found."""
    refused = await refusal(scheduler.jobs.BatchSubmitJobs(pb.BatchSubmitJobsRequest(requests=[bad(count=3)] * items)))

    assert (Code.INVALID_ARGUMENT, "INVALID_REQUEST") == (refused.code, refused.reason)
    assert 'requests[0].spec.labels["a label with spaces in its name 0"]' in refused.fields
    found = {20: 60, 500: 102}[items]
    assert refused.message.endswith(f"; and {found - len(refused.fields)} more")


async def test_errors_of_a_stream_are_small(scheduler: Running) -> None:
    """Items with thousands of mistakes each do not make an answer that cannot be received."""
    results = await streamed(scheduler, *[bad(count=16)] * 40, *[bad(count=1000)] * 40)

    assert {"INVALID_REQUEST"} == {of_status(result.error).reason for result in results}
    assert max(result.ByteSize() for result in results) < 4200
    assert sum(result.ByteSize() for result in results) < 4 * 1024 * 1024


async def test_a_message_that_is_too_large_to_be_read(scheduler: Running) -> None:
    """RESOURCE_EXHAUSTED without details: it is gRPC's own word."""
    large = good("large")
    large.spec.inputs["in"].headers["x"] = "x" * 100_000
    requests = [large] * 100
    options = [*DEFAULT, ("grpc.max_send_message_length", 64 * 1024 * 1024)]
    async with grpc.aio.insecure_channel(scheduler.address, options=options) as channel:
        from telecine.v1 import scheduler_service_pb2_grpc

        jobs = scheduler_service_pb2_grpc.SchedulerServiceStub(channel)
        refused = [
            await refusal(jobs.BatchSubmitJobs(pb.BatchSubmitJobsRequest(requests=requests))),
            await refusal(jobs.SubmitJobs(iter([pb.SubmitJobsRequest(requests=requests)])).read()),
        ]

    assert [(Code.RESOURCE_EXHAUSTED, "")] * 2 == [(each.code, each.reason) for each in refused]


async def test_a_stored_job_is_answered_though_nothing_is_known_of_workers(
    scheduler: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hint never fails a call: the reason is that of before, or empty."""
    known = (await scheduler.submit("before")).blocked_reason

    async def away(*_: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(directory, "FRESH_SECONDS", -1.0)
    monkeypatch.setattr(JobStore, "workers", away)
    submitted = await scheduler.submit("while")
    drawn = await scheduler.jobs.SubmitJob(pb.SubmitJobRequest(spec=a_spec(), validate_only=True))

    assert "no worker is connected" in known
    assert [known] * 2 == [submitted.blocked_reason, drawn.job.blocked_reason]


async def test_nothing_is_said_of_workers_before_they_were_read(
    redis_server: RedisServer, client: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No reason is made up from an empty directory."""

    async def away(*_: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(JobStore, "workers", away)
    async with asyncio.timeout(30), running_scheduler(redis_server.url) as scheduler:
        assert "" == (await scheduler.submit()).blocked_reason


async def test_all_who_wait_for_the_directory_wait_for_one_read(
    scheduler: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And fail together where it fails: none of them begins another one after it."""
    reads, may_fail = 0, asyncio.Event()

    async def hangs(*_: object) -> None:
        nonlocal reads
        reads += 1
        await may_fail.wait()
        raise StoreUnavailable("hangs")

    monkeypatch.setattr(directory, "FRESH_SECONDS", -1.0)
    monkeypatch.setattr(JobStore, "workers", hangs)
    asked = [asyncio.create_task(refused_stats(scheduler)) for _ in range(20)]
    async with asyncio.timeout(10):
        while not reads:
            await scheduler.jobs.ListJobs(pb.ListJobsRequest())
        for _ in range(20):
            await scheduler.jobs.ListJobs(pb.ListJobsRequest())
        may_fail.set()
        codes = await asyncio.gather(*asked)

    # The beat may have had one of its own.
    assert ([Code.UNAVAILABLE] * 20, True) == (codes, 1 <= reads <= 2)


async def refused_stats(scheduler: Running) -> grpc.StatusCode:
    return (await refusal(scheduler.jobs.GetQueueStats(pb.GetQueueStatsRequest()))).code


async def test_a_broken_record_harms_no_other(scheduler: Running, client: redis.Redis) -> None:
    """A list goes on without it and counts it; a stream answers its item with INTERNAL, and the others as ever."""
    for job_id in ("one", "state", "failure", "two"):
        await scheduler.submit(job_id)
    await scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id="failure"))
    records = f"{prefix()}j:default:state", f"{prefix()}x:default:failure"
    client.hset(records[0], "st", "?")
    client.hset(records[1], "r", b"\xff\xff")

    listed = await scheduler.jobs.ListJobs(pb.ListJobsRequest())
    results = await streamed(scheduler, *(good(job_id) for job_id in ("one", "state", "failure", "two", "new")))
    counted = await scheduler.samples("broken_records")
    client.hset(records[0], "st", "Q")
    client.hdel(records[1], "r")

    assert ["two", "one"] == [job.job_id for job in listed.jobs]
    assert [True, False, False, True, True] == [result.HasField("response") for result in results]
    errors = [of_status(results[place].error) for place in (1, 2)]
    assert [(Code.INTERNAL, "INTERNAL")] * 2 == [(each.code, each.reason) for each in errors]
    assert 2 == len({each.metadata["error_id"] for each in errors})
    assert {"broken_records_total": 2.0} == counted


async def test_a_broken_record_ends_no_watch(scheduler: Running, client: redis.Redis) -> None:
    """Whoever follows all jobs hears of the others."""
    record = f"{prefix()}j:default:broken"
    watch = scheduler.jobs.WatchJobs()
    await watch.write(pb.WatchJobsRequest(start=pb.WatchJobsRequest.Start(all=True)))
    await watch.read()
    client.hset(record, mapping={"st": "?", "rv": 1, "ct": 1, "cl": "1"})
    client.xadd(f"{prefix()}feed", {"j": "default:broken", "r": "1", "s": "Q"})
    await scheduler.submit("whole")
    async with asyncio.timeout(10):
        told = await watch.read()
    watch.cancel()
    client.delete(record)

    assert ["whole"] == [job.job_id for job in told.jobs]


async def test_the_basic_view_is_small(scheduler: Running) -> None:
    """FFmpeg's log and what a probe found are in the full view, and in the last snapshot of a watch; measurements in all."""
    failure = job_pb2.Failure(
        kind=job_pb2.Failure.KIND_PERMANENT, reason="INPUT_INVALID", message="no film", log_tail="moov not found"
    )
    result = job_pb2.JobResult(detections=[job_pb2.Detection(kind=job_pb2.Detection.KIND_BLACK)], measurements={"a": 1})
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        await scheduler.submit("failed")
        await worker.finish((await worker.grant(1)).lease, failed=failure)
        await scheduler.submit("found")
        await worker.finish((await worker.grant(2)).lease, succeeded=result)

    found, failed = (await scheduler.jobs.ListJobs(pb.ListJobsRequest())).jobs
    again = await scheduler.submit("failed")
    assert [("no film", "")] * 2 == [(each.failure.message, each.failure.log_tail) for each in (failed, again)]
    assert (0, {"a": 1}) == (len(found.result.detections), dict(found.result.measurements))
    for job in (await scheduler.get("failed"), await last(scheduler, "failed")):
        assert "moov not found" == job.failure.log_tail
    for job in (await scheduler.get("found"), await last(scheduler, "found")):
        assert 1 == len(job.result.detections)


async def last(scheduler: Running, job_id: str) -> job_pb2.Job:
    """The last snapshot of a watch in the basic view."""
    request = pb.WatchJobRequest(job_id=job_id, view=job_pb2.JOB_VIEW_BASIC)
    return [answer.job async for answer in scheduler.jobs.WatchJob(request)][-1]


async def test_pages_of_workers_are_bounded_in_bytes(scheduler: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut short where they get large, with a token that goes on behind the cut."""
    monkeypatch.setattr(queries, "MAX_PAGE_BYTES", 800)
    names = [f"w{number}" for number in range(5)]
    workers = [ScriptedWorker(scheduler.address, worker_id=name) for name in names]
    try:
        for worker in workers:
            await worker.__aenter__()
            await worker.welcome()
        found: list[list[str]] = []
        async with asyncio.timeout(10):
            while sum(map(len, found)) < 5:
                found, token = [], "first"
                while token:
                    request = pb.ListWorkersRequest(page_token="" if token == "first" else token)
                    answer = await scheduler.jobs.ListWorkers(request)
                    found.append([each.worker_id for each in answer.workers])
                    token = answer.next_page_token
    finally:
        for worker in workers:
            await worker.__aexit__()

    assert (names, [3, 2]) == ([name for page in found for name in page], [len(page) for page in found])


async def test_idle_streams_do_not_hold_a_stopping_scheduler(
    scheduler: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each ends at once as UNAVAILABLE with a time to wait, though its caller leaves it open; what was sent is answered."""
    monkeypatch.setattr(watch_calls, "START_SECONDS", 3600.0)
    unstarted, idle, submits = scheduler.jobs.WatchJobs(), scheduler.jobs.WatchJobs(), scheduler.jobs.SubmitJobs()
    await idle.write(pb.WatchJobsRequest(start=pb.WatchJobsRequest.Start()))
    await submits.write(pb.SubmitJobsRequest(sequence=1, requests=[good("sent")]))
    answer = await submits.read()
    await asyncio.gather(unstarted.initial_metadata(), idle.initial_metadata())
    scheduler.stop.set()
    # Less than a server waits for calls by itself.
    async with asyncio.timeout(4):
        refused = [await refusal(call.read()) for call in (unstarted, idle, submits)]

    assert "sent" == answer.results[0].response.job.job_id
    assert [(Code.UNAVAILABLE, "STORE_UNAVAILABLE", 0.5)] * 3 == [
        (each.code, each.reason, each.retry_seconds) for each in refused
    ]


async def test_what_a_stopping_scheduler_has_read_it_answers(
    scheduler: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream's messages that are under way are answered before it ends."""
    under_way, go_on = asyncio.Event(), asyncio.Event()
    answer_ = submission_stream.SubmissionStream._answer

    async def held(self: Any, checked: Any) -> pb.SubmitJobsResponse:
        under_way.set()
        await go_on.wait()
        return await answer_(self, checked)

    monkeypatch.setattr(submission_stream.SubmissionStream, "_answer", held)
    submits = scheduler.jobs.SubmitJobs()
    await submits.write(pb.SubmitJobsRequest(sequence=5, requests=[good("sent")]))
    async with asyncio.timeout(10):
        await under_way.wait()
        watch = scheduler.jobs.WatchJobs()
        await watch.initial_metadata()
        scheduler.stop.set()
        # Streams are ended in one go, so the other one's end shows that this one was told.
        await refusal(watch.read())
        go_on.set()
        answer = await submits.read()
        refused = await refusal(submits.read())

    assert (5, "sent") == (answer.sequence, answer.results[0].response.job.job_id)
    assert Code.UNAVAILABLE is refused.code


async def test_submissions_are_counted_by_way_and_refusals_by_item(scheduler: Running) -> None:
    """Duplicates apart; a dry run counts as nothing; a batch that is refused counts its bad items."""
    dry = [pb.SubmitJobRequest(job_id="dry", spec=each.spec, validate_only=True) for each in (good("x"), bad())]
    for request in (good("u"), good("u"), dry[0]):
        await scheduler.jobs.SubmitJob(request)
    for request in (bad(), dry[1], good("u", priority=1)):
        await refusal(scheduler.jobs.SubmitJob(request))
    await scheduler.jobs.BatchSubmitJobs(pb.BatchSubmitJobsRequest(requests=[good("u"), good("b1"), good("b2")]))
    for requests in ([good("c"), bad(), bad()], [good("c"), good("b1", priority=1)], [dry[1]] * 3):
        await refusal(scheduler.jobs.BatchSubmitJobs(pb.BatchSubmitJobsRequest(requests=requests)))
    await streamed(scheduler, good("u"), good("s1"), good("s2"), good("s3"), bad(), good("u", priority=1), *dry)

    submitted = await scheduler.samples("jobs_submitted")
    refused = await scheduler.samples("submissions_refused")
    assert {
        "jobs_submitted_total{result=created,way=unary}": 1.0, "jobs_submitted_total{result=duplicate,way=unary}": 1.0,
        "jobs_submitted_total{result=created,way=batch}": 2.0, "jobs_submitted_total{result=duplicate,way=batch}": 1.0,
        "jobs_submitted_total{result=created,way=stream}": 3.0, "jobs_submitted_total{result=duplicate,way=stream}": 1.0,
    } == submitted  # fmt: skip
    assert {
        "submissions_refused_total{reason=INVALID_REQUEST}": 4.0, "submissions_refused_total{reason=JOB_EXISTS}": 3.0,
    } == refused  # fmt: skip
