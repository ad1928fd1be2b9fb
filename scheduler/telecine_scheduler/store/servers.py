"""Where Redis is: the forms of TELECINE_REDIS_URL, and what is in one."""

from __future__ import annotations

import enum
import inspect
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio import Connection, SSLConnection
from redis.asyncio.connection import parse_url
from redis.exceptions import RedisError

FORMS = (
    "redis://, rediss://, unix://, redis+sentinel://HOST:PORT[,HOST:PORT...]/SERVICE[/DB], redis+cluster://HOST:PORT[,...], or "
    "one of the last two with rediss+"
)


class Kind(enum.StrEnum):
    """What has to be asked before a primary is connected to."""

    ONE = ""
    """Nobody: the URL says where it is."""
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


# Options of a URL. What else there is belongs to the connection: deadlines and repetitions of its own would break promises.
_ALLOWED = {"db", "username", "password", "path"}
_TLS_OPTIONS = {name for name in inspect.signature(SSLConnection.__init__).parameters if name.startswith("ssl_")}
_OPTION = re.compile("[a-z_]{1,40}")
_DEFAULT_PORT = {Kind.SENTINEL: 26379, Kind.CLUSTER: 6379}


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    """Where something listens."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """What a URL says.

    *ask* are the sentinels, or some nodes of the cluster. *options* are for a connection to a server of the data, and contain
    secrets; *service* is its name at the sentinels.
    """

    kind: Kind
    ask: tuple[HostPort, ...] = ()
    service: str = ""
    options: dict[str, Any] = field(default_factory=dict, repr=False)


def parse_servers(url: str) -> Servers:
    """What *url* says. Raises ValueError, without anything of the URL: any part of one that is not right may be secret."""
    if url.count("@") > min(1, _netloc(url).count("@")):
        raise ValueError(
            "only one @ may be in it, before the hosts; percent-encode @, :, /, ? and # in user and password"
        )
    scheme, _, kind = url.partition("://")[0].partition("+")
    if scheme not in {"redis", "rediss", "unix"} or kind not in set(Kind) or (kind and scheme == "unix"):
        raise ValueError(f"it must be one of {FORMS}")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("its HOST:PORT or its password is not right; percent-encode [ and ] in a password") from None
    _check_options(parts.query, tls=scheme == "rediss")
    servers = _parse_several(parts, scheme, Kind(kind)) if kind else _parse_one(parts)
    _check_usable(servers.options)
    return servers


def _netloc(url: str) -> str:
    """What is between :// and the path, query or fragment."""
    return re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]


def _check_options(query: str, *, tls: bool) -> None:
    """Refuse what connections are not meant to have, or set for themselves."""
    allowed = _ALLOWED | (_TLS_OPTIONS if tls else set())
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if name not in allowed:
            # What is no plain word may be a piece of a password.
            shown = name if _OPTION.fullmatch(name) else "one of them"
            raise ValueError(
                f"of its options, {shown} cannot be set; there are db, username, password, path and, with rediss, ssl_..."
            )


def _parse_one(parts: SplitResult) -> Servers:
    if parts.scheme != "unix" and not re.fullmatch("/?[0-9]*", parts.path):
        raise ValueError("its path is not right: after the host there may be a number of a database")
    return Servers(kind=Kind.ONE, options=_options(parts.geturl()))


def _parse_several(parts: SplitResult, scheme: str, kind: Kind) -> Servers:
    user, at, hosts = parts.netloc.rpartition("@")
    ask = tuple(_host_port(each, place, _DEFAULT_PORT[kind]) for place, each in enumerate(hosts.split(","), 1))
    path = [unquote(each) for each in parts.path.split("/")[1:] if each]
    service = path.pop(0) if kind is Kind.SENTINEL and path else ""
    if kind is Kind.SENTINEL and not service:
        raise ValueError("after the sentinels it must name the service: redis+sentinel://HOST:PORT/SERVICE")
    database = path.pop(0) if path else "0"
    options = _options(f"{scheme}://{user}{at}localhost/{database}?{parts.query}")
    if path or not database.isdecimal() or (kind is Kind.CLUSTER and options["db"] != 0):
        raise ValueError(
            "its path is not right; a service may be followed by a number of a database, a cluster has only 0"
        )
    return Servers(
        kind=kind,
        ask=ask,
        service=service,
        options={name: value for name, value in options.items() if name not in {"host", "port"}},
    )


def _options(url: str) -> dict[str, Any]:
    try:
        return dict(parse_url(url))
    except ValueError:
        # Its own words may have a piece of a password that looks like a port.
        raise ValueError("its port or one of its options is not right") from None


def _check_usable(options: dict[str, Any]) -> None:
    """Whether a connection can be made with these: nothing is sent."""
    try:
        options.get("connection_class", Connection)(
            **{name: value for name, value in options.items() if name != "connection_class"}
        )
    except (TypeError, ValueError, RedisError):
        raise ValueError("one of its options is not right") from None


def _host_port(text: str, place: int, default_port: int) -> HostPort:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, default_port if parts.port is None else parts.port
    except ValueError:
        host, port = None, 0
    if not host or not port:
        raise ValueError(f"what is in place {place} of its hosts is no HOST:PORT")
    return HostPort(host=host, port=port)
