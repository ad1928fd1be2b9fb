"""Watches of many jobs by AsyncClient, each over one WatchJobs stream after the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from telecine_client.resumption import Breaks
from telecine_client.schedulers import Schedulers
from telecine_client.values import WatchEvent
from telecine_client.watch import reached, resumed
from telecine_client.watched_jobs import WatchedJobs

if TYPE_CHECKING:
    from telecine.v1.scheduler_service_pb2_grpc import SchedulerServiceAsyncStub


class JobsWatch:
    """Jobs may be added and removed on the way."""

    def __init__(self, schedulers: Schedulers, watched: WatchedJobs, *, outage_timeout: timedelta | None) -> None:
        self._schedulers = schedulers
        self._watched = watched
        self._outage_timeout = outage_timeout
        self._changed = asyncio.Event()

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
        breaks = Breaks(now(), backoff=self._schedulers.backoff, outage_timeout=self._outage_timeout)

        async def stream(stub: SchedulerServiceAsyncStub) -> AsyncGenerator[list[WatchEvent], None]:
            while self._watched.over:
                # Nothing is asked of a scheduler while there is nothing to ask.
                await self._changed.wait()
                self._changed.clear()
            call = stub.WatchJobs(metadata=self._schedulers.metadata())
            writing = asyncio.create_task(self._write(call))
            try:
                await reached(call, breaks)
                async for response in call:
                    breaks.contact(now())
                    if together := self._watched.take(response):
                        breaks.news()
                        yield together
            finally:
                call.cancel()
                writing.cancel()
                await asyncio.wait([writing])

        async with aclosing(resumed(self._schedulers, stream, breaks)) as events:
            async for together in events:
                yield together

    async def _write(self, call: grpc.aio.StreamStreamCall) -> None:  # type: ignore[type-arg]
        try:
            for request in self._watched.opening():
                await call.write(request)
            while await self._changed.wait():
                self._changed.clear()
                for request in self._watched.changes():
                    await call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The stream is over; the reader hears why. (Not always: a write too late makes gRPC say INTERNAL, whatever the
            # scheduler had said, grpc/grpc#36066. INTERNAL without a reason is a break, so the next stream hears it.)
            return
