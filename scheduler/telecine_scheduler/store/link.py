"""Connections to Redis, made so that no command is ever sent twice behind our back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from telecine_scheduler.domain.errors import StoreFull, StoreUnavailable

# A caller is answered within five seconds, however many wait; this leaves room for the rest of the way.
ANSWER_SECONDS = 4.0
DROP_SECONDS = 0.3
# What a client may meet while Redis restarts, loads, fails over or is busy.
_AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.BusyLoadingError,
    exceptions.ReadOnlyError,
    exceptions.MasterDownError,
    exceptions.ClusterDownError,
    exceptions.TryAgainError,
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


def connect(url: str) -> Redis:
    """A client that sends each command once, and has no timeout of its own: callers bring theirs.

    redis-py would otherwise send a command again after a lost reply, and a reading that blocks would be cut.
    """
    over_network = {} if url.startswith("unix:") else {"socket_keepalive": True}
    pool: BlockingConnectionPool = BlockingConnectionPool.from_url(
        url,
        **over_network,
        max_connections=2,
        timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=None,
        socket_connect_timeout=2.0,
        decode_responses=False,
        protocol=2,
        client_name="telecine-scheduler",
    )
    return Redis(connection_pool=pool)


def shown(url: str) -> str:
    """The URL without user and password, for logs."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, query="").geturl()


async def ask(call: Callable[[], Awaitable[Any]], client: Redis, *, seconds: float = ANSWER_SECONDS) -> Any:
    """Await *call* with a deadline, and turn what Redis may answer instead into our own errors.

    After a lost reply the connection is dropped, so that the reply cannot be taken for that of a later command.
    """
    try:
        async with asyncio.timeout(seconds):
            return await call()
    except _AWAY as error:
        await _drop(client)
        raise unavailable(error) from error
    except exceptions.ResponseError as error:
        raise mapped(error) from error


async def _drop(client: Redis) -> None:
    """Close the connections, without waiting for a peer that does not answer."""
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(DROP_SECONDS):
            await client.connection_pool.disconnect()


def mapped(error: exceptions.RedisError) -> Exception:
    """Our error for one that Redis answered with; the same error where it is a defect of ours."""
    text = str(error)
    if isinstance(error, exceptions.OutOfMemoryError) or text.startswith("OOM"):
        return StoreFull("Redis is out of memory; it takes no new jobs until some are finished or maxmemory is raised")
    if isinstance(error, _AWAY) or text.startswith(_AWAY_CODES):
        return unavailable(error)
    return error


def unavailable(error: Exception) -> StoreUnavailable:
    """Nothing is known about what was asked; the details are for the log, through __cause__."""
    kind = "did not answer in time" if isinstance(error, TimeoutError) else "cannot be reached"
    return StoreUnavailable(
        f"the job store (Redis) {kind}; the outcome is not known, repeat the call with the same job_id"
    )


async def close(client: Redis) -> None:
    """Close every connection of *client*."""
    await client.aclose()
    # The client leaves a pool that it was given open.
    await client.connection_pool.aclose()


def is_no_script(reply: Any) -> bool:
    """Whether a reply in a pipeline says that Redis has forgotten the script."""
    return isinstance(reply, exceptions.NoScriptError)
