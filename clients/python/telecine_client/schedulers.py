"""The schedulers a client may talk to: their addresses, one channel each, and calls that survive the loss of one."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from telecine.v1 import scheduler_service_pb2_grpc
from telecine_client.backoff import Backoff
from telecine_client.errors import DeadlineExceeded, TelecineError, Unavailable
from telecine_client.rpc_errors import from_rpc_error

if TYPE_CHECKING:
    from telecine.v1.scheduler_service_pb2_grpc import SchedulerServiceAsyncStub

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

OPTIONS = (
    # A peer that is gone without a word is noticed within 15 s.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # Calls are repeated here, not by the transport, which does not know RetryInfo and stops after five attempts.
    ("grpc.enable_retries", 0),
    # How long one attempt to connect may take (the name misleads), and how often it is tried.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    ("grpc.max_send_message_length", 8 * 1024 * 1024),
)
_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[^\[\]:/\s]+):(?P<port>\d{1,5})")
# What gRPC puts before the reason: every address it tried is said by us.
_LAST_ERROR = re.compile(r"^failed to connect to all addresses; last error: [A-Z_]+: (\S+: )?")
_SCHEME = re.compile(r"(unix|unix-abstract|dns|ipv4|ipv6|vsock):")


def parse_addresses(text: str) -> tuple[str, ...]:
    """The addresses in a comma list of HOST:PORT or gRPC targets (unix:/path, dns:///host:port).

    Raises ValueError naming the address that is none.
    """
    addresses = tuple(part.strip() for part in text.split(",") if part.strip())
    if not addresses:
        raise ValueError("no scheduler's address was given; write HOST:PORT, several separated by commas")
    for address in addresses:
        found = _HOST_AND_PORT.fullmatch(address)
        if not _SCHEME.match(address) and not (found and 0 < int(found["port"]) < 65536):
            raise ValueError(f"{address!r} is no scheduler's address; write HOST:PORT, for example 127.0.0.1:50051")
    return addresses


class Schedulers:
    """Talks to one scheduler at a time, and turns to the next when that one is away.

    Channels are made when they are first used, within the running event loop.
    """

    def __init__(self, addresses: tuple[str, ...], *, backoff: Backoff) -> None:
        self.addresses = addresses
        self.backoff = backoff
        self.current = addresses[0]
        """Whose turn it is."""
        self._channels: dict[str, grpc.aio.Channel] = {}

    def stub(self, address: str) -> SchedulerServiceAsyncStub:
        """For the scheduler at one of the addresses."""
        if address not in self._channels:
            options = (*OPTIONS, ("grpc.enable_http_proxy", 0)) if _is_loopback(address) else OPTIONS
            self._channels[address] = grpc.aio.insecure_channel(address, options=options)
        return scheduler_service_pb2_grpc.SchedulerServiceStub(self._channels[address])

    def turn_from(self, address: str) -> None:
        """Use the next address, now that this one is away; nothing changes where another call turned from it already."""
        if address == self.current:
            self.current = self.addresses[(self.addresses.index(address) + 1) % len(self.addresses)]

    async def call(
        self,
        method: Callable[[SchedulerServiceAsyncStub], grpc.aio.UnaryUnaryMultiCallable[Request, Response]],
        request: Request,
        *,
        timeout: timedelta,
    ) -> Response:
        """Make the call, and again while no scheduler can be reached, for at most *timeout* in all.

        Only for calls that may be repeated: every one of the contract may, SubmitJob because its job id is chosen
        before. Raises the TelecineError of the last attempt.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout.total_seconds()
        failures: list[Unavailable] = []
        while True:
            address = self.current
            try:
                return await method(self.stub(address))(request, timeout=max(deadline - loop.time(), 0))
            except grpc.aio.AioRpcError as raw:
                error = self.named(from_rpc_error(raw), timeout)
                if isinstance(error, DeadlineExceeded) and failures:
                    # The time ran out over being turned away, which says more than that it ran out.
                    raise failures[-1] from raw
                if not isinstance(error, Unavailable):
                    raise error from raw
                failures.append(error)
                wait = self.backoff.wait(len(failures), at_least=error.retry_after).total_seconds()
                if loop.time() + wait >= deadline:
                    raise error from raw
            self.turn_from(address)
            await asyncio.sleep(wait)

    def named(self, error: TelecineError, timeout: timedelta | None = None) -> TelecineError:
        """The same error, saying which schedulers were tried where the transport's own words do not help."""
        if error.reason or not isinstance(error, Unavailable | DeadlineExceeded):
            return error
        where = ", ".join(self.addresses)
        if isinstance(error, DeadlineExceeded) and timeout:
            message = f"the scheduler at {where} did not answer within {timeout.total_seconds():g} s"
        else:
            message = f"the scheduler at {where} cannot be reached: {_LAST_ERROR.sub('', error.message)}"
        return type(error)(message, code=error.code, details=error.details)

    async def close(self) -> None:
        """End every call and connection."""
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            await channel.close()


def _is_loopback(address: str) -> bool:
    """A proxy of the environment must not come between a client and its own machine."""
    found = _HOST_AND_PORT.fullmatch(address)
    if not found:
        return False
    host = found["host"].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
