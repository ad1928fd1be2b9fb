"""AsyncClient's watches of many jobs over WatchJobs streams, against a real gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.client.conftest import (
    ScriptedScheduler,
    job,
    stream,
)
from tests.integration.client.steered_watch import AWAY, QUEUED, RUNNING, Watching, done, watch_error

from telecine_client import AsyncClient, WatchEvent, errors


async def test_a_quiet_stream_is_no_outage(scheduler: ScriptedScheduler) -> None:
    """That a scheduler took the stream is contact, however long it has nothing to tell: of one job, and of many."""

    async def quiet(requests: object, context: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(0.8)
        await context.send_initial_metadata(())
        await asyncio.sleep(0.6)
        await context.abort_with_status(AWAY)
        yield

    last = Watching()
    scheduler.script("WatchJobs", quiet, last)
    scheduler.script("WatchJob", quiet, stream(done("a")))
    outage = timedelta(seconds=1)

    async def one(client: AsyncClient) -> list[str]:
        return [each.job_id async for each in client.watch("a", outage_timeout=outage)]

    async def many(client: AsyncClient) -> list[str]:
        return [each.job_id async for each in client.watch_many(["b"], outage_timeout=outage)]

    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        last.say(done("b"))
        assert [["a"], ["b"]] == await asyncio.gather(one(client), many(client))


async def test_a_watch_of_many_tells_every_change_and_ends_with_the_last_job(scheduler: ScriptedScheduler) -> None:
    """Newer snapshots only, errors as events, and the end once nothing more can come."""
    watching = Watching()
    scheduler.script("WatchJobs", watching)
    seen: list[WatchEvent] = []
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        watching.say(job(1, QUEUED, job_id="a"), job(2, QUEUED, job_id="b"), errors=[watch_error("c", "JOB_NOT_FOUND")])
        watching.say(job(1, QUEUED, job_id="a"), job(5, RUNNING, job_id="a"), done("b"))
        watching.say(done("a"))
        seen += [event async for event in client.watch_many(["a", "b", "c"])]
    told = [(event.job_id, event.job.revision if event.job else type(event.error)) for event in seen]
    assert [("a", 1), ("b", 2), ("c", errors.JobNotFound), ("a", 5), ("b", 9), ("a", 9)] == told


async def test_a_watch_of_all_resumes_with_its_token(scheduler: ScriptedScheduler) -> None:
    """After a break the stream begins with the last token; what comes twice is left out; a reset is told."""
    first, second = Watching(), Watching()
    scheduler.script("WatchJobs", first, second)
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        first.say(job(1, QUEUED, job_id="a"), job(2, QUEUED, job_id="b"), resume_token="t1")
        first.end(AWAY)
        second.say(job(2, QUEUED, job_id="b"), job(3, RUNNING, job_id="b"), resume_token="t2", reset=True)
        async with aclosing(client.watch_many(labels={"film": "x"}, resume_token="t0")) as events:
            seen = [await anext(events) for _ in range(4)]
    assert [("a", False), ("b", False), ("", True), ("b", False)] == [(event.job_id, event.reset) for event in seen]
    assert ["t0", "t1", "t1", "t2"] == [event.resume_token for event in seen]
    assert first.start is not None
    assert second.start is not None
    assert [("t0", {"film": "x"}), ("t1", {"film": "x"})] == [
        (start.resume_token, dict(start.labels)) for start in (first.start, second.start)
    ]


async def test_a_watch_of_thousands_is_told_in_messages_of_a_thousand(scheduler: ScriptedScheduler) -> None:
    """The contract's bound on one message."""
    watching = Watching()
    scheduler.script("WatchJobs", watching)
    names = [f"j{number}" for number in range(2500)]
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        watch = asyncio.create_task(anext(client.watch_many(names)))
        await watching.asked_for(*names)
        watch.cancel()
        await asyncio.wait([watch])
    assert [1000, 1000, 500] == [len(request.add.jobs) for request in scheduler.requests[1:]]


async def test_a_watch_of_nothing_ends_at_once(scheduler: ScriptedScheduler) -> None:
    """No stream is opened for it."""
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        assert [] == [event async for event in client.watch_many([])]
    assert 0 == scheduler.opened["WatchJobs"]


async def test_too_many_jobs_for_a_watch_are_refused(scheduler: ScriptedScheduler) -> None:
    """Before anything is sent."""
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(errors.InvalidRequest, match="at most 10000"):
            await anext(client.watch_many(f"j{number}" for number in range(10_001)))
