"""The schedulers an AsyncClient may talk to: one channel each, and calls that survive the loss of one."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf.message import Message

from telecine.v1 import scheduler_service_pb2_grpc
from telecine_client.addresses import Rotation
from telecine_client.attempts import Attempts
from telecine_client.backoff import Backoff
from telecine_client.calls import Call
from telecine_client.channels import aio_channel
from telecine_client.errors import TelecineError, closed
from telecine_client.resumption import Breaks
from telecine_client.rpc_errors import from_rpc_error
from telecine_client.settings import Settings

if TYPE_CHECKING:
    from telecine.v1.scheduler_service_pb2_grpc import SchedulerServiceAsyncStub

Response = TypeVar("Response", bound=Message)
Value = TypeVar("Value")


class Schedulers:
    """Channels are made when they are first used, and belong to the event loop of that moment."""

    def __init__(self, settings: Settings, *, backoff: Backoff) -> None:
        self.rotation = Rotation(settings.addresses)
        self.backoff = backoff
        self._settings = settings
        self._closing = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._stubs: dict[str, SchedulerServiceAsyncStub] = {}

    @property
    def closed(self) -> bool:
        """Nothing can be asked for any more, and what is under way ends."""
        return self._closing.is_set()

    def check(self) -> None:
        """Raises RuntimeError when this client cannot be used, or not here."""
        if self.closed:
            raise RuntimeError("this client is closed; make a new one")
        self._check_place()

    def stub(self, address: str) -> SchedulerServiceAsyncStub:
        """For the scheduler at one of the addresses. Raises Unavailable when this client was closed meanwhile."""
        if self.closed:
            raise closed()
        self._check_place()
        if address not in self._stubs:
            self._channels[address] = aio_channel(address, self._settings.credentials)
            self._stubs[address] = scheduler_service_pb2_grpc.SchedulerServiceStub(self._channels[address])
        return self._stubs[address]

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with a call that begins now."""
        return self._settings.metadata()

    async def call(self, call: Call[Response, Value], *, timeout: timedelta) -> Value:
        """Make the call, and again while no scheduler can be reached, for at most *timeout* in all.

        Raises the TelecineError of the last attempt.
        """

        async def attempt(address: str, seconds: float) -> Response:
            return await self.unary(address, call.method, call.request, seconds)

        return call.read(await self.repeat(attempt, timeout=timeout))

    async def unary(self, address: str, method: str, request: Message, seconds: float) -> Response:
        """One attempt at a call with one answer. Raises TelecineError."""
        send = getattr(self.stub(address), method)
        with self.translation():
            return cast("Response", await send(request, timeout=seconds, metadata=self.metadata()))

    async def repeat(self, attempt: Callable[[str, float], Awaitable[Response]], *, timeout: timedelta) -> Response:
        """Make attempts, each given an address and how many seconds it may take, until one gives an answer."""
        now = asyncio.get_running_loop().time
        attempts = Attempts(timeout, now(), backoff=self.backoff, rotation=self.rotation)
        while True:
            address, seconds = attempts.begin(now())
            try:
                return await attempt(address, seconds)
            except TelecineError as error:
                if self.closed:
                    raise
                wait = attempts.wait(error, now())
            await self.pause(wait)

    def breaks(self, outage_timeout: timedelta | None) -> Breaks:
        """For a watch that begins now."""
        now = asyncio.get_running_loop().time()
        return Breaks(now, backoff=self.backoff, rotation=self.rotation, outage_timeout=outage_timeout)

    async def pause(self, seconds: float) -> None:
        """Let so many seconds pass. Raises Unavailable as soon as this client is closed."""
        try:
            async with asyncio.timeout(seconds):
                await self._closing.wait()
        except TimeoutError:
            return
        raise closed()

    @contextmanager
    def translation(self) -> Iterator[None]:
        """gRPC's errors become ours; so does the cancellation of a call by the closing of this client."""
        try:
            yield
        except grpc.aio.AioRpcError as raw:
            raise (closed() if self.closed else from_rpc_error(raw)) from raw
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self.closed and task is not None and not task.cancelling():
                raise closed() from None
            raise

    async def close(self) -> None:
        """End every call and connection. May be called twice. Raises RuntimeError in another event loop than theirs."""
        if not self.closed and self._loop is not None and self._loop is not asyncio.get_running_loop():
            raise RuntimeError(
                "this AsyncClient belongs to another event loop; close it in that one, before it ends (async with does)"
            )
        self._closing.set()
        channels, self._channels, self._stubs = self._channels, {}, {}
        for channel in channels.values():
            await channel.close()

    def _check_place(self) -> None:
        if self._pid != os.getpid():
            raise RuntimeError(
                "this client was made before a fork, and gRPC's connections do not survive one; make it in the child"
            )
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise RuntimeError("this AsyncClient belongs to another event loop; make one for each loop, or use Client")
