"""The schedulers a Client may talk to: one channel each, and calls that survive the loss of one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Protocol, TypeVar, cast

import grpc
from google.protobuf.message import Message

from telecine.v1 import scheduler_service_pb2_grpc
from telecine_client.addresses import Rotation
from telecine_client.attempts import Attempts
from telecine_client.backoff import Backoff
from telecine_client.calls import Call
from telecine_client.channels import blocking_channel
from telecine_client.errors import TelecineError, closed, error
from telecine_client.resumption import Breaks
from telecine_client.rpc_errors import from_rpc_error
from telecine_client.settings import Settings

Response = TypeVar("Response", bound=Message)
Value = TypeVar("Value")
News = TypeVar("News")
Stub = scheduler_service_pb2_grpc.SchedulerServiceStub

GIVEN = "the given channel"


class Clock(Protocol):
    """Where a Client has its time from; grpc_testing.strict_fake_time is one."""

    def time(self) -> float:
        """Seconds that never go back."""

    def sleep_for(self, duration: float, /) -> None:
        """Let so many seconds pass."""


class RealClock:
    """This machine's."""

    def time(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    def sleep_for(self, duration: float, /) -> None:
        """Let so many seconds pass."""
        time.sleep(duration)


class BlockingSchedulers:
    """Channels are made when they are first used. May be shared by threads."""

    def __init__(
        self, settings: Settings, *, backoff: Backoff, clock: Clock, channel: grpc.Channel | None = None
    ) -> None:
        """With a *channel* of the caller's, that one is used for everything, and left open at the end."""
        self.rotation = Rotation(settings.addresses if channel is None else (GIVEN,))
        self.backoff = backoff
        self.clock = clock
        self.closed = False
        self._settings = settings
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._channels: dict[str, grpc.Channel] = {}
        self._stubs: dict[str, Stub] = {} if channel is None else {GIVEN: Stub(channel)}
        self._streams: set[grpc.Call] = set()

    def stub(self, address: str) -> Stub:
        """For the scheduler at one of the addresses. Raises RuntimeError when this client cannot be used here."""
        if self._pid != os.getpid():
            raise RuntimeError(
                "this client was made before a fork, which gRPC's connections do not survive; make it after"
            )
        with self._lock:
            if self.closed:
                raise RuntimeError("this client is closed; make a new one")
            if address not in self._stubs:
                self._channels[address] = blocking_channel(address, self._settings.credentials)
                self._stubs[address] = Stub(self._channels[address])
            return self._stubs[address]

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with a call that begins now."""
        return self._settings.metadata()

    def call(self, call: Call[Response, Value], *, timeout: timedelta) -> Value:
        """Make the call, and again while no scheduler can be reached, for at most *timeout* in all.

        Raises the TelecineError of the last attempt.
        """

        def attempt(address: str, seconds: float) -> Response:
            send = getattr(self.stub(address), call.method)
            with self.translation():
                return cast("Response", send(call.request, timeout=seconds, metadata=self.metadata()))

        return call.read(self.repeat(attempt, timeout=timeout))

    def repeat(self, attempt: Callable[[str, float], Value], *, timeout: timedelta) -> Value:
        """Make attempts, each given an address and how many seconds it may take, until one gives an answer."""
        attempts = Attempts(timeout, self.clock.time(), backoff=self.backoff, rotation=self.rotation)
        while True:
            address = self.rotation.current
            try:
                return attempt(address, attempts.left(self.clock.time()))
            except TelecineError as failed:
                if self.closed:
                    raise
                wait = attempts.wait(failed, self.clock.time())
            self.rotation.turn_from(address)
            self.clock.sleep_for(wait)

    def resumed(
        self,
        stream: Callable[[Stub, float | None], Generator[News, None, None]],
        breaks: Breaks,
        *,
        deadline: float | None,
    ) -> Generator[News, None, None]:
        """What one *stream* after the other brings, for as long as the reader reads; each is given how many seconds it has.

        Raises a TelecineError when a scheduler says that there is nothing to watch (JobNotFound, InvalidRequest, ...), or
        when *breaks* gives up; DeadlineExceeded at the *deadline* of the clock.
        """
        now = self.clock.time
        while True:
            address = self.rotation.current
            stub = self.stub(address)
            begin = now()
            try:
                with self.translation(), closing(stream(stub, _left(deadline, begin))) as news:
                    yield from news
                cause = error(grpc.StatusCode.UNAVAILABLE, "the scheduler ended the watch before it was over")
            except TelecineError as broken:
                if self.closed:
                    raise
                cause = self.rotation.named(broken)
                cause.__cause__ = broken.__cause__
            breaks.lived(begin, now())
            wait = breaks.wait(cause, now())
            self.rotation.turn_from(address)
            self.clock.sleep_for(wait if deadline is None else min(wait, deadline - now()))
            if deadline is not None and now() >= deadline:
                raise error(grpc.StatusCode.DEADLINE_EXCEEDED, "the time for the watch is over") from cause

    @contextmanager
    def opened(self, call: Iterable[Response]) -> Iterator[Iterable[Response]]:
        """The stream until it is left; closing this client ends it too."""
        handle = cast("grpc.Call", call)
        with self._lock:
            self._streams.add(handle)
        try:
            yield call
        finally:
            with self._lock:
                self._streams.discard(handle)
            handle.cancel()

    @contextmanager
    def translation(self) -> Iterator[None]:
        """gRPC's errors become ours; so does what a call ends with that the closing of this client ended."""
        try:
            yield
        except grpc.RpcError as raw:
            raise (closed() if self.closed else from_rpc_error(raw)) from raw

    def close(self) -> None:
        """End every stream and connection. May be called twice, and while other threads wait for answers."""
        with self._lock:
            self.closed = True
            streams, self._streams = self._streams, set()
            channels, self._channels = self._channels, {}
        for stream in streams:
            stream.cancel()
        for channel in channels.values():
            channel.close()


def _left(deadline: float | None, now: float) -> float | None:
    return None if deadline is None else max(deadline - now, 0)
