"""One job watched to its end, over any number of broken streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from telecine.v1 import job_pb2, scheduler_service_pb2
from telecine_client import wire
from telecine_client.errors import InternalError, LimitReached, TelecineError, Unavailable, error
from telecine_client.rpc_errors import from_rpc_error
from telecine_client.schedulers import Schedulers
from telecine_client.values import Job

if TYPE_CHECKING:
    from telecine.v1.scheduler_service_pb2_grpc import SchedulerServiceAsyncStub

# A transport's own INTERNAL or UNKNOWN (a reset stream, a proxy's answer) is a break; so many in a row, without a
# message between them, are an error that will stay.
MOST_STRANGE_BREAKS = 5


@dataclass(slots=True, kw_only=True)
class _Seen:
    """What the watch knows so far."""

    revision: int
    """The last one given to the caller, or the one the caller began after."""
    began: bool = False
    spec: job_pb2.Job | None = None
    """The snapshot that had the spec; the later ones come without."""

    def take(self, message: job_pb2.Job) -> Job | None:
        """The snapshot as a value, or None for one that is not newer.

        The end is new whatever its revision is, as long as nothing was given yet: a caller may begin after the last
        revision.
        """
        ended = wire.job_state(message.state).final and not self.began
        if message.revision <= self.revision and not ended:
            return None
        if message.HasField("spec"):
            self.spec = message
        elif self.spec is not None:
            message.spec.CopyFrom(self.spec.spec)
        self.revision, self.began = message.revision, True
        return wire.job(message)


@dataclass(slots=True, kw_only=True)
class _Breaks:
    """The breaks since the last news, and since when there has been no contact."""

    contact_time: float
    count: int = 0
    strange: int = 0

    def contact(self, now: float) -> None:
        """A scheduler answered."""
        self.contact_time = now

    def news(self) -> None:
        """Something new came: start afresh."""
        self.count = self.strange = 0

    def add(self, cause: TelecineError) -> None:
        """One more; raises *cause* when it is no break but an answer that will stay."""
        strange = isinstance(cause, InternalError) and not cause.reason
        away = isinstance(cause, Unavailable) or (isinstance(cause, LimitReached) and cause.retry_after is not None)
        self.count += 1
        self.strange += strange
        if not (away or strange) or self.strange > MOST_STRANGE_BREAKS:
            raise cause


async def watch(
    schedulers: Schedulers, request: scheduler_service_pb2.WatchJobRequest, *, outage_timeout: timedelta | None
) -> AsyncGenerator[Job, None]:
    """Give each newer snapshot of the job up to the final one.

    Resumes by itself after the last revision it gave. Raises a TelecineError when a scheduler says that there is
    nothing to watch (JobNotFound, InvalidRequest, ...), or Unavailable when none answered for *outage_timeout* (None:
    it never gives up).
    """
    now = asyncio.get_running_loop().time
    seen = _Seen(revision=request.after_revision)
    breaks = _Breaks(contact_time=now())
    while True:
        address = schedulers.current
        try:
            async with aclosing(_stream(schedulers.stub(address), request, seen, breaks)) as jobs:
                async for job in jobs:
                    yield job
                    if job.state.final:
                        return
            cause = error(grpc.StatusCode.UNAVAILABLE, "the scheduler ended the watch before the job had ended")
        except grpc.aio.AioRpcError as raw:
            cause = schedulers.named(from_rpc_error(raw))
            cause.__cause__ = raw
        breaks.add(cause)
        wait = schedulers.backoff.wait(breaks.count, at_least=cause.retry_after)
        if (
            outage_timeout is not None
            and now() + wait.total_seconds() >= breaks.contact_time + outage_timeout.total_seconds()
        ):
            raise cause
        schedulers.turn_from(address)
        await asyncio.sleep(wait.total_seconds())


async def _stream(
    stub: SchedulerServiceAsyncStub, request: scheduler_service_pb2.WatchJobRequest, seen: _Seen, breaks: _Breaks
) -> AsyncGenerator[Job, None]:
    """What one stream brings that is new; it ends, or raises gRPC's error, when the stream does."""
    now = asyncio.get_running_loop().time
    resumed = scheduler_service_pb2.WatchJobRequest()
    resumed.CopyFrom(request)
    resumed.after_revision = seen.revision
    call = stub.WatchJob(resumed)
    try:
        await call.initial_metadata()
        if not call.done():
            breaks.contact(now())
        async for response in call:
            breaks.contact(now())
            job = seen.take(response.job)
            if job is not None:
                breaks.news()
                yield job
    finally:
        call.cancel()
