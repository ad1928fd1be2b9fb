"""Callers that go on submitting whatever happens, and what they were told meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import grpc

from support.rpc_errors import Refusal, read
from support.running_scheduler import Running, a_spec
from telecine.v1 import scheduler_service_pb2 as pb

PAUSE_SECONDS = 0.03
# Five are promised; less than twice what one look at Redis may take, on a machine that is busy.
LONGEST_SECONDS = 7.5


@dataclass(kw_only=True)
class Callers:
    """Those of one tenant. Each submits one job after the other, each again under the same id until it is acknowledged."""

    running: Running
    tenant: str
    acknowledged: list[str] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    longest_seconds: float = 0.0
    # When the last acknowledged call was begun.
    last_begun: float = float("-inf")

    async def served(self, since: float, seconds: float = 20) -> float:
        """Wait until a call that began after *since* is acknowledged; how long after it that was."""
        async with asyncio.timeout(seconds):
            while self.last_begun < since:
                await asyncio.sleep(0.005)
        return time.monotonic() - since

    async def refused(self, seconds: float = 20) -> None:
        """Wait until somebody is."""
        before = len(self.refusals)
        async with asyncio.timeout(seconds):
            while len(self.refusals) == before:
                await asyncio.sleep(0.005)

    async def submit_for_ever(self, ids: itertools.count[int]) -> None:
        for number in ids:
            while not await self._acknowledged(f"job{number}"):
                await asyncio.sleep(PAUSE_SECONDS)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _acknowledged(self, job_id: str) -> bool:
        began = time.monotonic()
        try:
            await self.running.jobs.SubmitJob(pb.SubmitJobRequest(tenant=self.tenant, job_id=job_id, spec=a_spec()))
        except grpc.aio.AioRpcError as error:
            self.refusals.append(read(error))
            return False
        else:
            self.acknowledged.append(job_id)
            self.last_begun = max(began, self.last_begun)
            return True
        finally:
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)

    async def check(self) -> None:
        """Nobody waited for long or saw anything but what the protos promise for an outage; what was acknowledged is there."""
        assert self.longest_seconds < LONGEST_SECONDS
        assert {(grpc.StatusCode.UNAVAILABLE, True)} >= {(r.code, r.retry_seconds is not None) for r in self.refusals}
        for job_id in self.acknowledged:
            found = await self.running.jobs.GetJob(pb.GetJobRequest(tenant=self.tenant, job_id=job_id))
            assert job_id == found.job.job_id


@contextlib.asynccontextmanager
async def steady_callers(
    running: Running, tenants: Sequence[str] = ("default",), each: int = 4
) -> AsyncIterator[list[Callers]]:
    """So many callers of each tenant go on from entering to leaving, when they are checked. All must be well by then."""
    groups = [Callers(running=running, tenant=tenant) for tenant in tenants]
    tasks = [
        asyncio.create_task(callers.submit_for_ever(ids))
        for callers, ids in ((callers, itertools.count()) for callers in groups)
        for _ in range(each)
    ]
    began = time.monotonic()
    try:
        for callers in groups:
            await callers.served(began)
        yield groups
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert {asyncio.CancelledError} == {type(end) for end in ended}
    for callers in groups:
        await callers.check()
