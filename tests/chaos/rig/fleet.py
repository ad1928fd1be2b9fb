"""The rig of every scenario: Redis, schedulers A B C, workers W1 to W4 with two slots, all real processes, and a history."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import redis

from chaos.rig.commits import CommitReader
from chaos.rig.history import History
from chaos.rig.tools import Tools
from support.ffmpeg_under_test import make_clip
from support.processes import Child, System, ffmpeg_children
from support.steady_ports import steady_port
from telecine_client import AsyncClient

TTL_SECONDS = 6.0
ACCEPT_SECONDS = 1.5
CANCEL_SECONDS = 2.0
# The test profile. A sweep comes every 250 ms, renewals every 2 s or with progress.
PROFILE = {
    "LEASE_TTL": "6s", "ACCEPT_WINDOW": "1500ms", "RECONNECT_GRACE": "3s", "CANCEL_GRACE": "2s", "DRAIN": "2s",
}  # fmt: skip
SCHEDULERS = ("A", "B", "C")
WORKERS = ("W1", "W2", "W3", "W4")
SLOTS = 2


class Fleet:
    """Enter it, then `start`. Leaving ends every process. *profile* is laid over PROFILE, for all processes.

    *random* is seeded: what a scenario decides by it is the same every time, what the processes make of it is not. Jobs are of
    the tenant *tenant*, which nobody else on this machine has. *keep*: where logs and history are left.
    """

    def __init__(self, seed: int, *, appendfsync: str = "always", keep: Path | None = None, **profile: str) -> None:
        self.random = random.Random(seed)
        self.tenant = f"chaos-{os.getpid()}-{seed}"
        self.system = System(appendfsync=appendfsync, **(PROFILE | profile))
        self.schedulers: dict[str, Child] = {}
        self.workers: dict[str, Child] = {}
        self._unsettled: list[Child] = []
        self._keep = keep

    async def __aenter__(self) -> Self:
        self.system.__enter__()
        self.tools = Tools(self.system.folder)
        self.history = History(self.tools.history)
        self.source = make_clip(self.system.media / "source.mp4", seconds=1, size="64x64")
        self._commits = CommitReader(self.redis, self.history)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._commits.stop()
        if self._keep:
            self._keep.mkdir(parents=True, exist_ok=True)
            for file in (*self.system.folder.glob("*.log"), self.tools.history):
                shutil.copy(file, self._keep)
        for child in self.system.children:
            if child.process and child.process.poll() is not None and child.process.stdout:
                # It ended by itself, and nobody waited for it.
                child.process.stdout.close()
        self.system.__exit__(kind, error, trace)
        for pid in ffmpeg_children(f"={self.tenant}~"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @property
    def out(self) -> Path:
        """Where jobs of scenarios write."""
        return self.system.media / "out"

    @property
    def addresses(self) -> str:
        """Of all schedulers, as settings and clients take them."""
        return ",".join(child.argv[2] for child in self.schedulers.values())

    def redis(self) -> redis.Redis:
        """A connection of the test's own."""
        return redis.Redis(unix_socket_path=str(self.system.redis.socket), socket_timeout=5)

    def client(self, address: str = "", *, timeout: timedelta = timedelta(seconds=20)) -> AsyncClient:
        """Of the tenant; of all schedulers unless *address* says of which."""
        return AsyncClient(address or self.addresses, tenant=self.tenant, timeout=timeout)

    async def read_commits(self) -> None:
        """Bring the history up to date."""
        await asyncio.to_thread(self._commits.read)

    async def start(
        self, schedulers: Iterable[str] = SCHEDULERS, workers: Iterable[str] = WORKERS, *, slots: int = SLOTS
    ) -> None:
        """Start them side by side, and wait until all are ready."""
        for name in schedulers:
            self.add_scheduler(name)
        for name in workers:
            self.add_worker(name, slots=slots)
        await self.launch(*self.schedulers, *self.workers)

    async def launch(self, *names: str) -> None:
        """Start what was added, side by side, and wait until all of it is ready."""
        self._commits.start()
        for name in names:
            self.restart(name)
        await self.settle()

    def log(self, name: str, event: str) -> list[dict[str, Any]]:
        """The lines of a process's log that are about *event*."""
        lines = self.child(name).log.read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [line for line in found if line.get("event") == event]

    async def at_of(self, worker: str) -> str:
        """The address of the scheduler that *worker* was connected to last, as its log tells; empty: none yet."""
        lines = await asyncio.to_thread(self.log, worker, "scheduler connected")
        return str(lines[-1]["address"]) if lines else ""

    def add_scheduler(self, name: str, **env: str) -> Child:
        """Not started; at a port that stays its own."""
        child = self.system.scheduler(name, f"127.0.0.1:{steady_port()}", **env)
        self.schedulers[name] = child
        return child

    def add_worker(self, name: str, schedulers: str = "", *, slots: int = SLOTS, **env: str) -> Child:
        """Not started; with a stand-in of its own, at all schedulers unless *schedulers* says at which."""
        settings = {
            "TELECINE_FFMPEG": str(self.tools.ffmpeg(name)), "TELECINE_FFPROBE": str(self.tools.ffprobe),
            # A stand-in writes where the rig reads.
            "TELECINE_SANDBOX": "off",
            "TELECINE_SLOTS": str(slots),
        }  # fmt: skip
        child = self.system.worker(schedulers or self.addresses, name, **(settings | env))
        self.workers[name] = child
        return child

    def child(self, name: str) -> Child:
        """A scheduler or worker by its name."""
        return self.schedulers.get(name) or self.workers[name]

    def kill(self, name: str) -> None:
        """SIGKILL; it is gone when this returns."""
        self.history.note("nemesis", action="kill", target=name)
        child = self.child(name)
        child.kill()
        if child in self._unsettled:
            self._unsettled.remove(child)

    def restart(self, name: str) -> None:
        """Start it again, and do not wait: see `settle`."""
        self.history.note("nemesis", action="start", target=name)
        child = self.child(name)
        child.launch()
        self._unsettled.append(child)

    async def settle(self) -> None:
        """Wait until everything that was started is ready."""
        while self._unsettled:
            await asyncio.to_thread(self._unsettled[0].wait_ready)
            self._unsettled.pop(0)


def port_of(fleet: Fleet, scheduler: str) -> int:
    """Where it listens, or will."""
    return int(fleet.schedulers[scheduler].argv[2].rpartition(":")[2])
