"""One child process and its group: started so that it cannot outlive the worker, drained, stopped, always reaped.

The child gets a session of its own, an environment made from nothing, and standard input from /dev/null. It is waited
for by pidfd and wait4 on the event loop and not by asyncio's child watcher: that is the one way to have its CPU time,
it works under every watcher and under uvloop, and a signal can never hit a process that merely inherited the number,
because sending and reaping happen in one thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol

from telecine_worker.ffmpeg.log_ring import LogRing
from telecine_worker.ffmpeg.stop_order import StopOrder
from telecine_worker.sandbox import launcher

MARKER_VARIABLE = "TELECINE_ATTEMPT"
PIPE_READ_BYTES = 65536
# After the end what lies in a pipe is read on, at most this often: a grandchild that left the group may hold the other
# end.
LAST_READS = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run. *argv[0]* is an absolute path; *pass_fds* keep their numbers in the child.

    *marker* goes into the environment, so that the processes of an attempt can be found in /proc. *cwd* need not answer:
    only the child waits for it. *names* maps paths of
    ours to what the log shows instead. *on_line* hears every line of the log; it is bounded, this is not.
    """

    argv: Sequence[str]
    marker: str
    cwd: str = "/"
    pass_fds: Sequence[int] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    on_line: Callable[[str], None] = lambda _: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """CPU time of child processes, and the largest memory any of them had; 0 where they were too short to be seen."""

    cpu: timedelta = timedelta(0)
    peak_memory_bytes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(cpu=self.cpu + other.cpu, peak_memory_bytes=max(self.peak_memory_bytes, other.peak_memory_bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How the process ended. *code* is negative for a signal; *stopped* says that it was asked to end by us."""

    code: int
    stopped: bool
    usage: Usage
    log_lines: Sequence[str]
    log_tail: str


class Output(Protocol):
    """Takes what the child writes on standard output, chunk by chunk."""

    def __call__(self, chunk: bytes, /) -> None: ...


class Process:
    """Made by :func:`running` only. All methods are for the event loop's thread. *said_bytes* is what it has written on
    standard output and standard error so far.
    """

    def __init__(self, child: subprocess.Popen[bytes], command: Command, on_output: Output) -> None:
        self._loop = asyncio.get_running_loop()
        self._child = child
        self._log = LogRing(command.names, command.on_line)
        self._on_output = on_output
        self._stopped = False
        self._kill_at: float | None = None
        self._kill_timer: asyncio.TimerHandle | None = None
        self._peak_memory_bytes = 0
        self.said_bytes = 0
        self._ended: asyncio.Future[Exit] = self._loop.create_future()
        self._readers: dict[int, Callable[[bytes], None]] = {}
        self._pidfd = -1
        try:
            self._watch()
        except BaseException:
            self._give_up()
            raise

    def _watch(self) -> None:
        self._pidfd = os.pidfd_open(self._child.pid)
        self._loop.add_reader(self._pidfd, self._reap)
        for pipe, take in ((self._child.stdout, self._take_output), (self._child.stderr, self._log.feed)):
            assert pipe is not None  # noqa: S101 - asked for in spawn()
            os.set_blocking(pipe.fileno(), False)
            self._readers[pipe.fileno()] = take
            self._loop.add_reader(pipe.fileno(), self._read, pipe.fileno())

    def _give_up(self) -> None:
        """The child runs and cannot be watched (no descriptor is left, say): it ends here, and is reaped."""
        self._signal(signal.SIGKILL)
        for fd in (self._pidfd, *self._readers):
            if fd >= 0:
                self._loop.remove_reader(fd)
        if self._pidfd >= 0:
            os.close(self._pidfd)
        for pipe in (self._child.stdout, self._child.stderr):
            if pipe is not None:
                pipe.close()
        self._child.wait()

    @property
    def pid(self) -> int:
        """Of the child, its group and its session."""
        return self._child.pid

    async def wait(self) -> Exit:
        """Until the child has ended, its pipes are empty and its group is gone."""
        return await asyncio.shield(self._ended)

    def stop(self, grace: timedelta) -> None:
        """SIGTERM to the group now, SIGKILL after *grace*. Again: only a shorter grace changes anything."""
        if self._ended.done():
            return
        if not self._stopped:
            self._stopped = True
            self._signal(signal.SIGTERM)
            # A stopped process cannot act on SIGTERM.
            self._signal(signal.SIGCONT)
        kill_at = self._loop.time() + max(0.0, grace.total_seconds())
        if self._kill_at is None or kill_at < self._kill_at:
            self._kill_at = kill_at
            if self._kill_timer is not None:
                self._kill_timer.cancel()
            self._kill_timer = self._loop.call_at(kill_at, self._signal, signal.SIGKILL)

    async def close(self) -> None:
        """Kill what is left and reap it. Reaping goes on by itself when this is cancelled."""
        self._stopped = True
        self._signal(signal.SIGKILL)
        await self.wait()

    def _signal(self, number: signal.Signals) -> None:
        # Not after reaping: until then the child, if only as a zombie, keeps the group's number from being given away.
        if not self._ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, number)

    def _take_output(self, chunk: bytes) -> None:
        self._peak_memory_bytes = max(self._peak_memory_bytes, peak_memory_bytes(self._child.pid))
        self._on_output(chunk)

    def _read(self, pipe: int) -> bool:
        """One chunk. False: nothing there now, or never again."""
        try:
            chunk = os.read(pipe, PIPE_READ_BYTES)
        except BlockingIOError:
            return False
        if not chunk:
            self._loop.remove_reader(pipe)
            return False
        self.said_bytes += len(chunk)
        self._readers[pipe](chunk)
        return True

    def _reap(self) -> None:
        """The child is a zombie: sweep its group while the number is still ours, read the pipes out, then let it go."""
        self._signal(signal.SIGKILL)
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        _, wait_status, rusage = os.wait4(self._child.pid, 0)
        self._child.returncode = os.waitstatus_to_exitcode(wait_status)
        try:
            self._close_pipes()
        finally:
            self._ended.set_result(self._exit(timedelta(seconds=rusage.ru_utime + rusage.ru_stime)))

    def _close_pipes(self) -> None:
        for pipe in (self._child.stdout, self._child.stderr):
            assert pipe is not None  # noqa: S101 - asked for in spawn()
            try:
                for _ in range(LAST_READS):
                    if not self._read(pipe.fileno()):
                        break
            finally:
                self._loop.remove_reader(pipe.fileno())
                pipe.close()
        self._log.finish()

    def _exit(self, cpu: timedelta) -> Exit:
        return Exit(
            code=self._child.returncode,
            stopped=self._stopped,
            usage=Usage(cpu=cpu, peak_memory_bytes=self._peak_memory_bytes),
            log_lines=tuple(self._log.lines()),
            log_tail=self._log.tail(),
        )


def peak_memory_bytes(pid: int) -> int:
    """The most memory process *pid* has had so far; 0 when it is gone.

    From /proc, because wait4's ru_maxrss is never less than what the *worker* had when it started the child.
    """
    try:
        with open(f"/proc/{pid}/status", "rb") as file:  # noqa: PTH123 - read for every progress block
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    _, found, rest = text.partition(b"\nVmHWM:")
    return int(rest.split(None, 1)[0]) * 1024 if found else 0


def spawn(command: Command) -> subprocess.Popen[bytes]:
    """Start *command* behind the launcher. From a thread only that lasts, as the event loop's: the child dies with it.

    Until the child has become another program, all threads of this process wait for it. So that is Python, which answers,
    and neither *command*'s folder nor its program, whose file systems may not.
    """
    launch = [sys.executable, "-I", "-S", str(Path(launcher.__file__).resolve()), str(os.getpid()), command.cwd]
    return subprocess.Popen(
        [*launch, *command.argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd="/",
        env=environment(command.marker),
        pass_fds=tuple(command.pass_fds),
        start_new_session=True,
    )


def environment(marker: str) -> dict[str, str]:
    """Made from nothing: FFREPORT, for one, would make FFmpeg write a file anywhere."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "SVT_LOG": "1",
        MARKER_VARIABLE: marker,
    }


@contextlib.asynccontextmanager
async def running(command: Command, *, on_output: Output, stop: StopOrder) -> AsyncIterator[Process]:
    """Start *command*; *stop* reaches it; on the way out its group is gone, whatever happened."""
    child = Process(spawn(command), command, on_output)
    try:
        with stop.heard_by(child.stop):
            yield child
    finally:
        await child.close()
