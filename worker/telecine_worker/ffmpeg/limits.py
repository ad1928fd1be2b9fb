"""How long FFmpeg may go on without getting anywhere.

A live heartbeat proves nothing, and silence of -progress alone neither: a long look-ahead, or moving the index of a
large file to its front, report nothing for a while. FFmpeg is stalled when it reports no progress *and* uses no CPU
*and* moves no bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta

from telecine_worker.ffmpeg.process import Process

DEFAULT_STALL_TIMEOUT = timedelta(minutes=2)
LEAST_TICKS = 3
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
    """*advanced* returns a value that changes when FFmpeg reports progress; *now* is in seconds."""

    def __init__(
        self, pid: int, *, timeout: timedelta, advanced: Callable[[], object], now: Callable[[], float]
    ) -> None:
        self._pid = pid
        self._timeout_seconds = timeout.total_seconds()
        self._advanced = advanced
        self._now = now
        self._seen: tuple[object, Activity | None] = (advanced(), activity(pid))
        self._since = now()

    def is_stalled(self) -> bool:
        """Look once."""
        progress, before = self._seen
        reported, does = self._advanced(), activity(self._pid)
        if does is None:
            return False
        busy = before is None or does.ticks - before.ticks >= LEAST_TICKS or does.moved_bytes != before.moved_bytes
        if busy or reported != progress:
            self._seen, self._since = (reported, does), self._now()
        return self._now() - self._since >= self._timeout_seconds


@contextlib.asynccontextmanager
async def ended_when_stalled(
    child: Process, *, timeout: timedelta, advanced: Callable[[], object], on_stall: Callable[[], None]
) -> AsyncIterator[None]:
    """While inside: call *on_stall* once, and kill *child*, when it stalls for *timeout*."""
    loop = asyncio.get_running_loop()
    watch = StallWatch(child.pid, timeout=timeout, advanced=advanced, now=loop.time)

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
