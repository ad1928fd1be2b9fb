"""Where the inputs of a test's attempts may come from, and fetching one by itself."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from telecine_worker.failure import AttemptFailed, Failure
from telecine_worker.storage.address_guard import AddressGuard, parse_network
from telecine_worker.storage.destinations import Destinations
from telecine_worker.storage.fetch_errors import Broken
from telecine_worker.storage.http_exchange import Network
from telecine_worker.storage.http_fetch import Request, fetch
from telecine_worker.storage.locations import FileRoots
from telecine_worker.storage.object_store import ObjectStores
from telecine_worker.storage.patience import Patience
from telecine_worker.storage.resolving import Endpoint, system_resolve
from telecine_worker.storage.sources import Intake
from telecine_worker.storage.wire import Wire, connect

HERE = ("127.0.0.0/8", "::1/128")
# Tries again at once, and waits long for what is to come.
QUICK = Patience(
    connect=timedelta(seconds=10),
    answer=timedelta(seconds=10),
    idle=timedelta(seconds=10),
    first_pause=timedelta(milliseconds=1),
    longest_pause=timedelta(milliseconds=2),
)


@dataclass(slots=True)
class Connecting:
    """Connects to addresses in *real* alone. Every other one is noted: no test shall reach a host that is not its own, even
    where the code under test would.
    """

    real: Sequence[str] = HERE
    noted: list[str] = field(default_factory=list)

    def __call__(self, endpoints: Sequence[Endpoint], within: timedelta, stopped: Callable[[], bool]) -> Wire:
        """As `connect` does it."""
        networks = [parse_network(each) for each in self.real]
        addresses = [ip_address(endpoint.address[0]) for endpoint in endpoints]
        if all(any(address in each for each in networks) for address in addresses):
            return connect(endpoints, within, stopped)
        self.noted += map(str, addresses)
        raise Broken("is at an address that no test connects to")


def network(*allowed: str, **changes: Any) -> Network:
    """Decides as a worker does that may reach public hosts and the networks *allowed*."""
    guard = AddressGuard([parse_network(each) for each in allowed])
    return replace(Network(guard=guard, patience=QUICK, connect=Connecting()), **changes)


def intake(roots: Sequence[Path], directory: Path, *allowed: str, **changes: Any) -> Intake:
    """Below *roots*, and from *allowed*; what is fetched is kept in *directory*."""
    made = Intake(roots=FileRoots(roots), network=network(*allowed), directory=directory, max_bytes=1 << 30)
    return replace(made, **changes)


def destinations(roots: Sequence[Path], directory: Path, stores: ObjectStores | None = None) -> Destinations:
    """Below *roots* and to *stores*; what goes to stores is made in *directory* first."""
    return Destinations(roots=FileRoots(roots), stores=stores or ObjectStores(), directory=directory)


def resolving(names: Mapping[str, Sequence[str]]) -> Callable[[str, int], Sequence[Endpoint]]:
    """A name service that knows *names* alone; for the rest the system says what number it is."""

    def resolve(host: str, port: int) -> Sequence[Endpoint]:
        return [endpoint for address in names.get(host, [host]) for endpoint in system_resolve(address, port)]

    return resolve


@dataclass(slots=True, kw_only=True)
class Fetching:
    """Fetches as a worker on this machine does that may read from itself."""

    directory: Path
    network: Network = field(default_factory=lambda: network(*HERE))
    stop: bool = False

    async def fetch(self, url: str, **request: Any) -> bytes:
        """What arrives."""
        fields = {"name": "main", "url": url, "max_bytes": 1 << 30, **request}
        given_up = threading.Event()

        def stopped() -> bool:
            return self.stop or given_up.is_set()

        try:
            async with asyncio.timeout(30):
                fd = await asyncio.to_thread(fetch, self.network, self.directory, Request(**fields), stopped)
        finally:
            given_up.set()
        with closing(os.fdopen(fd, "rb")) as file:
            return file.read()

    async def failure(self, url: str, **request: Any) -> Failure:
        """How it fails."""
        with pytest.raises(AttemptFailed) as error:
            await self.fetch(url, **request)
        return error.value.failure

    def patience(self, **changes: Any) -> None:
        """Wait differently from here on."""
        self.network = replace(self.network, patience=replace(self.network.patience, **changes))

    async def until_kept(self, size: int) -> None:
        """Until a fetch that runs has kept so many bytes."""
        async with asyncio.timeout(10):
            while not any(fd.stat().st_size >= size for fd in self._descriptors()):
                await asyncio.sleep(0.005)

    def left(self) -> list[str]:
        """What of the fetched is still there: files, and descriptors of files without a name."""
        return [*map(str, self.directory.iterdir()), *map(str, self._descriptors())]

    def _descriptors(self) -> list[Path]:
        """Of files in the directory, with a name or without."""
        return [path for path in Path("/proc/self/fd").iterdir() if _target(path).startswith(f"{self.directory}/")]


def _target(link: Path) -> str:
    """Empty where it is gone: other threads open and close theirs."""
    try:
        return str(link.readlink())
    except OSError:
        return ""
