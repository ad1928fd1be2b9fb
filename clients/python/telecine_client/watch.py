"""Watches of AsyncClient, each over any number of broken streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import grpc
import grpc.aio

from telecine.v1 import scheduler_service_pb2
from telecine_client.errors import TelecineError, error
from telecine_client.resumption import Breaks, Seen
from telecine_client.schedulers import Schedulers
from telecine_client.values import Job

if TYPE_CHECKING:
    from telecine.v1.scheduler_service_pb2_grpc import SchedulerServiceAsyncStub

News = TypeVar("News")


async def resumed(
    schedulers: Schedulers, stream: Callable[[SchedulerServiceAsyncStub], AsyncGenerator[News, None]], breaks: Breaks
) -> AsyncGenerator[News, None]:
    """What one *stream* after the other brings, for as long as the reader reads.

    Raises a TelecineError when a scheduler says that there is nothing to watch (JobNotFound, InvalidRequest, ...), or when
    *breaks* gives up.
    """
    schedulers.check()
    now = asyncio.get_running_loop().time
    while True:
        stub = schedulers.stub(breaks.begin(now()))
        try:
            with schedulers.translation():
                async with aclosing(stream(stub)) as news:
                    async for each in news:
                        yield each
            cause = error(grpc.StatusCode.UNAVAILABLE, "the scheduler ended the watch before it was over")
        except TelecineError as broken:
            if schedulers.closed:
                raise
            cause = broken
        await schedulers.pause(breaks.wait(cause, now()))


async def reached(call: grpc.aio.Call, breaks: Breaks) -> None:
    """Until a scheduler has taken the call, however long it has nothing to tell; or the call has ended."""
    await call.initial_metadata()
    if not call.done():
        breaks.taken(asyncio.get_running_loop().time())


async def watch(
    schedulers: Schedulers, request: scheduler_service_pb2.WatchJobRequest, *, outage_timeout: timedelta | None
) -> AsyncGenerator[Job, None]:
    """Give each newer snapshot of the job up to the final one; resumes by itself after the last revision it gave."""
    seen = Seen(revision=request.after_revision)
    now = asyncio.get_running_loop().time
    breaks = schedulers.breaks(outage_timeout)

    async def stream(stub: SchedulerServiceAsyncStub) -> AsyncGenerator[Job, None]:
        call = stub.WatchJob(seen.resumed(request), metadata=schedulers.metadata())
        try:
            await reached(call, breaks)
            async for response in call:
                breaks.contact(now())
                job = seen.take(response.job)
                if job is not None:
                    breaks.news()
                    yield job
        finally:
            call.cancel()

    async with aclosing(resumed(schedulers, stream, breaks)) as jobs:
        async for job in jobs:
            yield job
            if job.state.final:
                return
