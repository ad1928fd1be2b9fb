"""How long FFmpeg may go on without getting anywhere.

A live heartbeat proves nothing, and silence of -progress alone neither: a long look-ahead, or moving the index of a
large file to its front, report nothing for a while. FFmpeg is stalled when it reports no progress *and* uses no CPU
*and* moves no bytes. What it writes about itself does not count as moved: FFmpeg 9 goes on reporting, twice a second,
while its reader hangs. And a process that only burns CPU, with neither progress nor bytes, is stalled after a far
longer time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

from telecine_worker.ffmpeg.process import Process

DEFAULT_STALL_TIMEOUT = timedelta(minutes=2)
SPINNING_TIMEOUT = timedelta(minutes=15)
"""Without progress or bytes, though with CPU time; a longer stall timeout wins."""
LEAST_TICKS = 3
# A hundredth of a second each: two parts in a hundred of one CPU.
LEAST_TICKS_A_SECOND = 2
# More than a report that was written and not read yet.
LEAST_MOVED_BYTES = 4096
_LOOKS = 8


@dataclass(frozen=True, slots=True)
class Activity:
    """What a process has done since it began."""

    ticks: int
    moved_bytes: int


def activity(pid: int) -> Activity | None:
    """From /proc; None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - /proc, read often
            fields = file.read().rpartition(b")")[2].split()
        with open(f"/proc/{pid}/io", "rb") as file:  # noqa: PTH123
            moved = [int(line.split()[1]) for line in file if line.startswith((b"rchar", b"wchar"))]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        # To all but root, the io of a process that has ended and is not reaped yet is forbidden.
        return None
    return Activity(int(fields[11]) + int(fields[12]), sum(moved))


class StallWatch:
    """*pid* is FFmpeg's, which may become known only after a while; *advanced* returns a value that changes when it reports
    progress, *said_bytes* what it has written about itself so far; *now* is in seconds.
    """

    def __init__(
        self,
        pid: Callable[[], int],
        *,
        timeout: timedelta,
        advanced: Callable[[], object],
        said_bytes: Callable[[], int],
        now: Callable[[], float],
    ) -> None:
        self._pid = pid
        self._timeout_seconds = timeout.total_seconds()
        self._spinning_seconds = max(timeout, SPINNING_TIMEOUT).total_seconds()
        self._advanced = advanced
        self._said_bytes = said_bytes
        self._now = now
        self._progress = advanced()
        self._seen_pid = pid()
        self._before = self._look()
        self._idle_since = self._stuck_since = now()

    def is_stalled(self) -> bool:
        """Look once."""
        if self._pid() != self._seen_pid:
            # What it did is compared with what another process had done: it counts from here.
            self._seen_pid = self._pid()
            self._before = self._look()
        progress, does, now = self._advanced(), self._look(), self._now()
        if does is None:
            return False
        busy, moving = self._is_busy(does, now), self._is_moving(does)
        if progress != self._progress or moving:
            self._stuck_since = now
        if progress != self._progress or moving or busy:
            self._idle_since, self._progress, self._before = now, progress, does
        idle, stuck = now - self._idle_since, now - self._stuck_since
        return idle >= self._timeout_seconds or stuck >= self._spinning_seconds

    def _look(self) -> Activity | None:
        found = activity(self._seen_pid)
        return found and Activity(found.ticks, found.moved_bytes - self._said_bytes())

    def _is_busy(self, does: Activity, now: float) -> bool:
        least = max(LEAST_TICKS, LEAST_TICKS_A_SECOND * (now - self._idle_since))
        return self._before is None or does.ticks - self._before.ticks >= least

    def _is_moving(self, does: Activity) -> bool:
        return self._before is None or does.moved_bytes - self._before.moved_bytes >= LEAST_MOVED_BYTES


@contextlib.asynccontextmanager
async def ended_when_stalled(
    child: Process, *, timeout: timedelta, advanced: Callable[[], object], on_stall: Callable[[], None]
) -> AsyncIterator[None]:
    """While inside: call *on_stall* once, and kill *child*, when it stalls for *timeout*."""
    loop = asyncio.get_running_loop()
    watch = StallWatch(
        lambda: child.pid, timeout=timeout, advanced=advanced, said_bytes=lambda: child.said_bytes, now=loop.time
    )

    async def look() -> None:
        while True:
            await asyncio.sleep(timeout.total_seconds() / _LOOKS)
            if watch.is_stalled():
                on_stall()
                child.stop(timedelta(0))
                return

    task = asyncio.create_task(look(), name="stall watch")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
