"""How a driver talks to a worker it started: the worker says "ready", answers "report" with JSON, and ends with its input."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

from bench.drivers.request import Missing

READY_SECONDS = 30.0
REPORT_SECONDS = 10.0
END_SECONDS = 15.0
POLL_SECONDS = 0.02


def answer_reports(report: Callable[[], object], on_end: Callable[[], None]) -> None:
    """In the worker: answer in a thread. Whoever started the worker is gone when the input ends, however it went."""

    def listen() -> None:
        for _ in sys.stdin:
            print(json.dumps(report()), flush=True)
        on_end()

    threading.Thread(target=listen, daemon=True).start()


class WorkerProcess:
    """In the driver: a worker of the same revision, in a process of its own."""

    def __init__(self, module: str, *arguments: str, settings: Mapping[str, str], log: Path) -> None:
        # The same interpreter, paths and working directory as the driver's.
        self._command = [sys.executable, "-P", "-m", f"bench.drivers.{module}", *arguments]
        self._settings = settings
        self._log = log
        self._process: asyncio.subprocess.Process
        self.ready = ""

    @property
    def pid(self) -> int:
        return self._process.pid

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=pipe, stdout=pipe, stderr=log, env=dict(self._settings)
            )
        self.ready = await self._line(READY_SECONDS)
        if not self.ready.startswith("ready"):
            await self.__aexit__()
            raise Missing(f"{self._command[3]} did not start: {self._log.read_text()[-1000:]}")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _line(self, seconds: float) -> str:
        assert self._process.stdout
        async with asyncio.timeout(seconds):
            return (await self._process.stdout.readline()).decode()

    async def report(self) -> dict[str, Any]:
        """What the worker has done so far."""
        assert self._process.stdin
        self._process.stdin.write(b"report\n")
        line = await self._line(REPORT_SECONDS)
        assert line, f"{self._command[3]} ended: {self._log.read_text()[-1000:]}"
        found: dict[str, Any] = json.loads(line)
        return found

    async def until(self, what: str, count: int, seconds: float) -> dict[str, Any]:
        """The first report whose *what* is at least *count*."""
        async with asyncio.timeout(seconds):
            while (report := await self.report())[what] < count:
                await asyncio.sleep(POLL_SECONDS)
        return report
