"""From a host's name to addresses that may be connected to."""

from __future__ import annotations

import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address
from typing import Any

from telecine_worker.failure import permanent
from telecine_worker.storage.address_guard import AddressGuard
from telecine_worker.storage.fetch_errors import Broken, FetchStopped
from telecine_worker.storage.http_target import Target

LOOK_AGAIN_SECONDS = 0.05
MOST_ADDRESSES = 8


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and port as sockets take them."""

    family: int
    address: tuple[Any, ...]


Resolve = Callable[[str, int], Sequence[Endpoint]]
"""Host and port to endpoints, in the order to try them. Raises OSError."""


def system_resolve(host: str, port: int) -> Sequence[Endpoint]:
    """As the system does it. Numbers in any notation become addresses here, too."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [Endpoint(family, address) for family, _, _, _, address in found]


def allowed_endpoints(
    target: Target, *, resolve: Resolve, guard: AddressGuard, what: str, within: timedelta, stopped: Callable[[], bool]
) -> Sequence[Endpoint]:
    """What *target* resolves to, asked once. One address that is not allowed refuses them all: a name that leads inside
    and outside is a trap.

    Raises AttemptFailed INPUT_NOT_ALLOWED, Broken, FetchStopped.
    """
    endpoints = _resolved(target, resolve, within, stopped)
    for endpoint in endpoints:
        refusal = guard.refusal(ip_address(endpoint.address[0]), target.port)
        if refusal is not None:
            raise permanent("INPUT_NOT_ALLOWED", f"{what}: {target} {refusal}")
    return endpoints[:MOST_ADDRESSES]


def _resolved(target: Target, resolve: Resolve, within: timedelta, stopped: Callable[[], bool]) -> Sequence[Endpoint]:
    """In a thread of its own, because a resolver cannot be interrupted; one that hangs is left behind."""
    answers: queue.SimpleQueue[Sequence[Endpoint] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(resolve(target.host, target.port))
        except OSError as error:
            answers.put(error)

    threading.Thread(target=ask, name="resolving", daemon=True).start()
    deadline = time.monotonic() + within.total_seconds()
    while time.monotonic() < deadline:
        if stopped():
            raise FetchStopped
        try:
            answer = answers.get(timeout=LOOK_AGAIN_SECONDS)
        except queue.Empty:
            continue
        if not isinstance(answer, OSError):
            return answer
        # Not final: a name that does not exist may exist soon, and resolvers say the same of networks that are down.
        if answer.args[:1] == (socket.EAI_NONAME,):
            raise Broken("has a host name that is not known")
        raise Broken("has a host name that could not be resolved")
    raise Broken(f"has a host name that was not resolved within {within.total_seconds():g} s")
