"""How many snapshots a second reach watchers of jobs that change all the time; beside bare streams."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc

from bench.drivers import connections
from bench.drivers.connections import OWN_CONNECTION
from bench.drivers.control import WorkerProcess
from bench.drivers.costs import Meter
from bench.drivers.figures import Figures, require_stream
from bench.drivers.jobs import spec_of, submission
from bench.drivers.load import Load, Tally, rate
from bench.drivers.request import Request
from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as pb

WATCH_JOB = "/telecine.v1.SchedulerService/WatchJob"
WATCH_JOBS = "/telecine.v1.SchedulerService/WatchJobs"
# Watchers share so many connections.
CONNECTIONS = 4
HELD_SECONDS = 30.0

# Opens the stream of that number.
OpenOne = Callable[[grpc.aio.Channel, int], Any]


async def measure(request: Request) -> Figures:
    """one: a WatchJob for each job and watcher. many: a WatchJobs for each watcher, with all jobs. bare: messages as of one."""
    figures, sizes = Figures(), request.sizes
    async with connections.scheduler(request) as stub:
        jobs = [(await stub.SubmitJob(submission(spec_of(sizes.spec_bytes)))).job for _ in range(sizes.watched)]
        ids = [job.job_id for job in jobs]
        async with connections.contract_worker(request, slots=sizes.watched, mode="hold") as worker:
            await worker.until("held", sizes.watched, HELD_SECONDS)
            changing = Changing(request, worker, ids)
            await figures.add("one_per_s", changing.one())
            await figures.add("many_per_s", changing.many(stub))
        message = pb.WatchJobResponse(job=await snapshot(stub, ids[0])).SerializeToString()
    await figures.add("bare_per_s", bare(request, message))
    figures.ratio("one_by_bare", "one_per_s", "bare_per_s")
    figures.ratio("many_by_bare", "many_per_s", "bare_per_s")
    return figures


class Changing:
    """Jobs that change as fast as the scheduler takes it, and watchers of them; _changes: of a job, in a second."""

    def __init__(self, request: Request, worker: WorkerProcess, ids: list[str]) -> None:
        self._request = request
        self._sizes = request.sizes
        self._worker = worker
        self._ids = ids

    async def one(self) -> dict[str, float]:
        """By WatchJob."""
        watchers = len(self._ids) * self._sizes.watchers
        return await self._rate("one", watchers, lambda channel, number: watch_job(channel, self._ids, number))

    async def many(self, stub: Any) -> dict[str, float]:
        """By WatchJobs."""
        await require_stream(stub, "WatchJobs")
        return await self._rate("many", self._sizes.watchers, lambda channel, _: watch_jobs(channel, self._ids))

    async def _rate(self, name: str, count: int, open_one: OpenOne) -> dict[str, float]:
        meter = Meter(self._request)
        meter.worker_pid = self._worker.pid
        before, began = await self._worker.report(), time.monotonic()
        async with connected(self._request.address) as channels:
            found = await rate(name, streams(channels, count, open_one), meter, self._sizes.seconds)
        after, ended = await self._worker.report(), time.monotonic()
        changes = (after["changes"] - before["changes"]) / len(self._ids) / (ended - began)
        return {**found, f"{name}_changes_per_s": changes}


async def bare(request: Request, message: bytes) -> dict[str, float]:
    """The same message to as many streams as WatchJob had."""
    sizes = request.sizes
    async with connections.bare_server(request) as address, connected(address) as channels:
        load = streams(
            channels, sizes.watched * sizes.watchers, lambda channel, _: connections.BareCalls(channel).stream(message)
        )
        return await rate("bare", load, Meter(request), sizes.seconds)


@contextlib.asynccontextmanager
async def connected(address: str) -> AsyncIterator[list[grpc.aio.Channel]]:
    """Channels, each a connection of its own."""
    async with contextlib.AsyncExitStack() as stack:
        opened = [grpc.aio.insecure_channel(address, options=OWN_CONNECTION) for _ in range(CONNECTIONS)]
        yield [await stack.enter_async_context(channel) for channel in opened]


async def snapshot(stub: Any, job_id: str) -> job_pb2.Job:
    """What a watcher gets of a job after the first."""
    response = await stub.GetJob(pb.GetJobRequest(job_id=job_id, view=job_pb2.JOB_VIEW_BASIC))
    found: job_pb2.Job = response.job
    return found


def watch_job(channel: grpc.aio.Channel, ids: list[str], number: int) -> Any:
    """Messages stay bytes, so that this side costs little."""
    request = pb.WatchJobRequest(job_id=ids[number % len(ids)], view=job_pb2.JOB_VIEW_BASIC)
    return channel.unary_stream(WATCH_JOB, request_serializer=pb.WatchJobRequest.SerializeToString)(request)


def watch_jobs(channel: grpc.aio.Channel, ids: list[str]) -> Any:
    method = channel.stream_stream(
        WATCH_JOBS,
        request_serializer=pb.WatchJobsRequest.SerializeToString,
        response_deserializer=pb.WatchJobsResponse.FromString,
    )

    async def requests() -> Any:
        yield pb.WatchJobsRequest(start=pb.WatchJobsRequest.Start())
        jobs = [pb.JobRevision(job_id=job_id) for job_id in ids]
        yield pb.WatchJobsRequest(add=pb.WatchJobsRequest.Add(jobs=jobs))
        # Half-closing would be said with the end of this.
        await asyncio.Event().wait()

    return method(requests())


def streams(channels: list[grpc.aio.Channel], count: int, open_one: OpenOne) -> Load:
    """*count* open streams; what is counted is snapshots, and messages beside."""

    async def read(call: Any, tally: Tally) -> None:
        async for message in call:
            tally.seen["messages"] += 1
            tally.done += 1 if isinstance(message, bytes) else len(message.jobs)

    async def load(tally: Tally) -> None:
        calls = [open_one(channels[number % len(channels)], number) for number in range(count)]
        reading = [asyncio.ensure_future(read(call, tally)) for call in calls]
        try:
            await until_told(reading, tally)
        finally:
            for call in calls:
                call.cancel()
            await asyncio.gather(*reading, return_exceptions=True)

    return load


async def until_told(reading: list[asyncio.Future[None]], tally: Tally) -> None:
    """Until the load is told to end; raises what ends a stream before."""
    while tally.running:
        ended, _ = await asyncio.wait(reading, timeout=0.02, return_when=asyncio.FIRST_COMPLETED)
        for each in ended:
            each.result()
