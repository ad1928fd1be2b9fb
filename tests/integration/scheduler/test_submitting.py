"""Admitting jobs on a real store: callers that leave, specs that are equal under another digest, and who is woken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry

from support.redis_server import RedisServer
from support.running_scheduler import Running, ScriptedWorker, a_spec
from support.store_bench import Bench, a_job
from support.store_partition import partition_of
from telecine.v1 import job_pb2
from telecine.v1 import lease_service_pb2 as lease_pb
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.domain.lease import StreamId
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.domain.worker import WorkerOffer
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.rpc.specs import differing_fields
from telecine_scheduler.service.leasing import Leasing
from telecine_scheduler.service.submission import Submitting
from telecine_scheduler.service.worker_stream import WorkerStream
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.partition import Partitions


@pytest.fixture
async def leasing(bench: Bench, redis_server: RedisServer) -> AsyncIterator[Leasing]:
    async with partition_of(bench, redis_server) as partition:
        yield Leasing(Partitions([partition]), SchedulerMetrics(CollectorRegistry()))


@pytest.mark.parametrize("together", [False, True])
async def test_a_caller_that_leaves_takes_no_job_back(bench: Bench, leasing: Leasing, *, together: bool) -> None:
    """Cancelled before anything was sent: his jobs are queued all the same, so that what a worker was promised comes."""
    submitting = Submitting(leasing.store, leasing, differing_fields)
    submit: Any = submitting.submit_all if together else submitting.submit_each
    call = asyncio.create_task(submit([a_job(f"job{number}") for number in range(3)]))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)

    for number in range(3):
        while await bench.find(f"job{number}") is None:
            pass


async def test_an_equal_spec_under_another_digest_is_the_same_job(scheduler: Running, client: redis.Redis) -> None:
    """As an older version may have written it: alone, in a batch with new ones, and in a stream it is a duplicate."""
    await scheduler.submit("there")
    client.hset(f"{prefix()}j:default:there", "dg", b"o" * 16)
    there, new = (pb.SubmitJobRequest(job_id=each, spec=a_spec()) for each in ("there", "new"))

    alone = await scheduler.jobs.SubmitJob(there)
    batch = await scheduler.jobs.BatchSubmitJobs(pb.BatchSubmitJobsRequest(requests=[new, there]))
    stream = scheduler.jobs.SubmitJobs(iter([pb.SubmitJobsRequest(requests=[there])]))
    [answer] = [each async for each in stream]

    assert (True, [False, True], True) == (
        alone.duplicate, [each.duplicate for each in batch.responses], answer.results[0].response.duplicate,
    )  # fmt: skip


async def pushes(client: redis.Redis) -> int:
    """How often something was pushed to the front of a list, which is how schedulers are woken."""
    stats = client.info("commandstats")
    return int(stats.get("cmdstat_lpush", {}).get("calls", 0))


async def test_jobs_for_idle_workers_here_wake_nobody(scheduler: Running, client: redis.Redis) -> None:
    """Their dispatch rides behind the submit: one alone, and as many in a stream as there are free slots."""
    async with ScriptedWorker(scheduler.address, slots=9) as worker:
        await worker.welcome()
        await scheduler.submit("warm")
        await worker.finish((await worker.grant(limit=1)).lease, succeeded=job_pb2.JobResult())
        await worker.send(credit=lease_pb.Credit(limit=9))
        beat = lease_pb.Renewal(lease=lease_pb.LeaseRef(tenant="default", job_id="none", token=1))
        for _ in range(2):
            # The answers come after that to the dispatch, which found nothing.
            await worker.send(renewals=[beat])
            await worker.until(lambda response: response.renew_results)
        before = await pushes(client)
        requests = [pb.SubmitJobRequest(job_id=f"job{number}", spec=a_spec()) for number in range(4)]
        async for _ in scheduler.jobs.SubmitJobs(iter([pb.SubmitJobsRequest(requests=requests)])):
            pass
        granted: set[str] = set()
        while len(granted) < 4:
            granted |= {grant.lease.job_id for grant in (await worker.read()).grants}
        after = await pushes(client)

    assert ({f"job{number}" for number in range(4)}, 0) == (granted, after - before)


def stream_of(leasing: Leasing, worker_id: str, slots: int, epoch: int = 1) -> WorkerStream:
    offer = WorkerOffer(queues=frozenset({"default"}), capabilities=frozenset(), slots=slots, version="1")
    stream = StreamId(worker_id=worker_id, session_id="s", epoch=epoch)

    async def room() -> None:
        return

    made = WorkerStream(
        stream, offer, leasing, on_grants=lambda _: None, on_cancel=lambda *_: None, on_fenced=lambda _: None, room=room
    )
    for partition in leasing.partitions:
        made.joined(partition)
    return made


async def test_an_idle_worker_is_one_that_nobody_counts_on(bench: Bench, leasing: Leasing) -> None:
    """With room for the job, attached, not draining, its newest stream, and not promised to another submit."""
    await bench.start("first")
    await bench.classes.refresh()
    one = JobClass(queue="default", units=1, requirements=frozenset())
    [here] = leasing.partitions
    small, large = stream_of(leasing, "small", 1), stream_of(leasing, "large", 3)
    small.credit(1)
    assert None is leasing.idle_for(here, one)
    for stream in (small, large):
        leasing.attach(stream)
    assert small is leasing.idle_for(here, one)
    small.promise(here, 1)
    assert None is leasing.idle_for(here, one)
    large.credit(3)
    assert large is leasing.idle_for(here, one)
    large.credit(3, draining=True)
    assert None is leasing.idle_for(here, one)
    large.credit(3)
    again = stream_of(leasing, "large", 3, epoch=2)
    leasing.attach(again)
    assert None is leasing.idle_for(here, one)
    again.credit(1)
    assert again is leasing.idle_for(here, one)
    await leasing.close(again, clean=True)
    assert None is leasing.idle_for(here, one)


async def test_units_are_promised_in_one_partition_at_a_time(
    bench: Bench, redis_server: RedisServer, leasing: Leasing
) -> None:
    """What submits to one of them count on is not offered by another, and what it is asked for is not either."""
    [here] = leasing.partitions
    async with partition_of(bench, redis_server, 1) as there:
        large = stream_of(leasing, "large", 3)
        large.joined(there)
        large.credit(3)
        large.promise(here, 1)
        assert (2, 0) == (large.unpromised_to(here), large.unpromised_to(there))
        large.submitted(here)
        running = asyncio.create_task(large.run())
        # Nothing is asked: no class is known.
        while large.unpromised_to(there) != 3:
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
