"""One pipeline on one connection, which is given up where it is dead: a server that is slow is waited for."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection

from telecine_scheduler.store.link import DROP_SECONDS, Replaced, drop

# A connection that is silent for longer is compared with a new one.
SILENT_SECONDS = 1.2
# A server that answers others may be about to answer this one.
LAST_CHANCE_SECONDS = 0.2


class Exchange:
    """What a lane sends and is answered, one pipeline at a time. *on_dead* is called where its connection was found dead."""

    def __init__(self, client: Redis, on_dead: Callable[[], None]) -> None:
        self._client = client
        self._on_dead = on_dead
        self._connection: AbstractConnection | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._looks: list[asyncio.Task[None]] = []
        # What has taken the place of a dead one, until that is given back: then it is the next to be taken.
        self._fresh: AbstractConnection | None = None
        # Of the pipeline that is under way: whether something was answered, and whether its connection was cut.
        self._answered = False
        self._dead = False
        # Whether what is idle must not be used.
        self._doubted = False

    async def send(self, commands: Sequence[tuple[Any, ...]], *, wait_seconds: float = 0) -> list[Any]:
        """The replies, errors among them. *wait_seconds* is how long the server may wait at the last command.

        Raises Replaced where the connection was dead, and what redis-py raises where it was lost otherwise.
        """
        pool = self._client.connection_pool
        if self._doubted:
            self._doubted = False
            await drop(self._client)
        self._connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        self._answered = self._dead = False
        try:
            # From the beginning of sending on: a connection that takes nothing is as dead.
            self._look_in(SILENT_SECONDS)
            await self._connection.send_packed_command(self._connection.pack_commands(commands), check_health=False)
            return await self._replies(self._connection, len(commands), wait_seconds)
        except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
            if self._dead:
                raise Replaced("the connection was dead, and there is a new one") from error
            raise
        finally:
            connection, self._connection = self._connection, None
            await pool.release(connection)
            await self._stop_looking()

    async def _replies(self, connection: AbstractConnection, count: int, wait_seconds: float) -> list[Any]:
        replies: list[Any] = []
        for _ in range(count):
            try:
                replies.append(await connection.read_response())
            except exceptions.ResponseError as error:
                replies.append(error)
            if wait_seconds and not self._answered:
                # What was asked is answered at once; after it the server may be silent for a while.
                self._look_in(SILENT_SECONDS + wait_seconds)
            self._answered = True
        return replies

    def doubt(self) -> None:
        """Another connection to this server was dead, or led to the wrong one: what is idle is not used again, what is silent
        is looked at now.
        """
        if self._connection is None:
            self._doubted = True
            return
        self._connection.mark_for_reconnect()  # type: ignore[no-untyped-call]
        if not self._answered:
            self._look_in(0)

    def _look_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._cancel_looks()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        if self._connection is not None:
            self._looks.append(asyncio.create_task(self._cut_if_dead(self._connection)))

    async def _cut_if_dead(self, connection: AbstractConnection) -> None:
        """Close a connection that is silent where a new one is answered: Redis is there, it is not."""
        pool = self._client.connection_pool
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DROP_SECONDS):
                    await pool.disconnect(inuse_connections=False)
            fresh = await pool.get_connection()  # type: ignore[no-untyped-call]
        except (exceptions.RedisError, OSError):
            return
        try:
            await asyncio.sleep(LAST_CHANCE_SECONDS)
        except asyncio.CancelledError:
            await pool.release(fresh)
            raise
        self._dead, self._fresh = True, fresh
        self._on_dead()
        await connection.disconnect(nowait=True)

    async def _stop_looking(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._cancel_looks()
        await asyncio.gather(*self._looks, return_exceptions=True)
        self._timer = None
        self._looks.clear()
        if self._fresh is not None:
            fresh, self._fresh = self._fresh, None
            await self._client.connection_pool.release(fresh)

    def _cancel_looks(self) -> None:
        """Once: a second time would break into what they do about the first."""
        for look in self._looks:
            if not look.cancelling():
                look.cancel()
