"""One job at a time on an idle system, through a worker that does nothing; beside a bare call and a PING."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from datetime import timedelta
from typing import Any

import redis.asyncio

from bench.drivers import connections
from bench.drivers.connections import BareCalls
from bench.drivers.figures import Figures, percentiles
from bench.drivers.jobs import START, spec_of, submission
from bench.drivers.request import Request
from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_client import AsyncClient

SLOTS = 16
# Of a job; more than this is no figure.
LONGEST = timedelta(seconds=10)
# Of the samples; they go before and do not count.
WARM_UP = 0.1


async def measure(request: Request) -> Figures:
    """From the call of submit: submit is to its answer, start to the job at the worker, result to the final job."""
    figures = Figures()
    async with (
        connections.contract_worker(request, slots=SLOTS),
        connections.bare_calls(request) as bare,
        connections.scheduler(request) as stub,
        AsyncClient(request.address) as client,
        redis.asyncio.Redis(unix_socket_path=request.redis) as connection,
    ):
        calls = Calls(stub, bare, client, connection, request.sizes.spec_bytes)
        await figures.add("start_p50_ms", measured(calls, request))
    figures.ratio("start_by_bare", "start_p50_ms", "bare_p50_ms")
    figures.ratio("result_by_bare", "result_p50_ms", "bare_p50_ms")
    figures.ratio("sdk_start_by_bare", "sdk_start_p50_ms", "bare_p50_ms")
    figures.ratio("sdk_result_by_bare", "sdk_result_p50_ms", "bare_p50_ms")
    return figures


class Calls:
    """What is timed; each gives seconds by name."""

    def __init__(
        self, stub: Any, bare: BareCalls, client: AsyncClient, connection: redis.asyncio.Redis, spec_bytes: int
    ) -> None:
        self._stub = stub
        self._bare = bare
        self._client = client
        self._redis = connection
        self._spec = spec_of(spec_bytes)
        self.all = [self.contract, self.sdk, self.bare, self.ping]

    async def contract(self) -> dict[str, float]:
        """SubmitJob, then WatchJob."""
        request = submission(self._spec)
        began = time.monotonic()
        await self._stub.SubmitJob(request)
        answered = time.monotonic()
        watch = pb.WatchJobRequest(job_id=request.job_id)
        async for response in self._stub.WatchJob(watch, timeout=LONGEST.total_seconds()):
            if response.job.state == job_pb2.JOB_STATE_SUCCEEDED:
                ended, started = time.monotonic(), response.job.result.measurements[START]
        return {"submit": answered - began, "start": started - began, "result": ended - began}

    async def sdk(self) -> dict[str, float]:
        """submit, then wait."""
        began = time.monotonic()
        job = await self._client.submit(self._spec)
        answered = time.monotonic()
        job = await self._client.wait(job.job_id, LONGEST)
        ended = time.monotonic()
        assert job.result, job
        started = job.result.measurements[START]
        return {"sdk_submit": answered - began, "sdk_start": started - began, "sdk_result": ended - began}

    async def bare(self) -> dict[str, float]:
        """A unary call to a server that does nothing, with the same request."""
        request = submission(self._spec)
        began = time.monotonic()
        await self._bare.echo(request)
        return {"bare": time.monotonic() - began}

    async def ping(self) -> dict[str, float]:
        """PING."""
        began = time.monotonic()
        await self._redis.ping()
        return {"ping": time.monotonic() - began}


async def measured(calls: Calls, request: Request) -> dict[str, float]:
    """Each call in turn, so that all have the same noise."""
    sizes, found, chance = request.sizes, defaultdict(list), random.Random(1)
    order = calls.all[::-1] if request.backwards else calls.all
    warm_up = max(1, round(sizes.samples * WARM_UP))
    for number in range(warm_up + sizes.samples):
        for call in order:
            await asyncio.sleep(sizes.pause_seconds * chance.uniform(0.1, 1.9))
            for name, seconds in (await call()).items():
                if number >= warm_up:
                    found[name].append(seconds)
    return {name: value for key, seconds in found.items() for name, value in percentiles(key, seconds).items()}
