"""Both clients with real schedulers on a real Redis or Valkey, and a worker that says what the test wants."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import pytest
import redis

from support.redis_server import RedisServer
from support.running_scheduler import Running, ScriptedWorker, a_spec, running_scheduler
from telecine.v1 import job_pb2
from telecine_client import AsyncClient, Client, Job, JobState, SubmitManyError, WaitManyError, errors


@pytest.fixture(scope="module")
def store() -> Iterator[RedisServer]:
    # A short path: a unix socket's has at most 107 characters.
    with tempfile.TemporaryDirectory(prefix="tc") as folder:
        server = RedisServer(Path(folder), appendonly="no", appendfsync="no")
        server.start()
        yield server
        server.stop()


@pytest.fixture
async def running(store: RedisServer) -> AsyncIterator[Running]:
    with redis.Redis(unix_socket_path=str(store.socket)) as client:
        client.flushall()
    async with running_scheduler(store.url) as running:
        yield running


@pytest.fixture
async def client(running: Running) -> AsyncIterator[AsyncClient]:
    async with asyncio.timeout(60), AsyncClient(running.address) as client:
        yield client


async def finish_all(worker: ScriptedWorker, count: int) -> None:
    """Succeed at so many jobs, one after the other."""
    for done in range(1, count + 1):
        grant = await worker.grant(done)
        await worker.finish(grant.lease, succeeded=job_pb2.JobResult(measurements={"n": done}))


async def test_what_is_submitted_together_is_accepted_each_on_its_own(client: AsyncClient) -> None:
    """The stream's answers are those of the single call: new, the same again, taken, and broken by its rules."""
    await client.submit(a_spec(), job_id="taken")
    wrong = a_spec(priority=101)
    with pytest.raises(SubmitManyError) as caught:
        await client.submit_many(
            [("new", a_spec()), ("taken", a_spec()), ("taken", a_spec(queue="other")), ("wrong", wrong)]
        )
    new, again, taken, broken = caught.value.results
    assert ["new", "taken"] == [each.job_id for each in (new, again) if isinstance(each, Job)]
    assert isinstance(taken, errors.JobExists)
    assert ("queued", ("spec.queue",)) == (taken.state, taken.differing_fields)
    with pytest.raises(errors.InvalidRequest) as single:
        await client.submit(wrong, validate_only=True)
    assert isinstance(broken, errors.InvalidRequest)
    assert (single.value.message, single.value.violations) == (broken.message, broken.violations)


async def test_a_batch_is_stored_whole_or_not_at_all(client: AsyncClient) -> None:
    """A bad job is named by its place, and none of the batch is there."""
    with pytest.raises(errors.InvalidRequest) as caught:
        await client.submit_batch([("a", a_spec()), ("b", a_spec(priority=101))])
    assert ["requests[1].spec.priority"] == [at.field for at in caught.value.violations]
    with pytest.raises(errors.JobNotFound):
        await client.get("a")
    jobs = await client.submit_batch([("a", a_spec()), ("b", a_spec())])
    assert ["a", "b"] == [each.job_id for each in jobs]


async def test_thousands_are_submitted_and_listed_once_each(client: AsyncClient) -> None:
    """Newest first, over pages, by state and label."""
    await client.submit_many((f"j{number:04}", a_spec(labels={"odd": str(number % 2)})) for number in range(700))
    every = [each.job_id async for each in client.list(page_size=500)]
    assert [f"j{number:04}" for number in reversed(range(700))] == every
    odd = [each async for each in client.list(states=[JobState.QUEUED], labels={"odd": "1"}, limit=7)]
    assert [f"j{number:04}" for number in range(699, 685, -2)] == [each.job_id for each in odd]
    assert {"odd": "1"} == dict(odd[0].labels)
    assert [] == [each async for each in client.list(states=[JobState.RUNNING])]
    with pytest.raises(errors.InvalidRequest):
        await client.list_page(page_token="none of yours")
    with pytest.raises(errors.InvalidRequest):
        await client.list_page(page_size=-1)


async def test_all_ends_come_over_one_stream(running: Running, client: AsyncClient) -> None:
    """Succeeded, cancelled, never there: each wait has its own end, with the result."""
    await client.submit_many((f"j{number}", a_spec()) for number in range(6))
    waits = asyncio.create_task(client.wait_many([*(f"j{number}" for number in range(6)), "never"]))
    whole = asyncio.create_task(client.wait("j0"))
    await client.cancel("j5")
    async with ScriptedWorker(running.address) as worker:
        await finish_all(worker, 5)
    with pytest.raises(WaitManyError) as caught:
        await waits
    states = Counter(job.state for job in caught.value.jobs.values())
    assert {JobState.SUCCEEDED: 5, JobState.CANCELLED: 1} == states
    assert [errors.JobNotFound] == [type(each) for each in caught.value.errors.values()]
    ended = await whole
    assert (1, True, {"n": 1.0}) == (
        len(ended.attempts),
        bool(ended.spec),
        dict(ended.result.measurements if ended.result else {}),
    )


async def test_a_watch_by_label_resumes_where_it_was_left(client: AsyncClient) -> None:
    """With the token of the last event, nothing that changed meanwhile is missed, and nothing else is told."""
    async with aclosing(client.watch_many(labels={"film": "x"})) as events:
        first = asyncio.create_task(anext(events))
        # The watch begins from now: something has to change until it has begun.
        while not first.done():
            await client.submit(a_spec(labels={"film": "x"}))
            await asyncio.wait([first], timeout=0.05)
        token = (await first).resume_token
    await client.submit(a_spec(labels={"film": "y"}), job_id="other")
    await client.submit(a_spec(labels={"film": "x"}), job_id="mine")
    async with aclosing(client.watch_many(labels={"film": "x"}, resume_token=token)) as events:
        async for event in events:
            assert event.job_id != "other"
            if event.job_id == "mine":
                break


async def test_a_job_is_retried_and_deleted(running: Running, client: AsyncClient) -> None:
    """With the generation that was seen; each refusal says why."""
    await client.submit(a_spec(), job_id="j1")
    with pytest.raises(errors.JobNotFinished):
        await client.retry("j1")
    with pytest.raises(errors.JobNotFinished):
        await client.delete("j1")
    seen = await client.cancel("j1")
    again = [await client.retry("j1", expected_generation=seen.generation) for _ in range(2)]
    assert [(JobState.QUEUED, 2)] * 2 == [(each.state, each.generation) for each in again]
    with pytest.raises(errors.GenerationMismatch) as caught:
        await client.retry("j1", expected_generation=7)
    assert caught.value.generation == 2
    async with ScriptedWorker(running.address) as worker:
        await finish_all(worker, 1)
    await client.wait("j1")
    with pytest.raises(errors.JobSucceeded):
        await client.retry("j1")
    await client.delete("j1")
    await client.delete("j1")
    with pytest.raises(errors.JobNotFound):
        await client.get("j1")
    with pytest.raises(errors.JobIdSpent):
        await client.submit(a_spec(), job_id="j1")


async def test_figures_and_workers_are_told(running: Running, client: AsyncClient) -> None:
    """A job that nobody can run says so, in the job and in the figures; a worker that connects is listed."""
    blocked = await client.submit(a_spec(requirements=["gpu/none"]))
    assert blocked.blocked_reason
    stats = await client.queue_stats()
    assert (1, 1, 0) == (stats.jobs_by_state[JobState.QUEUED], stats.blocked_job_count, stats.worker_count)
    async with ScriptedWorker(running.address, worker_id="w7", slots=3) as worker:
        await worker.welcome()
        while not (workers := [each async for each in client.workers()]):
            await asyncio.sleep(0.02)
    assert [("w7", 3, 0, ("default",))] == [
        (each.worker_id, each.slot_count, each.busy_slot_count, each.queues) for each in workers
    ]


async def test_submissions_and_waits_move_to_the_next_scheduler(store: RedisServer, running: Running) -> None:
    """One of two schedulers drains under hundreds of submissions: each job is there once, and every end is seen."""
    async with (
        running_scheduler(store.url) as other,
        AsyncClient(f"{running.address},{other.address}") as client,
        asyncio.timeout(60),
    ):
        names = [f"j{number}" for number in range(600)]
        submitting = asyncio.create_task(client.submit_many(((name, a_spec()) for name in names), in_flight=20))
        await client.submit(a_spec(), job_id="first")
        waiting = asyncio.create_task(client.wait("first", full=False))
        running.stop.set()
        assert names == [each.job_id for each in await submitting]
        assert other.address == client._schedulers.rotation.current
        listed = [each.job_id async for each in client.list(page_size=1000)]
        assert sorted([*names, "first"]) == sorted(listed)
        await client.cancel("first")
        assert JobState.CANCELLED is (await waiting).state


async def test_the_blocking_client_does_all_of_it(running: Running) -> None:
    """The same calls, from a thread without an event loop."""

    def use() -> None:
        with Client(running.address, timeout=timedelta(seconds=20)) as client:
            jobs = client.submit_many(
                ((f"j{number}", a_spec(labels={"a": "b"})) for number in range(700)), in_flight=600
            )
            assert [f"j{number}" for number in range(700)] == [each.job_id for each in jobs]
            assert ["j699", "j698"] == [each.job_id for each in client.list(labels={"a": "b"}, limit=2)]
            assert client.queue_stats().jobs_by_state[JobState.QUEUED] == 700
            assert [] == list(client.workers())
            for number in range(3):
                client.cancel(f"j{number}")
            assert {JobState.CANCELLED} == {each.state for each in client.wait_many(["j0", "j1"]).values()}
            assert JobState.CANCELLED is list(client.watch("j2"))[-1].state
            assert (JobState.CANCELLED, True) == (client.wait("j2").state, bool(client.wait("j2").spec))
            assert ["j0"] == [event.job_id for event in client.watch_many(["j0"])]
            assert 2 == client.retry("j0").generation
            client.delete("j1")
            with pytest.raises(errors.DeadlineExceeded):
                client.wait("j5", timedelta(milliseconds=200))

    await asyncio.to_thread(use)
