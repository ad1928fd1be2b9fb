"""AsyncClient's waits, which share WatchJobs streams, against a real gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from tests.integration.client.conftest import (
    SPEC,
    ScriptedScheduler,
    detailed,
    job,
    refuse,
)
from tests.integration.client.steered_watch import AWAY, QUEUED, RUNNING, SUCCEEDED, Watching, done, watch_error

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import AsyncClient, JobState, WaitManyError, errors
from telecine_client.waits import MOST_COMPLETED_AT_ONCE


def getting(message: job_pb2.Job) -> Any:
    """A single call's answer."""

    async def answer(request: object, context: Any) -> service_pb2.GetJobResponse:
        return service_pb2.GetJobResponse(job=message)

    return answer


async def never(request: object, context: Any) -> None:
    """A call without answer."""
    await asyncio.Event().wait()


async def test_all_waits_of_a_client_share_a_stream(scheduler: ScriptedScheduler) -> None:
    """Fifty waits, two of them for one job, are one stream that is told of 49 jobs; each wait has its own job."""
    watching = Watching()
    scheduler.script("WatchJobs", watching)
    names = ["j0", *(f"j{number}" for number in range(49))]
    async with AsyncClient(scheduler.address, tenant="films") as client, asyncio.timeout(10):
        waits = [asyncio.create_task(client.wait(name, full=False)) for name in names]
        await watching.asked_for(*names)
        watching.say(*(job(3, RUNNING, job_id=name) for name in names[1:]))
        watching.say(*(done(name) for name in reversed(names[1:])))
        ended = await asyncio.gather(*waits)
    assert names == [each.job_id for each in ended]
    assert (1, "films", 49) == (
        scheduler.opened["WatchJobs"],
        watching.start and watching.start.tenant,
        len(watching.added),
    )


async def test_a_wait_gives_the_job_complete(scheduler: ScriptedScheduler) -> None:
    """The stream has no spec; a call after the end has all of it."""
    watching = Watching()
    scheduler.script("WatchJobs", watching)
    scheduler.script("GetJob", getting(job(9, SUCCEEDED, spec=SPEC)))
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        wait = asyncio.create_task(client.wait("j1"))
        await watching.asked_for("j1")
        watching.say(done("j1"))
        assert SPEC == (await wait).spec


@pytest.mark.parametrize(
    "later",
    [
        getting(job(12, QUEUED, spec=SPEC)),
        refuse(detailed(grpc.StatusCode.NOT_FOUND, "no job", reason="JOB_NOT_FOUND")),
        refuse(AWAY),
        never,
    ],
)
@pytest.mark.parametrize(
    ("within", "timeout"), [(None, timedelta(milliseconds=300)), (timedelta(milliseconds=700), timedelta(seconds=5))]
)
async def test_a_wait_tells_the_end_it_saw(
    scheduler: ScriptedScheduler, later: Any, within: timedelta | None, timeout: timedelta
) -> None:
    """A job that is retried or deleted in the moment of its end has ended all the same; so has one when no scheduler answers
    after it, be it that the wait's time is over or the call's."""
    watching = Watching()
    scheduler.script("WatchJobs", watching)
    scheduler.script("GetJob", later)
    async with AsyncClient(scheduler.address, timeout=timeout) as client, asyncio.timeout(10):
        wait = asyncio.create_task(client.wait("j1", within))
        await watching.asked_for("j1")
        watching.say(done("j1"))
        assert (JobState.SUCCEEDED, 9) == ((await wait).state, (await wait).revision)


async def test_jobs_that_end_together_are_not_asked_for_all_at_once(scheduler: ScriptedScheduler) -> None:
    """A hundred waits complete their jobs by no more calls at a time than is said."""
    watching, asked, most = Watching(), 0, 0

    async def got(request: service_pb2.GetJobRequest, context: Any) -> service_pb2.GetJobResponse:
        nonlocal asked, most
        asked += 1
        most = max(most, asked)
        await asyncio.sleep(0.01)
        asked -= 1
        return service_pb2.GetJobResponse(job=job(9, SUCCEEDED, job_id=request.job_id, spec=SPEC))

    scheduler.script("WatchJobs", watching)
    scheduler.script("GetJob", got)
    names = [f"j{number}" for number in range(100)]
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        waits = [asyncio.create_task(client.wait(name)) for name in names]
        await watching.asked_for(*names)
        watching.say(*map(done, names))
        ended = await asyncio.gather(*waits)
    assert [SPEC] * 100 == [each.spec for each in ended]
    assert 1 < most <= MOST_COMPLETED_AT_ONCE


async def test_a_job_that_two_wait_for_is_named_once(scheduler: ScriptedScheduler) -> None:
    """And each has an error of its own, because each raises it."""
    watching = Watching()
    scheduler.script("WatchJobs", watching)
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        waits = [asyncio.create_task(client.wait("a", full=False))]
        await watching.asked_for("a")
        waits += [asyncio.create_task(client.wait(name, full=False)) for name in ("a", "b")]
        await watching.asked_for("b")
        watching.say(done("b"), errors=[watch_error("a", "JOB_NOT_FOUND")])
        first, second, _ = await asyncio.gather(*waits, return_exceptions=True)
    named = [each.job_id for request in scheduler.requests for each in request.add.jobs]
    assert ["a", "b"] == named
    assert [errors.JobNotFound, errors.JobNotFound] == [type(first), type(second)]
    assert first is not second


async def test_a_wait_that_is_given_up_is_taken_off_the_stream(scheduler: ScriptedScheduler) -> None:
    """The others go on; the scheduler is told; one of two waits for the same job changes nothing."""
    watching = Watching()
    scheduler.script("WatchJobs", watching)
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        waits = [asyncio.create_task(client.wait(name, full=False)) for name in ("a", "b", "b")]
        await watching.asked_for("a", "b")
        for wait in waits[:2]:
            wait.cancel()
        await watching.told_to_leave("a")
        watching.say(done("b"))
        assert "b" == (await waits[2]).job_id
    assert ["a"] == watching.removed


async def test_a_wait_ends_at_its_timeout_and_leaves(scheduler: ScriptedScheduler) -> None:
    """DeadlineExceeded says that the job goes on, and the scheduler is told that nobody waits."""
    watching = Watching()
    scheduler.script("WatchJobs", watching)
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(errors.DeadlineExceeded, match="it goes on"):
            await client.wait("j1", timedelta(milliseconds=300))
        await watching.told_to_leave("j1")


async def test_a_job_that_is_not_there_fails_its_wait_alone(scheduler: ScriptedScheduler) -> None:
    """JobNotFound and JobDeleted reach those who wait for these jobs, and nobody else."""
    watching = Watching()
    scheduler.script("WatchJobs", watching)
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        waits = [asyncio.create_task(client.wait(name, full=False)) for name in ("none", "gone", "there")]
        await watching.asked_for("none", "gone", "there")
        watching.say(errors=[watch_error("none", "JOB_NOT_FOUND"), watch_error("gone", "JOB_DELETED")])
        watching.say(done("there"))
        none, gone, there = await asyncio.gather(*waits, return_exceptions=True)
    assert [errors.JobNotFound, errors.JobDeleted] == [type(none), type(gone)]
    assert not isinstance(there, BaseException)


async def test_a_wait_for_no_job_id_never_reaches_the_stream(scheduler: ScriptedScheduler) -> None:
    """The scheduler would end the stream over it, and with it the waits of others."""
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(errors.InvalidRequest, match="is no job id") as caught:
            await client.wait("../etc/passwd")
    assert ["job_id"] == [at.field for at in caught.value.violations]
    assert 0 == scheduler.opened["WatchJobs"]


async def test_wait_many_gives_every_job_by_id(scheduler: ScriptedScheduler) -> None:
    """In the order they were asked for, whatever the order of their ends."""
    watching = Watching()
    scheduler.script("WatchJobs", watching)
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        wait = asyncio.create_task(client.wait_many(["a", "b", "c", "a"]))
        await watching.asked_for("a", "b", "c")
        watching.say(done("c"), done("b"))
        watching.say(done("a"))
        assert ["a", "b", "c"] == list(await wait)
        assert {} == await client.wait_many([])


async def test_wait_many_tells_what_it_saw_and_what_not(scheduler: ScriptedScheduler) -> None:
    """At the timeout: one ended, one is not there, one goes on."""
    watching = Watching()
    scheduler.script("WatchJobs", watching)
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        wait = asyncio.create_task(client.wait_many(["a", "b", "c"], timedelta(seconds=2)))
        await watching.asked_for("a", "b", "c")
        watching.say(done("a"), errors=[watch_error("b", "JOB_NOT_FOUND")])
        with pytest.raises(WaitManyError, match="2 of 3 jobs were not seen to their end") as caught:
            await wait
    seen = caught.value
    assert (["a"], ["b", "c"]) == (list(seen.jobs), list(seen.errors))
    assert [errors.JobNotFound, errors.DeadlineExceeded] == [type(each) for each in seen.errors.values()]


async def test_more_waits_than_a_stream_holds_open_another(scheduler: ScriptedScheduler) -> None:
    """The 10,001st job has room too."""

    async def ending(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        # Nothing is said of the order in which the two streams are read.
        async for request in requests:
            yield service_pb2.WatchJobsResponse(jobs=[done(each.job_id) for each in request.add.jobs])

    scheduler.script("WatchJobs", ending)
    names = [f"j{number}" for number in range(10_001)]
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(60):
        assert names == list(await client.wait_many(names))
    assert 2 == scheduler.opened["WatchJobs"]
    assert {True, False} == {len(request.add.jobs) == 1 for request in scheduler.requests if request.HasField("add")}
