"""The schedulers a Client may talk to: one channel each, and calls that survive the loss of one."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Generator, Iterator
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
Opened = TypeVar("Opened")
Stub = scheduler_service_pb2_grpc.SchedulerServiceStub

GIVEN = "the given channel"


class Clock(Protocol):
    """Where a Client has its time from; grpc_testing.strict_fake_time is one."""

    def time(self) -> float:
        """Seconds that never go back."""

    def sleep_for(self, duration: float, /) -> None:
        """Let so many seconds pass."""


class BlockingSchedulers:
    """Channels are made when they are first used. May be shared by threads."""

    def __init__(
        self,
        settings: Settings,
        *,
        backoff: Backoff,
        clock: Clock | None = None,
        channel: grpc.Channel | None = None,
    ) -> None:
        """With a *channel* of the caller's, that one is used for everything, and left open at the end."""
        self.rotation = Rotation(settings.addresses if channel is None else (GIVEN,))
        self.backoff = backoff
        self.now = clock.time if clock else time.monotonic
        """Seconds that never go back."""
        self._closing = threading.Event()
        self._sleep: Callable[[float], object] = clock.sleep_for if clock else self._closing.wait
        self._settings = settings
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._channels: dict[str, grpc.Channel] = {}
        self._stubs: dict[str, Stub] = {} if channel is None else {GIVEN: Stub(channel)}
        self._open: set[grpc.Call] = set()

    @property
    def closed(self) -> bool:
        """Nothing can be asked for any more, and what is under way ends."""
        return self._closing.is_set()

    def check(self) -> None:
        """Raises RuntimeError when this client cannot be used, or not here."""
        if self.closed:
            raise RuntimeError("this client is closed; make a new one")
        self._check_process()

    def stub(self, address: str) -> Stub:
        """For the scheduler at one of the addresses. Raises Unavailable when this client was closed meanwhile."""
        self._check_process()
        with self._lock:
            if self.closed:
                raise closed()
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
                if address != GIVEN:
                    return cast("Response", send(call.request, timeout=seconds, metadata=self.metadata()))
                # Its channel is not ours to close; and a future, which can be ended by itself, takes twice as long.
                answer = send.future(call.request, timeout=seconds, metadata=self.metadata())
                with self.opened(answer):
                    # Waits for the end too, but without the lock of grpc_testing's futures, which cancel() needs.
                    answer.code()
                    return cast("Response", answer.result())

        return call.read(self.repeat(attempt, timeout=timeout))

    def repeat(self, attempt: Callable[[str, float], Value], *, timeout: timedelta) -> Value:
        """Make attempts, each given an address and how many seconds it may take, until one gives an answer."""
        attempts = Attempts(timeout, self.now(), backoff=self.backoff, rotation=self.rotation)
        while True:
            address, seconds = attempts.begin(self.now())
            try:
                return attempt(address, seconds)
            except TelecineError as error:
                if self.closed:
                    raise
                wait = attempts.wait(error, self.now())
            self.pause(wait)

    def breaks(self, outage_timeout: timedelta | None) -> Breaks:
        """For a watch that begins now."""
        return Breaks(self.now(), backoff=self.backoff, rotation=self.rotation, outage_timeout=outage_timeout)

    def pause(self, seconds: float) -> None:
        """Let so many seconds pass. Raises Unavailable when this client is closed, without a clock of the caller's at once."""
        self._sleep(max(seconds, 0))
        if self.closed:
            raise closed()

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
        self.check()
        while True:
            begin = self.now()
            stub = self.stub(breaks.begin(begin))
            try:
                with self.translation(), closing(stream(stub, _left(deadline, begin))) as news:
                    yield from news
                cause = error(grpc.StatusCode.UNAVAILABLE, "the scheduler ended the watch before it was over")
            except TelecineError as broken:
                if self.closed:
                    raise
                cause = broken
            wait = breaks.wait(cause, self.now())
            self.pause(wait if deadline is None else min(wait, deadline - self.now()))
            if deadline is not None and self.now() >= deadline:
                raise error(grpc.StatusCode.DEADLINE_EXCEEDED, "the time for the watch is over") from cause

    @contextmanager
    def opened(self, call: Opened) -> Iterator[Opened]:
        """The call until it is left; closing this client ends it too."""
        handle = cast("grpc.Call", call)
        with self._lock:
            self._open.add(handle)
        try:
            if self.closed:
                raise closed()
            yield call
        finally:
            with self._lock:
                self._open.discard(handle)
            handle.cancel()

    @contextmanager
    def translation(self) -> Iterator[None]:
        """gRPC's errors become ours; so does whatever a call ends with that the closing of this client ended."""
        try:
            yield
        except grpc.RpcError as raw:
            raise (closed() if self.closed else from_rpc_error(raw)) from raw
        except (grpc.FutureCancelledError, ValueError) as raw:
            # A cancelled future, or a call that met a channel that was just closed.
            if self.closed:
                raise closed() from raw
            raise

    def close(self) -> None:
        """End every call and connection. May be called twice, and while other threads wait for answers."""
        with self._lock:
            self._closing.set()
            under_way = tuple(self._open)
            channels, self._channels = self._channels, {}
        for call in under_way:
            call.cancel()
        for channel in channels.values():
            channel.close()

    def _check_process(self) -> None:
        if self._pid != os.getpid():
            raise RuntimeError(
                "this client was made before a fork, which gRPC's connections do not survive; make it after"
            )


def _left(deadline: float | None, now: float) -> float | None:
    return None if deadline is None else max(deadline - now, 0)
