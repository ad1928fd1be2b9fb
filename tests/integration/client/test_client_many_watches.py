"""AsyncClient's waits and watches over WatchJobs streams, against a real gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2
from tests.integration.client.conftest import SPEC, ScriptedScheduler, detailed, job, serving, stream, unimplemented

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import AsyncClient, JobState, WaitManyError, WatchEvent, errors

QUEUED = job_pb2.JOB_STATE_QUEUED
RUNNING = job_pb2.JOB_STATE_RUNNING
SUCCEEDED = job_pb2.JOB_STATE_SUCCEEDED
AWAY = detailed(grpc.StatusCode.UNAVAILABLE, "the scheduler stops", reason="DRAINING")


def watch_error(job_id: str, reason: str) -> service_pb2.WatchError:
    """Why a job is not watched."""
    trailers = dict(detailed(grpc.StatusCode.NOT_FOUND, f"no {job_id}", reason=reason).trailing_metadata)
    return service_pb2.WatchError(
        job_id=job_id, error=status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    )


class Watching:
    """A stream the test steers: what it was asked, and what it says next."""

    def __init__(self) -> None:
        self.start: service_pb2.WatchJobsRequest.Start | None = None
        self.added: dict[str, int] = {}
        self.removed: list[str] = []
        self.changed = asyncio.Condition()
        self._out: asyncio.Queue[service_pb2.WatchJobsResponse | grpc.Status | None] = asyncio.Queue()

    async def __call__(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await context.send_initial_metadata(())
        reading = asyncio.create_task(self._read(requests))
        try:
            async with self.changed:
                await self.changed.wait_for(lambda: self.start is not None)
            while isinstance(said := await self._out.get(), service_pb2.WatchJobsResponse):
                yield said
            if said is not None:
                await context.abort_with_status(said)
        finally:
            reading.cancel()

    async def _read(self, requests: AsyncIterator[Any]) -> None:
        async for request in requests:
            async with self.changed:
                if request.HasField("start"):
                    self.start = request.start
                self.added |= {each.job_id: each.after_revision for each in request.add.jobs}
                self.removed += request.remove.job_ids
                self.changed.notify_all()

    async def asked_for(self, *job_ids: str) -> None:
        """Until these were added."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: set(job_ids) <= self.added.keys())

    async def told_to_leave(self, *job_ids: str) -> None:
        """Until these were removed."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: set(job_ids) <= set(self.removed))

    def say(self, *jobs: job_pb2.Job, **fields: Any) -> None:
        """One message."""
        self._out.put_nowait(service_pb2.WatchJobsResponse(jobs=jobs, **fields))

    def end(self, status: grpc.Status | None = None) -> None:
        """With OK, or with an error."""
        self._out.put_nowait(status)


def done(job_id: str) -> job_pb2.Job:
    """A final snapshot as of this stream."""
    return job(9, SUCCEEDED, job_id=job_id)


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
    scheduler.script("WatchJob", stream(job(9, SUCCEEDED, spec=SPEC)))
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        wait = asyncio.create_task(client.wait("j1"))
        await watching.asked_for("j1")
        watching.say(done("j1"))
        assert SPEC == (await wait).spec


@pytest.mark.parametrize("later", [stream(job(12, QUEUED, spec=SPEC)), None])
async def test_a_wait_tells_the_end_it_saw(scheduler: ScriptedScheduler, later: Any) -> None:
    """A job that is retried, or deleted, in the moment of its end has ended all the same."""

    async def gone(request: object, context: Any) -> AsyncIterator[Any]:
        await context.abort_with_status(detailed(grpc.StatusCode.NOT_FOUND, "no job", reason="JOB_NOT_FOUND"))
        yield

    watching = Watching()
    scheduler.script("WatchJobs", watching)
    scheduler.script("WatchJob", later or gone)
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        wait = asyncio.create_task(client.wait("j1"))
        await watching.asked_for("j1")
        watching.say(done("j1"))
        assert (JobState.SUCCEEDED, 9) == ((await wait).state, (await wait).revision)


async def test_waits_survive_a_break(scheduler: ScriptedScheduler) -> None:
    """The next stream is told of the jobs that have not ended, with the last revisions seen."""
    first, second = Watching(), Watching()
    scheduler.script("WatchJobs", first, second)
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        waits = [asyncio.create_task(client.wait(name, full=False)) for name in ("a", "b", "c")]
        await first.asked_for("a", "b", "c")
        first.say(job(5, RUNNING, job_id="a"), done("b"))
        first.end(AWAY)
        await second.asked_for("a", "c")
        second.say(done("a"), done("c"))
        assert ["a", "b", "c"] == [each.job_id for each in await asyncio.gather(*waits)]
    assert {"a": 5, "c": 0} == second.added


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


async def test_an_older_scheduler_is_asked_job_by_job(scheduler: ScriptedScheduler) -> None:
    """Without WatchJobs every wait has a WatchJob of its own, and the first of them finds it out."""

    async def each(request: service_pb2.WatchJobRequest, context: Any) -> AsyncIterator[Any]:
        yield service_pb2.WatchJobResponse(job=done(request.job_id))

    scheduler.script("WatchJob", each)
    scheduler.script("WatchJobs", unimplemented(messages=2))
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        assert ["a", "b"] == list(await client.wait_many(["a", "b"]))
        assert "c" == (await client.wait("c", full=False)).job_id
    assert 1 == scheduler.opened["WatchJobs"]


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


async def test_more_waits_than_a_stream_holds_open_another(scheduler: ScriptedScheduler) -> None:
    """The 10,001st job has room too."""
    first, second = Watching(), Watching()
    scheduler.script("WatchJobs", first, second)
    names = [f"j{number}" for number in range(10_001)]
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(60):
        wait = asyncio.create_task(client.wait_many(names))
        await first.asked_for(*names[:10_000])
        await second.asked_for(names[10_000])
        first.say(*(done(name) for name in names[:10_000]))
        second.say(done(names[10_000]))
        assert 10_001 == len(await wait)


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


async def test_waits_go_on_at_the_next_scheduler(scheduler: ScriptedScheduler) -> None:
    """A drained scheduler's stream is resumed at the other one."""
    first, second, other = Watching(), Watching(), ScriptedScheduler()
    scheduler.script("WatchJobs", first)
    other.script("WatchJobs", second)
    async with (
        serving(other),
        AsyncClient(f"{scheduler.address},{other.address}") as client,
        asyncio.timeout(10),
    ):
        wait = asyncio.create_task(client.wait("j1", full=False))
        await first.asked_for("j1")
        first.end(AWAY)
        await second.asked_for("j1")
        second.say(done("j1"))
        assert "j1" == (await wait).job_id
