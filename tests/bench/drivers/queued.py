"""Filling a queue as fast as this revision can."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc

from bench.drivers.figures import require
from bench.drivers.jobs import submission
from bench.drivers.request import Missing
from telecine.v1 import media_pb2
from telecine.v1 import scheduler_service_pb2 as pb

BATCH = 100
CALLERS = 64


async def fill(stub: Any, spec: media_pb2.JobSpec, count: int) -> None:
    """Submit *count* jobs; in batches where there are any."""
    try:
        require("BatchSubmitJobs")
        for begin in range(0, count, BATCH):
            batch = [submission(spec) for _ in range(min(BATCH, count - begin))]
            await stub.BatchSubmitJobs(pb.BatchSubmitJobsRequest(requests=batch))
    except Missing:
        await one_by_one(stub, spec, count)
    except grpc.aio.AioRpcError as error:
        if error.code() is not grpc.StatusCode.UNIMPLEMENTED:
            raise
        await one_by_one(stub, spec, count)


async def one_by_one(stub: Any, spec: media_pb2.JobSpec, count: int) -> None:
    """Submit *count* jobs by SubmitJob, several callers at once."""
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await stub.SubmitJob(submission(spec))

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
