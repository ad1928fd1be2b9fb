"""Sentinels that watch a pair of servers."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from support.processes import wait_until
from support.redis_server import server_binary
from support.replicas import Pair
from support.steady_ports import steady_port

SERVICE = "jobs"
DOWN_MILLISECONDS = 500


class Sentinels:
    """Three of them, two of which decide."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._processes: list[subprocess.Popen[bytes]] = []
        self.ports: list[int] = []

    @property
    def url(self) -> str:
        """For TELECINE_REDIS_URL."""
        return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.ports)}/{SERVICE}"

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="tc")
        for number in range(3):
            self._launch(Path(self._folder.name) / f"{number}.conf")
        wait_until(self._know_each_other, "the sentinels to know each other and the replica")
        return self

    def _launch(self, path: Path) -> None:
        port = steady_port()
        path.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {path.parent}\n"
            f"sentinel monitor {SERVICE} 127.0.0.1 {self._pair.primary.port} 2\n"
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_MILLISECONDS}\n"
            f"sentinel failover-timeout {SERVICE} 3000\n"
        )
        with path.with_suffix(".log").open("ab") as log:
            self._processes.append(subprocess.Popen([server_binary(), path, "--sentinel"], stdout=log, stderr=log))
        self.ports.append(port)

    def _know_each_other(self) -> bool:
        return all(self._knows(port) for port in self.ports)

    def _knows(self, port: int) -> bool:
        try:
            with redis.Redis(port=port, socket_timeout=1) as client:
                state = client.sentinel_master(SERVICE)
        except redis.RedisError:
            return False
        return state["num-other-sentinels"] == 2 and state["num-slaves"] == 1

    def stop_one(self) -> None:
        """One of them ends."""
        self._processes[0].kill()
        self._processes[0].wait(10)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait(10)
        self._folder.cleanup()
