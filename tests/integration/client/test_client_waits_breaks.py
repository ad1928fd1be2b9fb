"""AsyncClient's waits over streams that break, end unread or say what makes no sense."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from tests.integration.client.conftest import ScriptedScheduler, job, serving, unimplemented
from tests.integration.client.steered_watch import AWAY, RUNNING, Watching, done

from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import AsyncClient, errors
from telecine_client.backoff import Backoff
from telecine_client.resumption import Breaks


async def test_waits_survive_a_scheduler_that_ends_their_streams_unread(
    scheduler: ScriptedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Writing to a stream that has ended makes gRPC say INTERNAL; however often that happens, it is a break. But it need not
    happen often: after one whose end could not be heard, a stream is not written to before its end would be."""
    heard: list[bool] = []
    wait_after = Breaks.wait

    def noted(breaks: Breaks, failed: errors.TelecineError, now: float) -> float:
        heard.append(failed.reason == "DRAINING")
        return wait_after(breaks, failed, now)

    monkeypatch.setattr(Breaks, "wait", noted)
    names = [f"{number:0>120}" for number in range(2000)]

    async def unread(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        await context.abort_with_status(AWAY)
        yield

    last = Watching()
    scheduler.script("WatchJobs", *[unread] * 20, last)
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(30):
        client._schedulers.backoff = Backoff(ceiling=timedelta(milliseconds=1))
        wait = asyncio.create_task(client.wait_many(names))
        await last.asked_for(*names)
        last.say(*map(done, names))
        assert 2000 == len(await wait)
    # The first message may still be too late; without that pause it is four of five.
    assert (20, True) == (len(heard), sum(heard) >= 12)


async def test_an_older_scheduler_is_understood_whatever_there_is_to_say(scheduler: ScriptedScheduler) -> None:
    """Its UNIMPLEMENTED is heard in the end, and every wait has a stream of its own."""
    names = [f"{number:0>120}" for number in range(1500)]

    async def each(request: service_pb2.WatchJobRequest, context: Any) -> AsyncIterator[Any]:
        yield service_pb2.WatchJobResponse(job=done(request.job_id))

    scheduler.script("WatchJob", each)
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(30):
        client._schedulers.backoff = Backoff(ceiling=timedelta(milliseconds=1))
        assert names == list(await client.wait_many(names))


async def test_an_error_that_says_nothing_fails_its_job_alone(scheduler: ScriptedScheduler) -> None:
    """A status without code and message is an error of the scheduler, and nothing to the others."""
    watching = Watching()
    scheduler.script("WatchJobs", watching)
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        waits = [asyncio.create_task(client.wait(name, full=False)) for name in ("odd", "good")]
        await watching.asked_for("odd", "good")
        watching.say(errors=[service_pb2.WatchError(job_id="odd")])
        watching.say(done("good"))
        odd, good = await asyncio.gather(*waits, return_exceptions=True)
    assert isinstance(odd, errors.InternalError)
    assert not isinstance(good, BaseException)


async def test_what_cannot_be_read_is_not_called_a_closing(scheduler: ScriptedScheduler) -> None:
    """An answer beyond all sense ends the waits with InternalError."""
    watching = Watching()
    scheduler.script("WatchJobs", watching)
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        wait = asyncio.create_task(client.wait("j1", full=False))
        await watching.asked_for("j1")
        watching.say(job(3, RUNNING, create_time={"seconds": 2**62}))
        with pytest.raises(errors.InternalError, match="could not be read"):
            await wait
        (shared,) = client._waits._shared
        assert isinstance(shared._running.exception(), ValueError | OverflowError)


async def test_waits_that_are_cancelled_leave_no_task_behind(scheduler: ScriptedScheduler) -> None:
    """Nobody would hear what they have to say."""
    watching = Watching()
    scheduler.script("WatchJobs", watching)
    async with AsyncClient(scheduler.address) as client:
        many = asyncio.create_task(client.wait_many(["a", "b"]))
        await watching.asked_for("a", "b")
        many.cancel()
        await asyncio.wait([many])
        left = [task for task in asyncio.all_tasks() if "wait_for_all" in repr(task.get_coro())]
    assert [] == left


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
