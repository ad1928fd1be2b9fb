"""Watches of many jobs by AsyncClient, each over one WatchJobs stream after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client.errors import error
from telecine_client.schedulers import Schedulers
from telecine_client.values import WatchEvent
from telecine_client.watch import reached, resumed
from telecine_client.watched_jobs import WatchedJobs

if TYPE_CHECKING:
    from telecine.v1.scheduler_service_pb2_grpc import SchedulerServiceAsyncStub

    WatchCall = grpc.aio.StreamStreamCall[service_pb2.WatchJobsRequest, service_pb2.WatchJobsResponse]

LONGEST_SILENCE = timedelta(seconds=1)


class JobsWatch:
    """Jobs may be added and removed on the way."""

    def __init__(self, schedulers: Schedulers, watched: WatchedJobs, *, outage_timeout: timedelta | None) -> None:
        self._schedulers = schedulers
        self._watched = watched
        self._outage_timeout = outage_timeout
        self._changed = asyncio.Event()
        self._writing = False
        self._unheard = False
        """A stream ended and nobody could hear how; and no scheduler has answered since."""

    def add(self, job_id: str) -> None:
        """Watch this one too."""
        self._watched.add(job_id)
        self._changed.set()

    def remove(self, job_id: str) -> None:
        """Not this one any more."""
        self._watched.remove(job_id)
        self._changed.set()

    async def events(self) -> AsyncGenerator[list[WatchEvent], None]:
        """What comes, as it comes together, without end.

        Raises a TelecineError as every watch does; Unimplemented where the scheduler has no such call.
        """
        now = asyncio.get_running_loop().time
        breaks = self._schedulers.breaks(self._outage_timeout)

        async def stream(stub: SchedulerServiceAsyncStub) -> AsyncGenerator[list[WatchEvent], None]:
            while self._watched.over:
                # Nothing is asked of a scheduler while there is nothing to ask.
                await self._changed.wait()
                self._changed.clear()
            call = stub.WatchJobs(metadata=self._schedulers.metadata())
            self._writing = False
            writing = asyncio.create_task(self._write(call))
            try:
                await reached(call, breaks)
                async for response in call:
                    breaks.contact(now())
                    self._unheard = False
                    if together := self._watched.take(response):
                        breaks.news()
                        yield together
            except grpc.aio.AioRpcError as raw:
                # A write that comes after the end makes gRPC say INTERNAL, whatever the scheduler had said (grpc/grpc#36066).
                if not self._writing or raw.code() is not grpc.StatusCode.INTERNAL:
                    raise
                self._unheard = True
                raise error(grpc.StatusCode.UNAVAILABLE, "the watch broke while the scheduler was written to") from raw
            finally:
                call.cancel()
                writing.cancel()
                await asyncio.wait([writing])

        async with aclosing(resumed(self._schedulers, stream, breaks)) as events:
            async for together in events:
                yield together

    async def _write(self, call: WatchCall) -> None:
        start, *named = self._watched.opening()
        try:
            await self._write_all(call, [start])
            if self._unheard:
                # If this stream ends as that one did, it must not be written to before that is heard.
                await _taken(call)
            await self._write_all(call, named)
            while await self._changed.wait():
                self._changed.clear()
                await self._write_all(call, self._watched.changes())
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The stream is over; the reader hears why.
            return

    async def _write_all(self, call: WatchCall, requests: Iterable[service_pb2.WatchJobsRequest]) -> None:
        for request in requests:
            self._writing = True
            await call.write(request)
            self._writing = False


async def _taken(call: WatchCall) -> None:
    """Until a scheduler has taken the call, or ended it; or for a moment: not every one says so."""
    try:
        async with asyncio.timeout(LONGEST_SILENCE.total_seconds()):
            await call.initial_metadata()
    except TimeoutError:
        return
