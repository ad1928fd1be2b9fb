"""When an attempt has to be over, on the clock that also runs while the machine sleeps."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta

# The loop's own clock stands still while the machine sleeps: longer waits are looked at again after this.
LOOK_AGAIN_SECONDS = 10.0


def boot_seconds() -> float:
    """Now, in seconds of CLOCK_BOOTTIME."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """*at* is in seconds of CLOCK_BOOTTIME. *grace* is from then to the kill. *words* complete "the attempt ..."."""

    at: float
    grace: timedelta
    reason: str
    words: str


class Alarm:
    """Calls *ring* once for each of *deadlines* when it has passed, until :meth:`cancel`. For the event loop's thread."""

    def __init__(self, deadlines: Iterable[Deadline], ring: Callable[[Deadline], None]) -> None:
        self._ring = ring
        self._timers: dict[Deadline, asyncio.TimerHandle] = {}
        for deadline in deadlines:
            self._wait(deadline)

    def cancel(self) -> None:
        """Ring no more."""
        for timer in self._timers.values():
            timer.cancel()

    def _wait(self, deadline: Deadline) -> None:
        left = min(LOOK_AGAIN_SECONDS, max(0.0, deadline.at - boot_seconds()))
        self._timers[deadline] = asyncio.get_running_loop().call_later(left, self._look, deadline)

    def _look(self, deadline: Deadline) -> None:
        if boot_seconds() < deadline.at:
            self._wait(deadline)
        else:
            self._ring(deadline)
