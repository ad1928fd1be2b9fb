"""A Redis Cluster: three primaries, each with a third of the slots."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
from redis.crc import key_slot

from support.processes import wait_until
from support.redis_server import RedisServer
from support.replicas import admin
from support.steady_ports import steady_port

SLOTS = 16384


class Cluster:
    """*settings* are for each node. A node that is away takes its own slots with it, and no others."""

    def __init__(self, **settings: str) -> None:
        self._settings = {"cluster-require-full-coverage": "no"} | settings
        self._open = ExitStack()
        self.nodes: list[RedisServer] = []

    @property
    def url(self) -> str:
        """For TELECINE_REDIS_URL."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{node.port}' for node in self.nodes)}"

    def __enter__(self) -> Self:
        buses = []
        for _ in range(3):
            folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="tc")))
            buses.append(steady_port())
            node = RedisServer(
                folder, port=str(steady_port()), cluster_enabled="yes", cluster_port=str(buses[-1]),
                cluster_node_timeout="2000", **self._settings,
            )  # fmt: skip
            self._open.callback(node.kill)
            node.start()
            self.nodes.append(node)
        third = SLOTS // 3
        for number, node in enumerate(self.nodes):
            last = SLOTS - 1 if number == 2 else (number + 1) * third - 1
            with admin(node) as client:
                client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * third, last)
                if number:
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].port, buses[0])
        wait_until(lambda: all(self._sees_all(node) for node in self.nodes), "the cluster to form")
        return self

    def _sees_all(self, node: RedisServer) -> bool:
        with admin(node) as client:
            state = client.execute_command("CLUSTER", "INFO")
            return b"cluster_state:ok" in state and len(client.execute_command("CLUSTER", "SLOTS")) == 3

    def owner(self, key: str) -> RedisServer:
        """The node that has the slot of a key, as it sees itself."""
        return next(node for node in self.nodes if self._owns(node, key_slot(key.encode())))

    def _owns(self, node: RedisServer, slot: int) -> bool:
        with admin(node) as client:
            ranges = client.execute_command("CLUSTER", "SLOTS")
        return any(first <= slot <= last and owner[1] == node.port for first, last, owner, *_ in ranges)

    def move(self, key: str, to: RedisServer) -> None:
        """Move the slot of a key with all that is in it, as redis-cli does."""
        with self.moving(key, to):
            pass

    @contextlib.contextmanager
    def moving(self, key: str, to: RedisServer) -> Iterator[None]:
        """The same; no key has been moved yet on entering, all of them on leaving."""
        slot, source = key_slot(key.encode()), self.owner(key)
        with admin(source) as old, admin(to) as new:
            old_id, new_id = (client.execute_command("CLUSTER", "MYID").decode() for client in (old, new))
            new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", old_id)
            old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", new_id)
            try:
                yield
            finally:
                self._finish(slot, old, new, new_id, to)

    @staticmethod
    def _finish(slot: int, old: redis.Redis, new: redis.Redis, new_id: str, to: RedisServer) -> None:
        while keys := old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            old.execute_command("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)
        for client in (new, old):
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", new_id)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()
