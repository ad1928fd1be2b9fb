"""A connection that waits no longer than it may, and ends as soon as nobody wants it any more."""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from types import TracebackType
from typing import Self, TypeVar

from telecine_worker.storage.address_guard import IpAddress
from telecine_worker.storage.fetch_errors import Broken, FetchStopped
from telecine_worker.storage.resolving import LOOK_AGAIN_SECONDS, Endpoint
from telecine_worker.storage.tls import READ_BYTES, Tls

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """Until when to wait, by time.monotonic, and what to say afterwards."""

    at: float
    text: str

    @classmethod
    def after(cls, duration: timedelta, failing: str) -> Self:
        """*failing* goes on with "within 30 s"."""
        seconds = duration.total_seconds()
        return cls(at=time.monotonic() + seconds, text=f"{failing} within {seconds:g} s")


class Wire:
    """Bytes to and from a server. All methods block; they raise Broken or FetchStopped."""

    def __init__(self, connected: socket.socket, stopped: Callable[[], bool]) -> None:
        self._socket = connected
        self._stopped = stopped
        self._tls: Tls | None = None
        self._buffer = b""
        self._position = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def own_address(self) -> IpAddress | None:
        """The address that was connected to, where it is one of this machine's own: both sides have it then. A loopback address
        other than 127.0.0.1 is not seen.
        """
        try:
            here, there = self._socket.getsockname()[0], self._socket.getpeername()[0]
        except OSError as error:
            raise _broken_off(error) from error
        return ip_address(there) if here == there else None

    def start_tls(self, trust: ssl.SSLContext, host: str, timeout: Timeout) -> None:
        """Go on encrypted, with a certificate for *host*. Raises ssl.SSLCertVerificationError besides."""
        tls = Tls(trust, host)
        self._through(tls, tls.shake_hands, timeout)
        self._tls = tls

    def send(self, data: bytes, timeout: Timeout) -> None:
        """All of *data*."""
        if self._tls is None:
            self._send(data, timeout)
        else:
            tls = self._tls
            self._through(tls, lambda: tls.encrypt(data), timeout)

    def receive(self, most: int, timeout: Timeout) -> bytes:
        """Some bytes, at most *most*; none at the end of the stream."""
        if self._position == len(self._buffer):
            self._buffer, self._position = self._receive(timeout), 0
        piece = self._buffer[self._position : self._position + most]
        self._position += len(piece)
        return piece

    def read_line(self, longest: int, timeout: Timeout) -> bytes:
        """A line without its end. Raises Broken for more than *longest* bytes, and at the end of the stream."""
        while (end := self._buffer.find(b"\n", self._position, self._position + longest + 1)) < 0:
            if len(self._buffer) - self._position > longest:
                raise Broken("sent a line that is too long for HTTP")
            more = self._receive(timeout)
            if not more:
                raise Broken("closed the connection in the middle of its answer")
            self._buffer, self._position = self._buffer[self._position :] + more, 0
        line, self._position = self._buffer[self._position : end], end + 1
        return line.removesuffix(b"\r")

    def _receive(self, timeout: Timeout) -> bytes:
        self._check(timeout)
        if self._tls is None:
            return self._read(timeout)
        return self._through(self._tls, self._tls.decrypt, timeout)

    def _through(self, tls: Tls, call: Callable[[], T | None], timeout: Timeout) -> T:
        """Until *call*, a method of *tls*, has an answer; what comes and goes meanwhile is carried."""
        while True:
            try:
                answer = call()
            except ssl.SSLCertVerificationError:
                raise
            except ssl.SSLError as error:
                raise _broken_off(error) from error
            self._send(tls.take(), timeout)
            if answer is not None:
                return answer
            # Records without any content may come for ever.
            self._check(timeout)
            tls.give(self._read(timeout))

    def _check(self, timeout: Timeout) -> None:
        if self._stopped():
            raise FetchStopped
        if time.monotonic() >= timeout.at:
            raise Broken(timeout.text)

    def _read(self, timeout: Timeout) -> bytes:
        while True:
            try:
                return self._socket.recv(READ_BYTES)
            except BlockingIOError:
                wait(self._socket, select.POLLIN, timeout, self._stopped)
            except OSError as error:
                raise _broken_off(error) from error

    def _send(self, data: bytes, timeout: Timeout) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._socket.send(rest) :]
            except BlockingIOError:
                wait(self._socket, select.POLLOUT, timeout, self._stopped)
            except OSError as error:
                raise _broken_off(error) from error


Connect = Callable[[Sequence[Endpoint], timedelta, Callable[[], bool]], Wire]
"""What `connect` does."""


def connect(endpoints: Sequence[Endpoint], within: timedelta, stopped: Callable[[], bool]) -> Wire:
    """A connection to the first of *endpoints* that answers; *within* is for each. Raises Broken, FetchStopped."""
    failure = Broken("has no address")
    for endpoint in endpoints:
        try:
            return Wire(_connected(endpoint, Timeout.after(within, "could not be connected to"), stopped), stopped)
        except Broken as broken:
            failure = broken
    raise failure


def _connected(endpoint: Endpoint, timeout: Timeout, stopped: Callable[[], bool]) -> socket.socket:
    try:
        made = socket.socket(endpoint.family, socket.SOCK_STREAM)
    except OSError as error:
        raise Broken(f"could not be connected to ({_cause(error)})") from error
    try:
        made.setblocking(False)  # noqa: FBT003 - the standard library's own call
        code = made.connect_ex(endpoint.address)
        if code == errno.EINPROGRESS:
            wait(made, select.POLLOUT, timeout, stopped)
            code = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except BaseException:
        made.close()
        raise
    if code:
        made.close()
        raise Broken(f"could not be connected to ({os.strerror(code)})")
    return made


def wait(connection: socket.socket, events: int, timeout: Timeout, stopped: Callable[[], bool]) -> None:
    """Until *connection* is ready for *events*. Raises Broken when the timeout comes first, and FetchStopped."""
    poll = select.poll()
    poll.register(connection, events)
    while True:
        if stopped():
            raise FetchStopped
        left = timeout.at - time.monotonic()
        if left <= 0:
            raise Broken(timeout.text)
        if poll.poll(min(left, LOOK_AGAIN_SECONDS) * 1000):
            return


def _broken_off(error: OSError) -> Broken:
    return Broken(f"broke the connection off ({_cause(error)})")


def _cause(error: OSError) -> str:
    """A word of the system or of OpenSSL; never what the server sent."""
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'the stream ended'}"
    return error.strerror or type(error).__name__
