"""Which server a partition is trusted to. Every other one is looked at first, whether it was started again or took over."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from redis import exceptions
from redis.asyncio.connection import AbstractConnection

from telecine_scheduler.store.checks import Checks, UnfitStore, forbidden, identity
from telecine_scheduler.store.codec import microseconds
from telecine_scheduler.store.scripts import script
from telecine_scheduler.store.waits import Wait


class Fitness:
    """Keeps new connections waiting until their server was found fit, and then tells the store which one it is.

    The checks have to use a client without this greeting.
    """

    def __init__(self, checks: Checks, prefix: str, ttl: timedelta) -> None:
        self._checks = checks
        self._prefix = prefix
        self._ttl = ttl
        # The server that was found fit, while it is the same.
        self._server = ""
        self._wanted = asyncio.Event()
        self._looked = asyncio.Condition()
        # What the acknowledgements of the server have to wait for.
        self.wait: Wait | None = None
        # Why the server is not fit, if so.
        self.unfit: str | None = None

    async def look(self) -> tuple[str, ...]:
        """Look at the server that is there now; warnings. Raises UnfitStore and StoreUnavailable."""
        self._wanted.clear()
        try:
            verdict = await self._checks.run()
        except UnfitStore as error:
            self._server, self.unfit = "", str(error)
            raise
        else:
            self._server, self.wait, self.unfit = verdict.server, verdict.wait, None
            return verdict.warnings
        finally:
            async with self._looked:
                self._looked.notify_all()

    async def look_at_next(self) -> tuple[str, ...]:
        """The same, as soon as there is a server that was not looked at."""
        await self._wanted.wait()
        return await self.look()

    async def greet(self, connection: AbstractConnection) -> None:
        """Begin a connection: nothing else is sent to a server before it was found fit and knows which it is."""
        try:
            await self._greet(connection)
        except exceptions.NoPermissionError as error:
            self.unfit = forbidden(error)
            raise exceptions.ConnectionError(self.unfit) from error

    async def _greet(self, connection: AbstractConnection) -> None:
        server = await _server(connection)
        if server != self._server:
            await self._until_looked_at(connection)
        if server != self._server:
            raise exceptions.ConnectionError(self.unfit or "this server was not looked at yet")
        await connection.send_command(
            "EVAL", script("resync").source, 1, self._prefix, 1, server, microseconds(self._ttl)
        )
        await connection.read_response()
        self.unfit = None

    async def _until_looked_at(self, connection: AbstractConnection) -> None:
        """Returns on the same connection. What is sent on one that was closed meanwhile would be sent on a new one instead."""
        writer = connection._writer  # noqa: SLF001 - nothing else tells one connection from the next
        async with self._looked:
            self._wanted.set()
            await self._looked.wait()
        if writer is None or connection._writer is not writer:  # noqa: SLF001 - as above
            raise exceptions.ConnectionError("the connection was lost before its server was looked at")


async def _server(connection: AbstractConnection) -> str:
    await connection.send_command("INFO", "server", "replication")
    lines = (await connection.read_response()).decode().splitlines()
    return identity(dict(line.split(":", 1) for line in lines if ":" in line))
