"""One child process and its group: started so that it cannot outlive the worker, drained, stopped, always reaped.

The child gets a session of its own, an environment made from nothing, and standard input from /dev/null. It is waited
for by pidfd and wait4 on the event loop and not by asyncio's child watcher: that is the one way to have its CPU time,
it works under every watcher and under uvloop, and a signal can never hit a process that merely inherited the number,
because sending and reaping happen in one thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from telecine_worker.failure import retryable
from telecine_worker.ffmpeg.command import Command, spawn
from telecine_worker.ffmpeg.log_ring import LogRing
from telecine_worker.ffmpeg.program import Program, peak_memory_bytes, unwrapped
from telecine_worker.ffmpeg.stop_order import StopOrder
from telecine_worker.sandbox import cgroups
from telecine_worker.sandbox.cgroups import Cgroup
from telecine_worker.sandbox.confinement import Limits, Mode

PIPE_READ_BYTES = 65536
# After the end what lies in a pipe is read on, at most this often: a grandchild that left the group may hold the other
# end.
LAST_READS = 256
_NUMBERS = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """CPU time of child processes, and the largest memory any of them had; 0 where they were too short to be seen."""

    cpu: timedelta = timedelta(0)
    peak_memory_bytes: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(cpu=self.cpu + other.cpu, peak_memory_bytes=max(self.peak_memory_bytes, other.peak_memory_bytes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How the process ended. *code* is negative for a signal; *stopped* says that it was asked to end by us, *out_of_memory*
    that the kernel ended it for having more than its control group may have.
    """

    code: int
    stopped: bool
    usage: Usage
    out_of_memory: bool = False
    log_lines: Sequence[str]
    log_tail: str


class Output(Protocol):
    """Takes what the child writes on standard output, chunk by chunk."""

    def __call__(self, chunk: bytes, /) -> None: ...


class Process:
    """Made by :func:`running` only. All methods are for the event loop's thread. *said_bytes* is what it has written on
    standard output and standard error so far.
    """

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        command: Command,
        on_output: Output,
        *,
        info_fd: int | None = None,
        cgroup: Cgroup | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._child = child
        self._program = Program(child.pid, info_fd)
        self._cgroup = cgroup
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
        self._program.close()

    @property
    def pid(self) -> int:
        """Of what does the work: the child, or what bubblewrap runs."""
        return self._program.pid

    @property
    def group(self) -> int:
        """Of the child and its session."""
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
            self._program.send(number)

    def _take_output(self, chunk: bytes) -> None:
        self._peak_memory_bytes = max(self._peak_memory_bytes, peak_memory_bytes(self.pid))
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
        self._loop.remove_reader(self._pidfd)
        os.close(self._pidfd)
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        self._program.when_gone(self._finish)

    def _finish(self) -> None:
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
        code = self._child.returncode
        return Exit(
            code=unwrapped(code) if self._program.is_wrapped else code,
            stopped=self._stopped,
            usage=Usage(cpu=cpu, peak_memory_bytes=self._peak_memory_bytes),
            out_of_memory=_leave(self._cgroup),
            log_lines=tuple(self._log.lines()),
            log_tail=self._log.tail(),
        )


@contextlib.asynccontextmanager
async def running(command: Command, *, on_output: Output, stop: StopOrder) -> AsyncIterator[Process]:
    """Start *command*; *stop* reaches it; on the way out its group is gone, whatever happened."""
    child = _started(command, on_output)
    try:
        with stop.heard_by(child.stop):
            yield child
    finally:
        await child.close()


def _started(command: Command, on_output: Output) -> Process:
    cgroup = _entered(command.confinement.limits)
    ours, childs = os.pipe() if command.confinement.mode is Mode.BWRAP else (None, None)
    try:
        child = spawn(command, info_fd=childs, doors=cgroup.doors if cgroup else ())
    except BaseException:
        _leave(cgroup)
        if ours is not None:
            os.close(ours)
        raise
    finally:
        if childs is not None:
            os.close(childs)
    return Process(child, command, on_output, info_fd=ours, cgroup=cgroup)


def _entered(limits: Limits) -> Cgroup | None:
    """A control group of its own. Raises AttemptFailed."""
    if not limits.cgroups:
        return None
    try:
        return cgroups.make(limits.cgroups, f"{os.getpid()}-{next(_NUMBERS)}", limits.most_memory_bytes)
    except OSError as error:
        words = f"no control group for FFmpeg could be made in {', '.join(limits.cgroups)}: {error.strerror}"
        raise retryable("SANDBOX_FAILED", words) from error


def _leave(cgroup: Cgroup | None) -> bool:
    """All its processes have ended; whether one of them had too little memory."""
    if cgroup is None:
        return False
    # What cannot be removed now is removed by the next worker that starts.
    with contextlib.suppress(OSError):
        starved = cgroup.had_too_little_memory()
        cgroup.remove()
        return starved
    return False
