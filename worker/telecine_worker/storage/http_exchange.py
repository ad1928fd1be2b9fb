"""A request and its answer, through redirects, each hop to an address that was checked."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from telecine_worker.failure import permanent
from telecine_worker.storage.address_guard import AddressGuard
from telecine_worker.storage.fetch_errors import Broken
from telecine_worker.storage.http_answer import Answer, read_answer
from telecine_worker.storage.http_status import REDIRECTS
from telecine_worker.storage.http_target import Target, redirected
from telecine_worker.storage.patience import Patience
from telecine_worker.storage.resolving import Resolve, allowed_endpoints, system_resolve
from telecine_worker.storage.tls import default_trust
from telecine_worker.storage.wire import Connect, Timeout, Wire, connect

MOST_REDIRECTS = 3

_OURS = {"User-Agent": "telecine", "Accept": "*/*"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How hosts are reached. *trust* makes the TLS settings."""

    guard: AddressGuard
    patience: Patience = field(default_factory=Patience)
    resolve: Resolve = system_resolve
    connect: Connect = connect
    trust: Callable[[], ssl.SSLContext] = default_trust


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """An answer whose body has not been read. *target* is who gave it, after redirects."""

    wire: Wire
    answer: Answer
    target: Target


@contextmanager
def asking(
    network: Network, target: Target, *, headers: Mapping[str, str], ours: Mapping[str, str], what: str,
    stopped: Callable[[], bool],
) -> Iterator[Exchange]:  # fmt: skip
    """GET *target*; leaving closes the connection.

    *headers* are the caller's, and not sent on to another origin; *ours* are sent to every one. Every redirect is resolved
    and checked as the first request is. Raises AttemptFailed, Broken, FetchStopped.
    """
    for _ in range(MOST_REDIRECTS + 1):
        try:
            with _open(network, target, what, stopped) as wire:
                timeout = Timeout.after(network.patience.answer, "did not answer")
                wire.send(_request(target, {**_OURS, **headers}, ours), timeout)
                answer = read_answer(wire, timeout)
                if answer.status not in REDIRECTS:
                    yield Exchange(wire=wire, answer=answer, target=target)
                    return
        except Broken as broken:
            broken.where = str(target)
            raise
        new = redirected(target, _location(answer, target, what), what)
        headers, target = (headers if new.origin == target.origin else {}), new
    raise permanent("INPUT_UNREADABLE", f"{what}: {target} is the end of more than {MOST_REDIRECTS} redirects")


def _open(network: Network, target: Target, what: str, stopped: Callable[[], bool]) -> Wire:
    patience = network.patience
    endpoints = allowed_endpoints(
        target, resolve=network.resolve, guard=network.guard, what=what, within=patience.resolve, stopped=stopped
    )
    wire = network.connect(endpoints, patience.connect, stopped)
    with ExitStack() as failing:
        failing.enter_context(wire)
        _check_peer(wire, network, target, what)
        if target.scheme == "https":
            _start_tls(wire, network, target, what)
        failing.pop_all()
    return wire


def _check_peer(wire: Wire, network: Network, target: Target, what: str) -> None:
    """A public address may be the worker's own: what listens there is for others, or for nobody."""
    own = wire.own_address()
    if own is not None and not network.guard.names(own):
        text = f"{what}: {target} leads to the worker's own machine, and the operator of this worker did not allow it"
        raise permanent("INPUT_NOT_ALLOWED", text)


def _start_tls(wire: Wire, network: Network, target: Target, what: str) -> None:
    try:
        wire.start_tls(network.trust(), target.host, Timeout.after(network.patience.connect, "did not begin TLS"))
    except ssl.SSLCertVerificationError as error:
        text = f"{what}: {target} has no certificate to trust ({error.verify_message})"
        raise permanent("INPUT_UNREADABLE", text) from error


def _request(target: Target, headers: Mapping[str, str], ours: Mapping[str, str]) -> bytes:
    """A caller's User-Agent takes the place of ours. Everything was checked: nothing in it ends a line."""
    merged = {name.lower(): (name, value) for name, value in headers.items()}
    fixed = {"Host": target.authority, "Accept-Encoding": "identity", "Connection": "close", **ours}
    lines = [f"GET {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in fixed.items())]
    lines += [f"{name}: {value}" for name, value in merged.values()]
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode("ascii")


def _location(answer: Answer, target: Target, what: str) -> str:
    location = answer.header("location")
    if not location:
        raise permanent("INPUT_UNREADABLE", f"{what}: {target} answered {answer.status} without a Location")
    return location
