"""Whether the event loop turns: how late it is, what keeps it from turning, and the end of a process whose loop hangs."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog
from prometheus_client import CollectorRegistry, Histogram

log = structlog.get_logger(__name__)

# How often the loop shows that it turns, and how often the thread looks.
BEAT_SECONDS = 0.25
LOOK_SECONDS = 0.25
LATE_SECONDS = 1.0
# Less than the TTL of a lease by default (30 s). Others may have its jobs by then all the same, after a renewal that was due or
# with a shorter TTL: what FFmpeg makes for them here until the process ends is not published, for want of a permission.
HUNG_SECONDS = 20.0
# EX_SOFTWARE of sysexits.h.
EXIT_CODE = 70
SAY_SECONDS = 1.0
_FRAMES = 12
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)


class LoopWatch:
    """A context manager, entered in the running loop whose thread it watches. Fills the histogram telecine_loop_lag_seconds.

    Where the loop has not turned for LATE_SECONDS, that and what the thread was doing is logged; after HUNG_SECONDS the process
    ends with EXIT_CODE: nothing is renewed any more, and whoever waits for it is better off without. Counted is the time
    that this watch itself saw pass, so that a process which was stopped (SIGSTOP) is not late when it goes on.

    A loop that hangs without letting go of the interpreter's lock is not seen: this watch's own thread hangs with it. So does
    a call into C that keeps the lock, as starting a process does until the child has become another program.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lag = Histogram(
            "telecine_loop_lag_seconds", "How late the event loop turned.", registry=registry, buckets=_BUCKETS
        )
        self._turns = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="loop watch", daemon=True)

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._watched = threading.get_ident()
        self._expect()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        self._ended.set()
        self._thread.join()

    def _expect(self) -> None:
        self._due = self._loop.time() + BEAT_SECONDS
        self._timer = self._loop.call_at(self._due, self._turn)

    def _turn(self) -> None:
        self._lag.observe(max(0.0, self._loop.time() - self._due))
        self._turns += 1
        self._expect()

    def _watch(self) -> None:
        turns, still, told, before = self._turns, 0.0, False, time.monotonic()
        while not self._ended.wait(LOOK_SECONDS):
            now = time.monotonic()
            # No more than a look should take: the rest of the time this thread was held up, too.
            still += min(now - before, 2 * LOOK_SECONDS)
            before = now
            if self._turns != turns:
                turns, still, told = self._turns, 0.0, False
            elif still >= HUNG_SECONDS:
                self._say(log.critical, "event loop hangs, the process ends", exit_code=EXIT_CODE)
                # Not sys.exit: this is no thread that anybody waits for, and what hangs would be waited for.
                os._exit(EXIT_CODE)
            elif still >= LATE_SECONDS and not told:
                told = True
                self._say(log.warning, "event loop does not turn", seconds=round(still, 1))

    def _say(self, say: Callable[..., object], event: str, **facts: object) -> None:
        """In a thread of its own, for a moment: it may be standard error that hangs."""
        facts["doing"] = _frames(self._watched)
        speaking = threading.Thread(target=say, args=(event,), kwargs=facts, name="loop watch says", daemon=True)
        speaking.start()
        speaking.join(SAY_SECONDS)


def _frames(thread: int) -> list[str]:
    """Where a thread is, outermost call first: files, lines and functions, and no values."""
    frame = sys._current_frames().get(thread)  # noqa: SLF001 - documented, and the only way
    return [f"{each.filename}:{each.lineno} {each.name}" for each in traceback.extract_stack(frame)[-_FRAMES:]]
