"""How many jobs a second can be handed over: one by one, in batches, on a stream, by the SDK; no worker is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.drivers import connections
from bench.drivers.costs import Meter
from bench.drivers.figures import Figures, require, require_stream
from bench.drivers.jobs import spec_of, submission
from bench.drivers.load import Load, Tally, callers, rate
from bench.drivers.request import Request
from telecine.v1 import media_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_client import AsyncClient

# On the stream: so many messages are on the way, in_flight jobs in all.
MESSAGES_ON_THE_WAY = 4


async def measure(request: Request) -> Figures:
    """bare is a unary call with one script and nothing else behind it."""
    figures, meter, sizes = Figures(), Meter(request), request.sizes
    spec = spec_of(sizes.spec_bytes)
    async with (
        connections.bare_calls(request) as bare,
        connections.scheduler(request) as stub,
        AsyncClient(request.address) as client,
    ):
        loads: dict[str, Load] = {
            "bare": unary(bare.submit, spec, sizes.in_flight),
            "unary": unary(stub.SubmitJob, spec, sizes.in_flight),
            "stream": lambda tally: stream(stub, spec, sizes.in_flight, tally),
            "sdk": by_sdk(client, spec, sizes.in_flight),
            "batch": batches(stub, spec, sizes.batch),
        }
        for name in reversed(loads) if request.backwards else loads:
            await figures.add(f"{name}_per_s", rate(name, loads[name], meter, sizes.seconds))
    figures.ratio("unary_by_bare", "unary_per_s", "bare_per_s")
    return figures


def unary(method: Callable[..., Any], spec: media_pb2.JobSpec, count: int) -> Load:
    """*count* callers, a job a call."""

    async def call() -> int:
        await method(submission(spec))
        return 2

    return callers(count, call)


def by_sdk(client: AsyncClient, spec: media_pb2.JobSpec, count: int) -> Load:
    """*count* callers of AsyncClient.submit; how it sends is its affair."""

    async def call() -> int:
        await client.submit(spec)
        return 0

    return callers(count, call)


def batches(stub: Any, spec: media_pb2.JobSpec, size: int) -> Load:
    """One BatchSubmitJobs after the other."""

    async def call() -> int:
        require("BatchSubmitJobs")
        await stub.BatchSubmitJobs(pb.BatchSubmitJobsRequest(requests=[submission(spec) for _ in range(size)]))
        return 2

    return callers(1, call, jobs=size)


async def stream(stub: Any, spec: media_pb2.JobSpec, in_flight: int, tally: Tally) -> None:
    """SubmitJobs: as many as were answered are sent next, in one message."""
    await require_stream(stub, "SubmitJobs")
    call = stub.SubmitJobs()
    sequence, on_the_way = 0, 0

    async def send(size: int) -> None:
        nonlocal sequence, on_the_way
        sequence, on_the_way = sequence + 1, on_the_way + 1
        await call.write(pb.SubmitJobsRequest(sequence=sequence, requests=[submission(spec) for _ in range(size)]))

    for _ in range(MESSAGES_ON_THE_WAY):
        # One after the other: a stream takes one write at a time.
        await send(in_flight // MESSAGES_ON_THE_WAY)
    async for response in call:
        failed = [result.error for result in response.results if result.HasField("error")]
        assert not failed, failed[0]
        tally.done += len(response.results)
        tally.seen["messages"] += 2
        on_the_way -= 1
        if tally.running:
            await send(len(response.results))
        elif not on_the_way:
            await call.done_writing()
