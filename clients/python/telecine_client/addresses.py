"""Where schedulers are, and whose turn it is."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from datetime import timedelta

from telecine_client.errors import DeadlineExceeded, TelecineError, Unavailable

_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[^\[\]:/\s]+):(?P<port>\d{1,5})")
_SCHEME = re.compile(r"(unix|unix-abstract|dns|ipv4|ipv6|vsock):")
# What gRPC puts before the reason: every address it tried is said by us.
_LAST_ERROR = re.compile(r"^failed to connect to all addresses; last error: [A-Z_]+: (\S+: )?")


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


def is_loopback(address: str) -> bool:
    """Whether it is HOST:PORT on this machine's own network."""
    found = _HOST_AND_PORT.fullmatch(address)
    if not found:
        return False
    host = found["host"].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def stays_on_this_machine(address: str) -> bool:
    """Whether what is sent there can be read nowhere else."""
    return is_loopback(address) or address.startswith(("unix:", "unix-abstract:"))


class Rotation:
    """Uses one scheduler at a time, and turns to the next when that one is away."""

    def __init__(self, addresses: tuple[str, ...]) -> None:
        self.addresses = addresses
        self.current = addresses[0]
        """Whose turn it is."""

    def turn_from(self, address: str) -> None:
        """Use the next address, now that this one is away; nothing changes where another call turned from it already."""
        if address == self.current:
            self.current = self.addresses[(self.addresses.index(address) + 1) % len(self.addresses)]


def named(error: TelecineError, tried: Iterable[str], timeout: timedelta | None = None) -> TelecineError:
    """The same error, saying which schedulers were *tried* where the transport's own words do not help."""
    if error.reason or not isinstance(error, Unavailable | DeadlineExceeded):
        return error
    where = ", ".join(tried)
    if isinstance(error, DeadlineExceeded) and timeout:
        message = f"the scheduler at {where} did not answer within {timeout.total_seconds():g} s"
    else:
        message = f"the scheduler at {where} cannot be reached: {_LAST_ERROR.sub('', error.message)}"
    clearer = type(error)(message, code=error.code, details=error.details)
    clearer.__cause__ = error.__cause__
    return clearer
