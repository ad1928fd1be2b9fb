"""The life of an AsyncClient: its end, its event loop, its process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from tests.integration.client.conftest import SPEC, ScriptedScheduler, detailed, job, refuse, stream

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import AsyncClient, Client, Job, SubmitManyError, errors
from telecine_client.schedulers import Schedulers

QUEUED = job_pb2.JOB_STATE_QUEUED


async def hanging(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
    """A stream that takes everything and answers nothing."""
    await context.send_initial_metadata(())
    async for _ in requests:
        pass
    yield


async def never(request: object, context: Any) -> None:
    """A call without answer."""
    await asyncio.Event().wait()


async def test_closing_ends_all_that_is_under_way(scheduler: ScriptedScheduler) -> None:
    """A call, a submission, a wait, a watch and a watch of many end with Unavailable, none with a cancellation."""
    scheduler.script("GetJob", never)
    scheduler.script("SubmitJobs", hanging)
    scheduler.script("WatchJobs", hanging)
    scheduler.script("WatchJob", stream(job(1, QUEUED), hang=True))

    async def watched(client: AsyncClient) -> None:
        async for _ in client.watch("j1"):
            pass

    async def watched_many(client: AsyncClient) -> None:
        async for _ in client.watch_many(all=True):
            pass

    client = AsyncClient(scheduler.address)
    under_way = [
        asyncio.create_task(each)
        for each in (
            client.get("j1"),
            client.submit(SPEC),
            client.wait("j1"),
            watched(client),
            watched_many(client),
        )
    ]
    async with asyncio.timeout(10):
        await scheduler.reached({"GetJob": 1, "SubmitJobs": 1, "WatchJobs": 2, "WatchJob": 1})
        await client.close()
        ends = await asyncio.gather(*under_way, return_exceptions=True)
    assert [errors.Unavailable] * 5 == [type(end) for end in ends]
    assert {"the client was closed while the call was under way"} == {str(end) for end in ends}


async def test_a_closed_client_says_so(scheduler: ScriptedScheduler) -> None:
    """Whatever is asked of it; closing it twice is fine."""
    client = AsyncClient(scheduler.address)
    await client.close()
    await client.close()
    for call in (client.get("j1"), client.submit(SPEC), client.wait("j1"), anext(client.watch("j1"))):
        with pytest.raises(RuntimeError, match="this client is closed"):
            await call


async def test_a_client_leaves_no_task_behind(scheduler: ScriptedScheduler) -> None:
    """Streams that stood open end with it."""

    async def answering(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for message in requests:
            results = [{"response": {"job": job(1, QUEUED, job_id=each.job_id)}} for each in message.requests]
            yield service_pb2.SubmitJobsResponse(sequence=message.sequence, results=results)

    async def ending(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for message in requests:
            ended = [job(9, job_pb2.JOB_STATE_SUCCEEDED, job_id=each.job_id) for each in message.add.jobs]
            yield service_pb2.WatchJobsResponse(jobs=ended)

    scheduler.script("SubmitJobs", answering)
    scheduler.script("WatchJobs", ending)
    async with AsyncClient(scheduler.address) as client:
        submitted = await client.submit(SPEC)
        await client.wait(submitted.job_id, full=False)
        assert len(tasks_of_the_client()) == 4
    assert [] == tasks_of_the_client()


def tasks_of_the_client() -> list[str]:
    """What it runs in the background: a reader and a writer for each stream."""
    codes = [getattr(task.get_coro(), "cr_code", None) for task in asyncio.all_tasks()]
    return [code.co_qualname for code in codes if code and "telecine_client" in code.co_filename]


async def test_a_blocking_watch_of_all_keeps_its_stream_open(scheduler: ScriptedScheduler) -> None:
    """A scheduler ends such a stream as soon as the caller half-closes it."""
    go = asyncio.Event()

    async def following(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await anext(requests)
        yield service_pb2.WatchJobsResponse(jobs=[job(1, QUEUED)])
        told, half_closed = asyncio.create_task(go.wait()), asyncio.create_task(anext(requests, None))
        await asyncio.wait([told, half_closed], return_when=asyncio.FIRST_COMPLETED)
        half_closed.cancel()
        if told.done():
            yield service_pb2.WatchJobsResponse(jobs=[job(2, QUEUED)])
        told.cancel()

    async def got(request: object, context: Any) -> service_pb2.GetJobResponse:
        return service_pb2.GetJobResponse(job=job(1, QUEUED))

    scheduler.script("WatchJobs", following)
    scheduler.script("GetJob", got)
    client = Client(scheduler.address)
    watch = client.watch_many(all=True)
    async with asyncio.timeout(10):
        first = await asyncio.to_thread(next, watch)
        # A half-close would arrive before what is sent after it over the same connection.
        for _ in range(20):
            await asyncio.to_thread(client.get, "j1")
        go.set()
        second = await asyncio.to_thread(next, watch)
        await asyncio.to_thread(watch.close)
        await asyncio.to_thread(client.close)
    assert [1, 2] == [event.job.revision for event in (first, second) if event.job]
    assert 1 == scheduler.opened["WatchJobs"]


async def test_what_is_cancelled_before_it_is_sent_is_not_sent(scheduler: ScriptedScheduler) -> None:
    """Whoever gave up in the same turn of the loop wants no job any more."""

    async def answering(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for message in requests:
            results = [{"response": {"job": job(1, QUEUED, job_id=each.job_id)}} for each in message.requests]
            yield service_pb2.SubmitJobsResponse(sequence=message.sequence, results=results)

    scheduler.script("SubmitJobs", answering)
    async with AsyncClient(scheduler.address) as client:
        await client.submit(SPEC, job_id="a")
        given_up, kept = (asyncio.create_task(client.submit(SPEC, job_id=name)) for name in ("b", "c"))
        asyncio.get_running_loop().call_soon(given_up.cancel)
        await kept
    assert ["a", "c"] == [each.job_id for message in scheduler.requests for each in message.requests]


async def test_closing_ends_every_pause(scheduler: ScriptedScheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for the next attempt is told at once that the client was closed, not after the hour that was asked for."""
    busy = detailed(grpc.StatusCode.UNAVAILABLE, "busy", reason="BUSY", retry_after=timedelta(seconds=20))

    async def ended(request: object, context: Any) -> AsyncIterator[Any]:
        await context.abort_with_status(busy)
        yield

    scheduler.script("GetJob", refuse(busy))
    scheduler.script("WatchJob", ended)
    scheduler.script("WatchJobs", ended)
    pausing, pause = asyncio.Semaphore(0), Schedulers.pause

    async def noted(schedulers: Schedulers, seconds: float) -> None:
        pausing.release()
        await pause(schedulers, seconds)

    monkeypatch.setattr(Schedulers, "pause", noted)
    client = AsyncClient(scheduler.address)
    under_way = [
        asyncio.create_task(each)
        for each in (client.get("j1"), anext(client.watch("j1")), anext(client.watch_many(all=True)), client.wait("j1"))
    ]
    async with asyncio.timeout(10):
        for _ in under_way:
            await pausing.acquire()
        await client.close()
        ends = await asyncio.gather(*under_way, return_exceptions=True)
    assert [errors.Unavailable] * 4 == [type(end) for end in ends]
    assert {"the client was closed while the call was under way"} == {str(end) for end in ends}


async def test_a_client_that_is_closed_during_submit_many_tells_what_was_accepted(scheduler: ScriptedScheduler) -> None:
    """The rest are Unavailable, those that were not begun too."""

    async def first_only(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        message = await anext(requests)
        results = [{"response": {"job": job(1, QUEUED, job_id=each.job_id)}} for each in message.requests]
        yield service_pb2.SubmitJobsResponse(sequence=message.sequence, results=results)
        await anext(requests)
        second.set()
        await asyncio.Event().wait()

    second = asyncio.Event()
    scheduler.script("SubmitJobs", first_only)
    client = AsyncClient(scheduler.address)
    many = asyncio.create_task(client.submit_many([SPEC] * 3, in_flight=1))
    async with asyncio.timeout(10):
        await second.wait()
        await client.close()
        with pytest.raises(SubmitManyError, match="2 of 3 jobs were not accepted") as caught:
            await many
    assert [Job, errors.Unavailable, errors.Unavailable] == [type(each) for each in caught.value.results]


def test_a_client_is_closed_in_its_own_loop() -> None:
    """Elsewhere that is said, and not in gRPC's words; unless it has no connection yet, or none any more."""
    client, unused = AsyncClient("127.0.0.1:1"), AsyncClient("127.0.0.1:1")

    async def use() -> None:
        client._schedulers.stub("127.0.0.1:1")

    with asyncio.Runner() as runner:
        runner.run(use())
        with pytest.raises(RuntimeError, match="belongs to another event loop; close it in that one"):
            asyncio.run(client.close())
        runner.run(client.close())
    asyncio.run(client.close())
    asyncio.run(unused.close())


def test_a_client_of_another_loop_says_so() -> None:
    """gRPC's own words would be about futures."""
    client = AsyncClient("127.0.0.1:1")

    async def use() -> None:
        client._schedulers.stub("127.0.0.1:1")

    asyncio.run(use())
    with pytest.raises(RuntimeError, match="belongs to another event loop"):
        asyncio.run(use())


async def test_a_client_from_before_a_fork_says_so(
    scheduler: ScriptedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hang for ever, as connections and threads do not come along."""
    async with AsyncClient(scheduler.address) as client:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(RuntimeError, match="before a fork"):
            await client.get("j1")
        monkeypatch.undo()
