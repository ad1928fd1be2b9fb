"""One child process: started so that it cannot outlive us, heard until it is ready, and ended as we choose."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

_LONGEST_LINE_BYTES = 1024 * 1024
_LAST_WORDS = timedelta(seconds=1)
LAUNCHER = Path(__file__).with_name("launcher.py")


class StartFailed(Exception):
    """A child ended, or said nothing, before it was ready; the message says which one, how, and where its log is."""


def launched(argv: Sequence[str]) -> Sequence[str]:
    """The same program, started so that it cannot outlive this process."""
    return [sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), *argv]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run."""

    name: str
    """For people: scheduler, worker-1, valkey."""
    argv: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to our own."""
    without: frozenset[str] = frozenset()
    """Variables of our own that it does not get."""
    log: Path | None = None
    """The child's standard error goes to the end of this file; None: to ours."""
    keep_open: tuple[int, ...] = ()
    """Descriptors that the child inherits, and holds until it ends."""


class Child:
    """A running process. Started from the main thread only (see launcher.py)."""

    def __init__(
        self, command: Command, process: asyncio.subprocess.Process, output: asyncio.StreamReader, log: BinaryIO | None
    ) -> None:
        self.command = command
        self._process = process
        self._output = output
        self._log = log
        self._ready: asyncio.Future[Mapping[str, str]] = asyncio.get_running_loop().create_future()
        # Both live as long as the process, whoever waits for it or stops waiting.
        self._exit = asyncio.create_task(process.wait(), name=f"end of {command.name}")
        self._reader = asyncio.create_task(self._read(), name=f"output of {command.name}")

    @classmethod
    async def start(cls, command: Command) -> Child:
        """In a session of its own: Ctrl-C on the terminal reaches only us, and we say who ends when. Raises OSError."""
        inherited = {name: value for name, value in os.environ.items() if name not in command.without}
        log = command.log.open("ab", buffering=0) if command.log else None
        try:
            process = await asyncio.create_subprocess_exec(
                *launched(command.argv),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=log,
                env=inherited | dict(command.environment),
                pass_fds=command.keep_open,
                start_new_session=True,
                limit=_LONGEST_LINE_BYTES,
            )
        except OSError:
            if log:
                log.close()
            raise
        if process.stdout is None:
            raise AssertionError("a process that was given a pipe has one")
        return cls(command, process, process.stdout, log)

    @property
    def pid(self) -> int:
        """Of the program itself: the launcher becomes it."""
        return self._process.pid

    async def ready(self, *, within: timedelta) -> Mapping[str, str]:
        """The facts in its line `ready NAME=VALUE ...`. Raises StartFailed when there is none in time."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await asyncio.shield(self._ready)
        except TimeoutError as late:
            raise StartFailed(self._failure(f"was not ready within {within.total_seconds():g} s")) from late

    async def wait(self) -> int:
        """Its exit code (negative: the signal that ended it), once it has ended and all it said is passed on."""
        code = await asyncio.shield(self._exit)
        # The reader ends with the pipe, unless a grandchild holds that open.
        await asyncio.wait({self._reader}, timeout=_LAST_WORDS.total_seconds())
        return code

    async def ended_within(self, time: timedelta) -> int | None:
        """Its exit code if it ends so soon, else None."""
        done, _ = await asyncio.wait({self._exit}, timeout=time.total_seconds())
        return self._exit.result() if done else None

    async def stop(self, *, grace: timedelta) -> int:
        """Ask it to end (SIGTERM), kill it after *grace*, and give its exit code."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace.total_seconds()):
                return await self.wait()
        except TimeoutError:
            self.kill()
            return await self.wait()

    def kill(self) -> None:
        """SIGKILL, to the one process that was started here."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def ending(self, code: int) -> str:
        """One line about an end nobody asked for."""
        return self._failure(
            f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        )

    def _failure(self, what: str) -> str:
        where = f"; its log: {self.command.log}" if self.command.log else ""
        return f"{self.command.name} {what}{where}"

    async def _read(self) -> None:
        """Take the ready line, and pass everything else on, until the child closes its output."""
        try:
            while line := await self._output.readline():
                if line.startswith(b"ready ") and not self._ready.done():
                    self._ready.set_result(_facts(line.decode()))
                else:
                    (self._log or sys.stderr.buffer).write(line)
            code = await asyncio.shield(self._exit)
            if not self._ready.done():
                self._ready.set_exception(StartFailed(self.ending(code)))
                # Whoever asks still gets it; that nobody asked is no error.
                self._ready.exception()
        finally:
            if self._log:
                self._log.close()


def _facts(line: str) -> dict[str, str]:
    """The NAME=VALUE pairs of a ready line."""
    pairs = (word.partition("=") for word in line.split()[1:])
    return {name: value for name, _, value in pairs}
