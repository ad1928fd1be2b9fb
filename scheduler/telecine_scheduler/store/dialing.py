"""How a connection to Redis is made: not in step with others, to whoever is the primary now, and greeted before it is used."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from redis import exceptions
from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection

from telecine_scheduler.store.locators import Locator
from telecine_scheduler.store.servers import HostPort

# From the connection to the end of the greeting.
GREET_SECONDS = 1.5
# After a loss every scheduler comes back at once: each waits for a random part of this, which doubles with every failure.
FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 1.0
# Errors of a server that is not, or no longer, the one to talk to.
ELSEWHERE = (
    exceptions.ReadOnlyError,
    exceptions.AskError,
    exceptions.ClusterDownError,
    exceptions.MasterDownError,
)
# Those of a primary that was cut off from its replicas, one of which may have taken over.
_CUT_OFF = "NOREPLICAS"
# Says and asks on a new connection what has to be said and asked first.
Greet = Callable[[AbstractConnection], Awaitable[None]]


def leads_elsewhere(reply: Any) -> bool:
    """Whether a server says by this reply that it may not be the one to talk to."""
    return isinstance(reply, ELSEWHERE) or (
        isinstance(reply, exceptions.ResponseError) and str(reply).startswith(_CUT_OFF)
    )


class Dialer:
    """Makes the connections of one client."""

    def __init__(self, locator: Locator | None, greet: Greet | None) -> None:
        self._locator = locator
        self._greet = greet
        # Connections that failed since the last that did not; None before the first.
        self._failures: int | None = None

    async def find(self) -> HostPort | None:
        """Where to connect to; None: where the URL says. Returns after a pause where something was lost or failed."""
        if self._failures is not None:
            longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 8))
            await asyncio.sleep(random.uniform(0, longest))  # noqa: S311 - no secret
        self._failures = 0 if self._failures is None else self._failures + 1
        return await self._locator.find() if self._locator else None

    async def greet(self, connection: AbstractConnection) -> None:
        """The handshake and the greeting. A connection that was not greeted is closed."""
        try:
            async with asyncio.timeout(GREET_SECONDS):
                await connection.on_connect_check_health(check_health=False)
                if self._greet is not None:
                    await self._greet(connection)
        except TimeoutError as error:
            await connection.disconnect(nowait=True)
            raise exceptions.TimeoutError("a new connection was not answered") from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._failures = 0

    def redirected(self, error: Exception, asked: str) -> None:
        """The server *asked* said who has the slot now."""
        if self._locator is not None and isinstance(error, exceptions.MovedError):
            self._locator.hint(HostPort(host=error.host or asked, port=error.port))


class _Dialed(AbstractConnection):
    """A connection that its Dialer makes, and that is not used again after it was told to go elsewhere."""

    def __init__(self, *, dialer: Dialer, **options: Any) -> None:
        super().__init__(**options)
        self._dialer = dialer

    async def _connect(self) -> None:
        found = await self._dialer.find()
        if found is not None:
            self.host, self.port = found.host, found.port
        await super()._connect()  # type: ignore[no-untyped-call, safe-super]

    async def read_response(self, *arguments: Any, **options: Any) -> Any:
        """The next reply."""
        try:
            return await super().read_response(*arguments, **options)
        except exceptions.ResponseError as error:
            if leads_elsewhere(error):
                # Closed when it is given back: the replies behind this one are still to come.
                self.mark_for_reconnect()  # type: ignore[no-untyped-call]
                self._dialer.redirected(error, str(getattr(self, "host", "")))
            raise


class DialedTcp(_Dialed, Connection):
    """Over TCP."""


class DialedTls(_Dialed, SSLConnection):
    """Over TLS."""


class DialedUnix(_Dialed, UnixDomainSocketConnection):
    """Over a unix socket."""


DIALED: dict[type[AbstractConnection], type[_Dialed]] = {
    Connection: DialedTcp,
    SSLConnection: DialedTls,
    UnixDomainSocketConnection: DialedUnix,
}
