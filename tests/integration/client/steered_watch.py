"""A WatchJobs stream that the test steers, and what goes over it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.rpc import status_pb2
from tests.integration.client.conftest import detailed, job

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2

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
