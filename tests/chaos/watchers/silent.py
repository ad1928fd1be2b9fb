"""Watchers that never read: programs that hang, and hosts that are gone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

import grpc

from chaos.metrics_page import summed
from chaos.rig.fleet import Fleet
from support.gate_proxy import GateProxy
from telecine.v1 import job_pb2, scheduler_service_pb2_grpc
from telecine.v1 import scheduler_service_pb2 as pb


class SilentWatchers:
    """Of one job, spread over the schedulers. *hung* read nothing, but their connections live; *gone* do not even that."""

    def __init__(self, schedulers: Sequence[str], tenant: str, job_id: str, *, hung: int, gone: int) -> None:
        self._schedulers = schedulers
        # The full view each time, so that answers fill what buffers there are.
        self._request = pb.WatchJobRequest(tenant=tenant, job_id=job_id, view=job_pb2.JOB_VIEW_FULL)
        self._hung = hung
        self._gone = gone
        self._open = AsyncExitStack()
        self._calls: list[Any] = []

    async def __aenter__(self) -> Self:
        for number in range(self._hung):
            await self._watch(self._schedulers[number % len(self._schedulers)])
        for number in range(self._gone):
            host, port = self._schedulers[number % len(self._schedulers)].rsplit(":", 1)
            proxy = await self._open.enter_async_context(GateProxy(host, int(port)))
            await self._watch(proxy.address)
            proxy.hold()
        return self

    async def _watch(self, address: str) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
        channel = await self._open.enter_async_context(grpc.aio.insecure_channel(address, options=options))
        call = scheduler_service_pb2_grpc.SchedulerServiceStub(channel).WatchJob(self._request)
        await call.initial_metadata()
        self._calls.append(call)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for call in self._calls:
            call.cancel()
        await asyncio.gather(self._open.aclose(), return_exceptions=True)


def watches(fleet: Fleet) -> float:
    """Of one job each, as the schedulers count them."""
    samples = summed(fleet.schedulers.values())
    return sum(value for name, value in samples.items() if name.startswith("watchers{") and "follows=one" in name)
