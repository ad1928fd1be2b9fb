"""What a driver has open: the scheduler by bare stubs and by the SDK, a bare server, and workers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc

from bench.drivers.bare_server import SERVICE
from bench.drivers.control import WorkerProcess
from bench.drivers.request import Request
from telecine.v1 import scheduler_service_pb2 as pb
from telecine.v1 import scheduler_service_pb2_grpc

# Each channel is a connection of its own.
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 16 * 1024 * 1024)]


@contextlib.asynccontextmanager
async def scheduler(request: Request) -> AsyncIterator[Any]:
    """Stubs of SchedulerService on a connection of their own."""
    async with grpc.aio.insecure_channel(request.address, options=OWN_CONNECTION) as channel:
        yield scheduler_service_pb2_grpc.SchedulerServiceStub(channel)


class BareCalls:
    """Stubs of the bare server."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        serialize, parse = pb.SubmitJobRequest.SerializeToString, pb.SubmitJobResponse.FromString
        self.echo: Callable[..., Any] = channel.unary_unary(f"/{SERVICE}/Echo", serialize, parse)
        self.submit: Callable[..., Any] = channel.unary_unary(f"/{SERVICE}/Submit", serialize, parse)
        self.stream: Callable[..., Any] = channel.unary_stream(f"/{SERVICE}/Stream")


@contextlib.asynccontextmanager
async def bare_server(request: Request) -> AsyncIterator[str]:
    """Where a bare server of the same interpreter listens."""
    process = WorkerProcess(
        "bare_server", request.redis, settings=dict(os.environ), log=Path(request.folder) / "bare_server.log"
    )
    async with process:
        yield process.ready.removeprefix("ready").strip()


@contextlib.asynccontextmanager
async def bare_calls(request: Request) -> AsyncIterator[BareCalls]:
    """A bare server, and stubs of it."""
    async with (
        bare_server(request) as address,
        grpc.aio.insecure_channel(address, options=OWN_CONNECTION) as channel,
    ):
        yield BareCalls(channel)


def contract_worker(request: Request, *, slots: int, mode: str = "finish") -> WorkerProcess:
    """A worker that is only the contract; *mode* is finish or hold."""
    log = Path(request.folder) / "contract_worker.log"
    return WorkerProcess("contract_worker", request.address, str(slots), mode, settings=dict(os.environ), log=log)


def idle_worker(request: Request, *, slots: int) -> WorkerProcess:
    """The worker of this revision, with an executor that does nothing."""
    log = Path(request.folder) / "idle_worker.log"
    settings = {**os.environ, **request.worker_settings, "TELECINE_SLOTS": str(slots)}
    return WorkerProcess("idle_worker", *request.worker_arguments, settings=settings, log=log)
