"""Connections to Redis, made so that no command is ever sent twice behind our back."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from telecine_scheduler.domain.errors import StoreFull, StoreUnavailable
from telecine_scheduler.store.dialing import DIALED, ELSEWHERE, Dialer, Greet
from telecine_scheduler.store.locators import locator
from telecine_scheduler.store.servers import parse_servers

# A caller is answered within five seconds, however many wait; this leaves room for the rest of the way.
ANSWER_SECONDS = 4.0
DROP_SECONDS = 0.3
# What a client may meet while Redis restarts, loads, fails over or is busy.
_AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.BusyLoadingError,
    exceptions.TryAgainError,
    exceptions.NoPermissionError,
    *ELSEWHERE,
    OSError,
    TimeoutError,
)
_AWAY_CODES = (
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY",
    "NOREPLICAS",
    "MISCONF",
    "UNBLOCKED",
)
# In other words where it is a script that does what its user may not.
_FORBIDDEN_TO_SCRIPTS = ("ACL failure in script", "The user executing the script can't run")


def connect(url: str, key_prefix: str = "", *, greet: Greet | None = None) -> Redis:
    """A client of the primary that has the keys of *key_prefix*; it is looked for again whenever it may be another.

    Each command is sent once, with no timeout of its own: callers bring theirs. redis-py would otherwise send a command again
    after a lost reply, and a reading that blocks would be cut. *greet* is done first on every new connection.
    """
    servers = parse_servers(url)
    dialer = Dialer(locator(servers, key_prefix), greet)
    over_network = {} if url.startswith("unix:") else {"socket_keepalive": True}
    options = {
        **over_network,
        "max_connections": 2,
        "timeout": ANSWER_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,
        "socket_connect_timeout": 2.0,
        "decode_responses": False,
        "protocol": 2,
        "client_name": "telecine-scheduler",
        **servers.options,
        "connection_class": DIALED[servers.options.get("connection_class", Connection)],
        "dialer": dialer,
        "redis_connect_func": dialer.greet,
    }
    return Redis(connection_pool=BlockingConnectionPool(**options))


def shown(url: str) -> str:
    """The URL without user, password and options, for logs."""
    scheme, _, rest = url.partition("://")
    secret, _, where = rest.rpartition("@")
    # An @ behind the path is no end of a password: what follows it may be the rest of one.
    return f"{scheme}://{'...' if set(secret) & set('/?#') else re.split('[?#]', where, maxsplit=1)[0]}"


class Replaced(exceptions.ConnectionError):
    """A connection was dead, and there is a new one in its place: there is nothing to drop."""


async def ask(call: Callable[[], Awaitable[Any]], client: Redis, *, seconds: float = ANSWER_SECONDS) -> Any:
    """Await *call* with a deadline, and turn what Redis may answer instead into our own errors.

    After a lost reply the connection is dropped, so that the reply cannot be taken for that of a later command; and after
    anything else that a primary may say which was replaced.
    """
    try:
        async with asyncio.timeout(seconds):
            return await call()
    except Replaced as error:
        raise unavailable(error) from error
    except _AWAY as error:
        await drop(client)
        raise unavailable(error) from error
    except StoreUnavailable:
        await drop(client)
        raise
    except exceptions.ResponseError as error:
        raise mapped(error) from error


async def drop(client: Redis) -> None:
    """Close the connections, without waiting for a peer that does not answer; the next one may lead elsewhere."""
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(DROP_SECONDS):
            await client.connection_pool.disconnect()


def mapped(error: exceptions.RedisError) -> Exception:
    """Our error for one that Redis answered with; the same error where it is a defect of ours."""
    text = str(error)
    if isinstance(error, exceptions.OutOfMemoryError) or text.startswith("OOM"):
        return StoreFull("Redis is out of memory; it takes no new jobs until some are finished or maxmemory is raised")
    if isinstance(error, _AWAY) or text.startswith(_AWAY_CODES + _FORBIDDEN_TO_SCRIPTS):
        return unavailable(error)
    return error


def unavailable(error: Exception) -> StoreUnavailable:
    """Nothing is known about what was asked; the details are for the log, through __cause__."""
    kind = "did not answer in time" if isinstance(error, TimeoutError) else "cannot be reached"
    away = StoreUnavailable(
        f"the job store (Redis) {kind}; the outcome is not known, repeat the call with the same job_id"
    )
    away.__cause__ = error
    return away


async def close(client: Redis) -> None:
    """Close every connection of *client*."""
    await client.aclose()
    # The client leaves a pool that it was given open.
    await client.connection_pool.aclose()


def is_undone(reply: Any) -> bool:
    """Whether a reply in a pipeline says that nothing was done and at once would be, with the script's source.

    Redis has forgotten the script, or another node has the keys now.
    """
    return isinstance(reply, exceptions.NoScriptError | exceptions.MovedError)
