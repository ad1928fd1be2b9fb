"""Who is the primary of a partition: asked of sentinels, or of the nodes of a cluster."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections import Counter
from typing import Any

from redis import exceptions
from redis.asyncio import Connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot

from telecine_scheduler.store.servers import HostPort, Kind, Servers

# How long those are waited for who do not answer.
ASK_SECONDS = 1.0
# Nodes of a cluster that are asked besides those of the URL.
MORE_NODES = 4


class Locator(ABC):
    """Asks everybody who may know at once, and believes the most."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._options = {key: value for key, value in servers.options.items() if key != "connection_class"}
        self._connection = servers.options.get("connection_class", Connection)
        self._hint: HostPort | None = None

    @abstractmethod
    def _question(self) -> tuple[str, ...]:
        """The command that asks."""

    @abstractmethod
    def _understand(self, reply: Any, asked: HostPort) -> HostPort | None:
        """What the reply of *asked* says."""

    def _whom(self) -> list[HostPort]:
        return list(self._servers.ask)

    def hint(self, found: HostPort) -> None:
        """A server said that the primary is there now: the next one to look for it need not ask."""
        self._hint = found

    async def find(self) -> HostPort:
        """Where the primary is. Raises redis' ConnectionError where nobody knows."""
        hint, self._hint = self._hint, None
        return hint or await self._most_told()

    async def _most_told(self) -> HostPort:
        whom = self._whom()
        asking = [asyncio.create_task(self._ask(each)) for each in whom]
        votes: Counter[HostPort] = Counter()
        try:
            async with asyncio.timeout(ASK_SECONDS):
                for answer in asyncio.as_completed(asking):
                    found = await answer
                    votes.update([found] if found else [])
                    if found and votes[found] * 2 > len(asking):
                        break
        except TimeoutError:
            # Those who answered have to do.
            pass
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        if not votes:
            raise exceptions.ConnectionError(f"none of {len(whom)} asked says where the primary is")
        return votes.most_common(1)[0][0]

    async def _ask(self, whom: HostPort) -> HostPort | None:
        try:
            return self._understand(await self._asked(whom, self._options), whom)
        except exceptions.AuthenticationError:
            # Sentinels often have no password where their servers have one.
            return await self._ask_openly(whom)
        except (exceptions.RedisError, OSError):
            return None

    async def _ask_openly(self, whom: HostPort) -> HostPort | None:
        options = {key: value for key, value in self._options.items() if key not in {"username", "password"}}
        try:
            return self._understand(await self._asked(whom, options), whom)
        except (exceptions.RedisError, OSError):
            return None

    async def _asked(self, whom: HostPort, options: dict[str, Any]) -> Any:
        # Sentinels have no databases.
        connection = self._connection(
            **options | {"db": 0, "host": whom.host, "port": whom.port},
            retry=Retry(NoBackoff(), 0),
            socket_timeout=None,
            socket_connect_timeout=ASK_SECONDS,
            protocol=2,
        )
        try:
            await connection.connect()
            await connection.send_command(*self._question())
            return await connection.read_response()
        finally:
            await connection.disconnect(nowait=True)


class SentinelLocator(Locator):
    """Asks the sentinels of the URL."""

    def _question(self) -> tuple[str, ...]:
        return ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._servers.service)

    def _understand(self, reply: Any, asked: HostPort) -> HostPort | None:  # noqa: ARG002 - a cluster's node needs it
        return HostPort(host=reply[0].decode(), port=int(reply[1])) if reply else None


class ClusterLocator(Locator):
    """Asks the nodes of the URL, and some that they named, for the owner of the slot of a key."""

    def __init__(self, servers: Servers, key: str) -> None:
        super().__init__(servers)
        self._slot = key_slot(key.encode())
        self._nodes: list[HostPort] = []

    def _whom(self) -> list[HostPort]:
        others = [node for node in self._nodes if node not in self._servers.ask]
        return [*self._servers.ask, *random.sample(others, min(MORE_NODES, len(others)))]

    def _question(self) -> tuple[str, ...]:
        return ("CLUSTER", "SLOTS")

    def _understand(self, reply: Any, asked: HostPort) -> HostPort | None:
        self._nodes = [_node(node, asked) for _, _, *nodes in reply for node in nodes]
        owners = [_node(nodes[0], asked) for first, last, *nodes in reply if first <= self._slot <= last]
        return owners[0] if owners else None


def _node(node: list[Any], asked: HostPort) -> HostPort:
    """A node that does not know its own address is the one that was asked."""
    host = (node[0] or b"").decode()
    return HostPort(host=asked.host if host in {"", "?"} else host, port=int(node[1]))


def locator(servers: Servers, key: str) -> Locator | None:
    """What finds the primary that has *key*; None where the URL says where it is."""
    if servers.kind is Kind.SENTINEL:
        return SentinelLocator(servers)
    return ClusterLocator(servers, key) if servers.kind is Kind.CLUSTER else None
