"""AsyncClient.watch and wait against a real gRPC server whose streams break."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from tests.integration.client.conftest import SPEC, ScriptedScheduler, detailed, job, serving, stream

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import AsyncClient, JobState, errors

QUEUED = job_pb2.JOB_STATE_QUEUED
RUNNING = job_pb2.JOB_STATE_RUNNING
SUCCEEDED = job_pb2.JOB_STATE_SUCCEEDED
AWAY = detailed(grpc.StatusCode.UNAVAILABLE, "the scheduler stops", reason="DRAINING")
GONE = detailed(grpc.StatusCode.NOT_FOUND, "there is no such job", reason="JOB_NOT_FOUND")


def refused_stream(status: grpc.Status) -> Any:
    """A watch that is refused before its first message."""

    async def answer(request: object, context: Any) -> AsyncIterator[Any]:
        await context.abort_with_status(status)
        yield

    return answer


async def revisions(scheduler: ScriptedScheduler, **options: Any) -> list[int]:
    """The revisions that a watch of j1 gives."""
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        return [seen.revision async for seen in client.watch("j1", **options)]


async def test_a_watch_ends_with_the_final_job(scheduler: ScriptedScheduler) -> None:
    """Every snapshot is given in order; the stream's end is the watch's end."""
    scheduler.script("WatchJob", stream(job(1, QUEUED), job(5, RUNNING), job(9, SUCCEEDED)))
    assert await revisions(scheduler) == [1, 5, 9]
    assert len(scheduler.requests) == 1


async def test_a_broken_watch_resumes_after_the_last_revision(scheduler: ScriptedScheduler) -> None:
    """After two messages and a break the next stream is asked for what is newer."""
    scheduler.script(
        "WatchJob", stream(job(1, QUEUED), job(5, RUNNING), then=AWAY), stream(job(7, RUNNING), job(9, SUCCEEDED))
    )
    assert await revisions(scheduler) == [1, 5, 7, 9]
    assert [request.after_revision for request in scheduler.requests] == [0, 5]


async def test_an_older_revision_is_not_shown(scheduler: ScriptedScheduler) -> None:
    """A stream that repeats what was given, or goes back, adds nothing."""
    scheduler.script(
        "WatchJob",
        stream(job(5, RUNNING), then=AWAY),
        stream(job(4, QUEUED), job(5, RUNNING), job(6, RUNNING), job(6, RUNNING), job(9, SUCCEEDED)),
    )
    assert await revisions(scheduler) == [5, 6, 9]


async def test_the_end_arrives_whatever_revision_the_caller_begins_after(scheduler: ScriptedScheduler) -> None:
    """A caller that begins after the final revision is given the final job."""
    scheduler.script("WatchJob", stream(job(9, SUCCEEDED)))
    assert await revisions(scheduler, after_revision=9) == [9]


async def test_a_stream_that_ends_early_is_resumed(scheduler: ScriptedScheduler) -> None:
    """OK without a final job is a break like any other."""
    scheduler.script("WatchJob", stream(job(1, QUEUED)), stream(job(9, SUCCEEDED)))
    assert await revisions(scheduler) == [1, 9]


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED])
async def test_a_transport_error_is_a_break(scheduler: ScriptedScheduler, code: grpc.StatusCode) -> None:
    """What a reset stream or a proxy answers, without our reason, does not end the watch."""
    scheduler.script("WatchJob", stream(job(1, QUEUED), then=detailed(code, "RST_STREAM")), stream(job(9, SUCCEEDED)))
    assert await revisions(scheduler) == [1, 9]


async def test_a_transport_error_that_stays_is_raised(scheduler: ScriptedScheduler) -> None:
    """Six in a row without news are no passing break."""
    scheduler.script("WatchJob", refused_stream(detailed(grpc.StatusCode.UNKNOWN, "no scheduler at all")))
    with pytest.raises(errors.InternalError, match="no scheduler at all"):
        await revisions(scheduler)
    assert len(scheduler.requests) == 6


async def test_transport_errors_with_news_between_them_are_breaks(scheduler: ScriptedScheduler) -> None:
    """However many there are: each stream brought something new."""
    reset = detailed(grpc.StatusCode.INTERNAL, "RST_STREAM")
    streams = [stream(job(revision, RUNNING), then=reset) for revision in range(1, 9)]
    scheduler.script("WatchJob", *streams, stream(job(9, SUCCEEDED)))
    assert list(range(1, 10)) == await revisions(scheduler)


async def test_a_long_quiet_watch_is_no_outage(scheduler: ScriptedScheduler) -> None:
    """The outage begins with the last message, not with the beginning of the stream."""

    async def slow(request: object, context: Any) -> AsyncIterator[Any]:
        yield service_pb2.WatchJobResponse(job=job(1, QUEUED))
        await asyncio.sleep(0.6)
        yield service_pb2.WatchJobResponse(job=job(5, RUNNING))
        await context.abort_with_status(AWAY)

    scheduler.script("WatchJob", slow, stream(job(9, SUCCEEDED)))
    assert [1, 5, 9] == await revisions(scheduler, outage_timeout=timedelta(milliseconds=500))


async def test_a_defect_of_the_scheduler_is_raised_at_once(scheduler: ScriptedScheduler) -> None:
    """INTERNAL with our reason is an answer, not a break."""
    scheduler.script("WatchJob", refused_stream(detailed(grpc.StatusCode.INTERNAL, "defect 4711", reason="INTERNAL")))
    with pytest.raises(errors.InternalError, match="defect 4711"):
        await revisions(scheduler)
    assert len(scheduler.requests) == 1


async def test_a_job_that_is_not_there_ends_the_watch(scheduler: ScriptedScheduler) -> None:
    """NOT_FOUND is raised, also after a break."""
    scheduler.script("WatchJob", stream(job(1, QUEUED), then=AWAY), refused_stream(GONE))
    with pytest.raises(errors.JobNotFound):
        await revisions(scheduler)


async def test_every_snapshot_has_the_spec(scheduler: ScriptedScheduler) -> None:
    """The spec comes once over the wire and is in all values."""
    scheduler.script("WatchJob", stream(job(1, QUEUED, spec=SPEC), job(5, RUNNING), job(9, SUCCEEDED)))
    async with AsyncClient(scheduler.address) as client:
        assert [seen.spec async for seen in client.watch("j1")] == [SPEC] * 3


async def test_a_watch_survives_the_scheduler(scheduler: ScriptedScheduler) -> None:
    """The server goes away in mid-watch; another one at the same address carries the watch to its end."""
    first, second = ScriptedScheduler(), ScriptedScheduler()
    first.script("WatchJob", stream(job(1, QUEUED), job(5, RUNNING), hang=True))
    second.script("WatchJob", stream(job(9, SUCCEEDED)))
    seen: list[int] = []
    async with asyncio.timeout(20):
        async with serving(first) as server:
            client = AsyncClient(first.address)
            watch = client.watch("j1")
            seen += [(await anext(watch)).revision, (await anext(watch)).revision]
            await server.stop(None)
        async with serving(second, first.address):
            seen += [later.revision async for later in watch]
            await client.close()
    assert seen == [1, 5, 9]
    assert second.requests[0].after_revision == 5


async def test_a_watch_goes_on_at_the_next_address(scheduler: ScriptedScheduler) -> None:
    """A drained scheduler's watch is resumed at the other scheduler."""
    other = ScriptedScheduler()
    scheduler.script("WatchJob", stream(job(5, RUNNING), then=AWAY))
    other.script("WatchJob", stream(job(9, SUCCEEDED)))
    async with serving(other), AsyncClient(f"{scheduler.address},{other.address}") as client, asyncio.timeout(10):
        assert [seen.revision async for seen in client.watch("j1")] == [5, 9]


async def test_a_watch_gives_up_after_its_outage_timeout(scheduler: ScriptedScheduler) -> None:
    """Without any contact for that long the last error is raised."""
    scheduler.script("WatchJob", refused_stream(AWAY))
    with pytest.raises(errors.Unavailable):
        await revisions(scheduler, outage_timeout=timedelta(milliseconds=300))
    assert len(scheduler.requests) > 1


async def test_a_watch_waits_as_long_as_the_scheduler_asks(scheduler: ScriptedScheduler) -> None:
    """RetryInfo is honoured for streams too."""
    wait = timedelta(milliseconds=400)
    busy = detailed(grpc.StatusCode.UNAVAILABLE, "the database is away", reason="STORE_AWAY", retry_after=wait)
    scheduler.script("WatchJob", refused_stream(busy), stream(job(9, SUCCEEDED)))
    assert await revisions(scheduler) == [9]
    assert scheduler.times[1] - scheduler.times[0] >= wait.total_seconds()


async def test_wait_gives_the_final_job_complete(scheduler: ScriptedScheduler) -> None:
    """It asks for the full view and returns the last snapshot."""
    scheduler.script("WatchJob", stream(job(1, QUEUED), job(9, SUCCEEDED)))
    async with AsyncClient(scheduler.address) as client:
        got = await client.wait("j1")
    assert (got.state, got.revision) == (JobState.SUCCEEDED, 9)
    assert scheduler.requests[0].view == job_pb2.JOB_VIEW_FULL


async def test_wait_ends_at_its_timeout(scheduler: ScriptedScheduler) -> None:
    """DeadlineExceeded says that the job goes on."""
    scheduler.script("WatchJob", stream(job(1, QUEUED), hang=True))
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(errors.DeadlineExceeded, match="it goes on"):
            await client.wait("j1", timeout=timedelta(milliseconds=300))


async def test_a_watch_that_is_left_ends_its_call(scheduler: ScriptedScheduler) -> None:
    """Closing the iterator cancels the call at the server."""
    left = asyncio.Event()

    async def until_cancelled(request: object, context: Any) -> AsyncIterator[Any]:
        context.add_done_callback(lambda _: left.set())
        async for response in stream(job(1, QUEUED), hang=True)(request, context):
            yield response

    scheduler.script("WatchJob", until_cancelled)
    async with AsyncClient(scheduler.address) as client:
        watch = client.watch("j1")
        await anext(watch)
        await watch.aclose()
        await asyncio.wait_for(left.wait(), 5)


async def test_a_refused_watch_is_raised(scheduler: ScriptedScheduler) -> None:
    """A watch of what is no job id is the caller's error."""
    wrong = detailed(grpc.StatusCode.INVALID_ARGUMENT, "no job id", reason="INVALID", violations={"job_id": "empty"})
    scheduler.script("WatchJob", refused_stream(wrong))
    with pytest.raises(errors.InvalidRequest) as caught:
        await revisions(scheduler)
    assert [at.field for at in caught.value.violations] == ["job_id"]
