"""A primary and its replica, which may change places."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from support.processes import wait_until
from support.redis_server import RedisServer
from support.steady_ports import steady_port


def admin(server: RedisServer) -> redis.Redis:
    """A client for what operators do; closed by whoever asked."""
    return redis.Redis(unix_socket_path=str(server.socket), socket_timeout=10)


def info(server: RedisServer, section: str) -> dict[str, Any]:
    """A section of INFO."""
    with admin(server) as client:
        return dict(client.info(section))


def online_replicas(server: RedisServer) -> int:
    """How many follow it closely."""
    replication = info(server, "replication")
    return sum(1 for name, value in replication.items() if isinstance(value, dict) and value.get("state") == "online")


class Pair:
    """Two servers on TCP and on a unix socket each. *settings* are for both."""

    def __init__(self, **settings: str) -> None:
        self._settings = {"repl-diskless-sync-delay": "0"} | settings
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self.primary = self.server()
        self.primary.start()
        self.replica = self.server(replicaof=f"127.0.0.1 {self.primary.port}")
        self.replica.start()
        wait_until(lambda: online_replicas(self.primary) == 1, "the replica to follow")
        return self

    def server(self, **settings: str) -> RedisServer:
        """One that was not started yet, and ends with the pair."""
        folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="tc")))
        server = RedisServer(folder, port=str(steady_port()), **(self._settings | settings))
        self._open.callback(server.kill)
        return server

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def caught_up(self) -> None:
        """Wait until the replica has everything that the primary has."""
        with admin(self.primary) as client:
            # A client waits for what it wrote itself, and for what was written before.
            client.set("caught up", "now")
            assert client.wait(1, 10_000) == 1

    def promote(self) -> None:
        """The replica takes over, by hand; what the primary had not told it yet is lost."""
        with admin(self.replica) as client:
            client.replicaof("NO", "ONE")
