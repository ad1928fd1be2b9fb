"""The worker's half of the stream, in this process, against a scheduler that the test scripts. In the place of FFmpeg is an
attempt that does what it is told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta

from prometheus_client import CollectorRegistry

from support.scripted_scheduler import ScriptedScheduler
from telecine.v1 import lease_service_pb2 as pb
from telecine_worker.attempt import Assignment, Permission
from telecine_worker.condition import Condition
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Snapshot
from telecine_worker.holdings import Holdings
from telecine_worker.journal import Journal
from telecine_worker.lease_stream import LeaseStream
from telecine_worker.outcome import Abandoned, Cancelled, Ended, Returned, StopReason, Succeeded

_ENDS: dict[StopReason, Ended] = {
    StopReason.CANCELLED: Cancelled(usage=Usage()),
    StopReason.LEASE_LOST: Abandoned(usage=Usage()),
    StopReason.DRAINED: Returned(usage=Usage(), reason="DRAINING"),
}
SUCCEEDED = Succeeded(usage=Usage(), artifacts=(), inputs={})


class ScriptedAttempt:
    """Runs until the test ends it. Being stopped ends it, too, unless *lingers*."""

    def __init__(
        self,
        assignment: Assignment,
        ask_to_publish: Callable[[], Awaitable[Permission]],
        on_progress: Callable[[Snapshot], None],
    ) -> None:
        self.assignment = assignment
        self.ask_to_publish = ask_to_publish
        self.report = on_progress
        self.stops: list[StopReason] = []
        self.lingers = False
        self._ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()

    def stop(self, reason: StopReason, grace: timedelta) -> None:
        self.stops.append(reason)
        if not self.lingers:
            self.end(_ENDS[reason])

    def end(self, ended: Ended | Exception = SUCCEEDED) -> None:
        """This is how run() ends; only the first one counts."""
        if self._ended.done():
            return
        if isinstance(ended, Exception):
            self._ended.set_exception(ended)
        else:
            self._ended.set_result(ended)

    async def run(self) -> Ended:
        return await asyncio.shield(self._ended)


@dataclass(kw_only=True)
class Bench:
    """A worker's stream, holdings and journal as in the process, and the scheduler it talks to."""

    scheduler: ScriptedScheduler
    stream: LeaseStream
    holdings: Holdings
    journal: Journal
    condition: Condition
    registry: CollectorRegistry
    attempts: dict[int, ScriptedAttempt] = field(default_factory=dict)
    running: list[asyncio.Task[None]] = field(default_factory=list)
    # What the next look finds.
    ailment: str | None = None

    def run(self) -> None:
        parts = (self.holdings.run(), self.stream.run(self.holdings), self.stream.tick(self.holdings))
        self.running = [asyncio.create_task(part) for part in parts]

    async def until(self, condition: Callable[[], object]) -> None:
        """Until *condition()* holds, and no part has failed meanwhile."""
        async with asyncio.timeout(10):
            while not condition():
                self.check()
                await asyncio.sleep(0.005)

    def check(self) -> None:
        """No part of the worker has ended."""
        assert [] == [part for part in self.running if part.done()]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    async def end(self) -> None:
        for part in self.running:
            part.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
        self.journal.close()


MakeBench = Callable[..., contextlib.AbstractAsyncContextManager[Bench]]


def lease(job: str = "job", token: int = 1) -> pb.LeaseRef:
    """Names a lease of tenant a."""
    return pb.LeaseRef(tenant="a", job_id=job, token=token)
