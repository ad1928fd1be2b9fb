"""The whole system as real processes: Redis, schedulers, workers. Each is started, killed and waited for by pid."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from support.ffmpeg_under_test import confinement_under_test, toolchain_under_test
from support.redis_server import RedisServer

READY_SECONDS = 60
MARKER = "TELECINE_ATTEMPT="
BIN = Path(sys.executable).parent


@dataclass(kw_only=True)
class Child:
    """A process of ours that says when it is ready."""

    name: str
    argv: list[str]
    env: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    ready: dict[str, str] = field(default_factory=dict)

    def start(self) -> Self:
        """Start it, and return once it has said that it is ready."""
        self.launch()
        self.wait_ready()
        return self

    def launch(self) -> None:
        """Start it, and return at once."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.argv, env=self.env, stdout=subprocess.PIPE, stderr=log)

    def wait_ready(self) -> None:
        """Until its ready line."""
        assert self.process
        assert self.process.stdout
        deadline, text = time.monotonic() + READY_SECONDS, b""
        while b"\n" not in text:
            left = deadline - time.monotonic()
            readable, _, _ = select.select([self.process.stdout], [], [], max(0, left))
            piece = os.read(self.process.stdout.fileno(), 4096) if readable else b""
            assert piece, f"{self.name} did not get ready: {self.log.read_text()[-3000:]}"
            text += piece
        word, *pairs = text.decode().split()
        assert word == "ready"
        self.ready = dict(pair.split("=", 1) for pair in pairs)

    @property
    def pid(self) -> int:
        assert self.process
        return self.process.pid

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self) -> int:
        assert self.process
        code = self.process.wait(30)
        if self.process.stdout:
            self.process.stdout.close()
        return code

    def end(self) -> None:
        """Whatever state it is in, it is gone afterwards."""
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.kill()


class System:
    """Redis, and as many schedulers and workers as a test wants, in a folder of their own."""

    def __init__(self, *, appendfsync: str = "always", **settings: str) -> None:
        self._appendfsync = appendfsync
        self._settings = {f"TELECINE_{name}": value for name, value in settings.items()}
        self._open = ExitStack()
        self.children: list[Child] = []

    def __enter__(self) -> Self:
        self.folder = Path(self._open.enter_context(tempfile.TemporaryDirectory(prefix="tc")))
        self.media = self.folder / "media"
        self.media.mkdir()
        self.redis = RedisServer(self.folder, appendfsync=self._appendfsync)
        self.redis.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for child in reversed(self.children):
            child.end()
        self.redis.stop()
        if error:
            for log in sorted(self.folder.glob("*.log")):
                print(f"--- {log.name}\n{log.read_text()[-4000:]}", file=sys.stderr)
        self._open.close()

    def _child(self, name: str, argv: list[str], **env: str) -> Child:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("TELECINE_")}
        log = self.folder / f"{name}.log"
        child = Child(name=name, argv=argv, env=clean | self._settings | env, log=log)
        self.children.append(child)
        return child

    def scheduler(self, name: str = "scheduler", listen: str = "127.0.0.1:0", **env: str) -> Child:
        """A scheduler that was not started yet."""
        argv = [str(BIN / "telecine-scheduler"), "--listen", listen, "--metrics-listen", "127.0.0.1:0"]
        return self._child(name, argv, **{"TELECINE_REDIS_URL": self.redis.url, "TELECINE_REFLECTION": "1"} | env)

    def worker(self, schedulers: str, name: str = "worker", **env: str) -> Child:
        """A worker that was not started yet; its id is its name."""
        argv = [str(BIN / "telecine-worker"), "--metrics-listen", "127.0.0.1:0", "--schedulers", schedulers]
        tools = toolchain_under_test()
        return self._child(
            name, argv,
            **{
                "TELECINE_WORKER_ID": name, "TELECINE_WORK_DIR": str(self.folder / f"{name}.state"),
                "TELECINE_FILE_ROOTS": str(self.media), "TELECINE_FFMPEG": str(tools.ffmpeg),
                "TELECINE_FFPROBE": str(tools.ffprobe), "TELECINE_DRAIN": "0s",
                "TELECINE_SANDBOX": confinement_under_test().mode.value,
            } | env,
        )  # fmt: skip

    def cli(self, address: str, *arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run the command line to its end."""
        env = {key: value for key, value in os.environ.items() if not key.startswith("TELECINE_")}
        return subprocess.run(
            [str(BIN / "telecine"), *arguments], env=env | {"TELECINE_ADDRESS": address}, capture_output=True, text=True,
            timeout=timeout, check=False, cwd=self.folder,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Live:
    """A whole system that runs, and a clip for its jobs."""

    system: System
    scheduler: Child
    second: Child
    worker: Child
    source: Path

    @property
    def address(self) -> str:
        return self.scheduler.ready["grpc"]

    @property
    def media(self) -> Path:
        return self.system.media


def ffmpeg_children(marker: str = "") -> dict[int, str]:
    """Running processes that an attempt started: pid and the attempt, found by what their environment says."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            environment = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
            zombie = re.search(r"^State:\s+Z", (folder / "status").read_text(), re.MULTILINE)
        except OSError:
            continue
        for entry in environment:
            if entry.startswith(MARKER) and marker in entry and not zombie:
                found[int(folder.name)] = entry.removeprefix(MARKER)
    return found


def wait_until(condition: object, what: str, seconds: float = 30) -> None:
    """Look until *condition* holds; a deadline, not a delay."""
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def free_port() -> int:
    """A port nobody listens on just now, for a scheduler that has to come back at the same place."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def have(tool: str) -> bool:
    """Whether a program is on PATH or in the environment of the tests."""
    return shutil.which(tool) is not None or (BIN / tool).exists()
