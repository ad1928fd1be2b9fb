"""What the mutations of tests/mutations showed to be proved nowhere else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
import redis

from support.running_scheduler import Running, ScriptedWorker
from support.store_bench import WORKER, Bench, a_job
from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.domain.job import EPOCH, Job, JobName
from telecine_scheduler.store.keys import pack, prefix
from telecine_scheduler.store.lane import Argument, Lane
from telecine_scheduler.store.routed_store import RoutedStore

META = f"{prefix()}meta"


def clock_of(client: redis.Redis) -> float:
    """Seconds since the store's epoch, as Redis has it."""
    seconds, microseconds = client.time()
    return float(seconds + microseconds / 1e6 - EPOCH.timestamp())


async def test_no_clock_of_a_scheduler_decides(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scheduler whose clock is a day ahead gives numbers and leases by the clock of Redis."""
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 86_400)

    lease = await bench.start()

    now = clock_of(bench.client)
    ends = bench.client.zscore(f"{prefix()}lease", pack(lease.name)) / 1e6
    assert [True] * 3 == [abs(each - now) < 60 for each in ((await bench.job()).create / 1e6, lease.token / 1e6, ends)]


async def test_numbers_are_exact_for_centuries(bench: Bench) -> None:
    """In two hundred years, too, the last number that was given is the one that is written down, digit by digit."""
    bench.advance(timedelta(days=73_000))
    stored = await bench.store.submit_all([a_job(f"job{number}") for number in range(3)])

    creates = [job.create for job, _ in stored]
    first = creates[0]
    assert ([first, first + 1, first + 2], str(first + 2).encode()) == (creates, bench.client.hget(META, "clock"))


class NotedLane:
    """A lane that remembers what it was asked."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self.verbs: set[str] = set()

    async def call(self, verb: str, header: Sequence[Argument], item: Sequence[Argument]) -> object:
        self.verbs.add(verb)
        return await self._lane.call(verb, header, item)


async def test_what_a_caller_is_told_is_done_takes_the_durable_lane(bench: Bench) -> None:
    """What waits for the disk is what somebody relies on afterwards; what only moves leases is not kept waiting for it."""
    durable, fast = NotedLane(bench.store._durable), NotedLane(bench.store._fast)
    bench.store._durable, bench.store._fast = durable, fast  # type: ignore[assignment]
    lease = await bench.start()
    await bench.store.renew(lease, sequence=1, progress=b"")
    await bench.store.publish(lease)
    await bench.succeed(lease)
    await bench.store.submit_all([a_job("second")])
    await bench.store.cancel(a_job("second").name, reason="")
    await bench.retry("second")
    await bench.delete()
    await bench.store.adopt(lease, WORKER)
    await bench.store.reclaim(WORKER, [])
    await bench.store.sweep()
    await bench.store.disconnect(WORKER, shorten=True)

    lasting = {"submit", "submit_all", "publish", "finish", "cancel", "retry", "delete", "adopt", "reclaim", "sweep"}
    assert (lasting, {"dispatch", "accept", "renew", "disconnect"}) == (durable.verbs, fast.verbs - {"get"})


async def ended(running: Running, watch: list[job_pb2.Job], *, job_id: str = "job") -> None:
    """Watch a job to its end."""
    async with asyncio.timeout(10):
        async for response in running.jobs.WatchJob(pb.WatchJobRequest(job_id=job_id)):
            watch += [response.job]


async def test_nothing_falls_between_reading_and_listening(scheduler: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that ends right after a watch has read it, and before that read is answered, is told to have ended."""
    await scheduler.submit()
    first: list[job_pb2.Job] = []
    watching = asyncio.create_task(ended(scheduler, first))
    while not first:
        await scheduler.get()
    real, reads = RoutedStore.get, 0

    async def slow(store: RoutedStore, name: JobName, *, full: bool) -> Job | None:
        nonlocal reads
        reads += 1
        job = await real(store, name, full=full)
        if reads == 1:
            await scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id="job"))
            # The feed has passed, then, and told whoever listened.
            await watching
        return job

    monkeypatch.setattr(RoutedStore, "get", slow)
    second: list[job_pb2.Job] = []
    await ended(scheduler, second)

    assert [job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_CANCELLED] == [job.state for job in second]


async def test_a_watch_tells_no_revision_twice(scheduler: Running, client: redis.Redis) -> None:
    """The feed may say again what was told: a watcher hears of a job only when there is something newer."""
    job = await scheduler.submit()
    told: list[job_pb2.Job] = []
    watching = asyncio.create_task(ended(scheduler, told))
    while not told:
        await scheduler.get()
    client.xadd(f"{prefix()}feed", {"j": pack(a_job().name), "r": job.revision, "s": "Q"})
    # What comes later in the feed was told to another watch, so that this was, and looked into.
    other: list[job_pb2.Job] = []
    await scheduler.submit("other")
    passing = asyncio.create_task(ended(scheduler, other, job_id="other"))
    await scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id="other"))
    await passing
    await scheduler.get()
    await scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id="job"))
    await watching

    assert [job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_CANCELLED] == [each.state for each in told]


async def test_streams_that_end_together_shorten_no_leases(scheduler: Running, client: redis.Redis) -> None:
    """Of eight that break at once four at least keep their full time: it was not their workers, once that many went."""
    async with AsyncExitStack() as connected:
        for number in range(8):
            worker = ScriptedWorker(scheduler.address, worker_id=f"w{number}", slots=1)
            await connected.enter_async_context(worker)
            await worker.welcome()
            await scheduler.submit(f"job{number}")
            await worker.accept((await worker.grant()).lease)
    async with asyncio.timeout(10):
        while {b"0"} != {client.hget(f"{prefix()}w:w{number}", "up") for number in range(8)}:
            await scheduler.get("job0")

    now = clock_of(client)
    whole = [name for name, end in client.zrange(f"{prefix()}lease", 0, -1, withscores=True) if end / 1e6 > now + 10]
    assert 4 <= len(whole)
