"""How fast a body has to come, and how soon a server is asked again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import timedelta

from telecine_worker.storage.fetch_errors import Broken, FetchStopped
from telecine_worker.storage.patience import Patience
from telecine_worker.storage.resolving import LOOK_AGAIN_SECONDS


def rest(pause: timedelta, stopped: Callable[[], bool]) -> None:
    """Wait. Raises FetchStopped soon after *stopped* says so."""
    until = time.monotonic() + pause.total_seconds()
    while (left := until - time.monotonic()) > 0:
        if stopped():
            raise FetchStopped
        time.sleep(min(left, LOOK_AGAIN_SECONDS))


class Tries:
    """The failures of one fetch, in a row."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._asked_left = patience.asked_pauses
        self._most_at_once = 0
        self.count = 0

    def pause(self, asked: timedelta | None, kept: int) -> timedelta | None:
        """After one more failure, how long to wait before the next try; None where there is none. *asked* is what the server
        wants; *kept* are the bytes that are there so far.
        """
        patience = self._patience
        if kept - self._most_at_once >= patience.enough_bytes:
            self._most_at_once, self.count = kept, 0
        self.count += 1
        wanted = max(asked or timedelta(), timedelta())
        given = min(wanted, self._asked_left)
        if self.count >= patience.tries or (wanted and not given):
            return None
        self._asked_left -= given
        longest = min(patience.longest_pause, patience.first_pause * 2.0 ** (self.count - 1))
        return max(given, longest * random.uniform(0.5, 1))  # noqa: S311 - so that workers do not come back all at once


class Pace:
    """Raises Broken where a window of time brought too little."""

    def __init__(self, window: timedelta, least: int) -> None:
        self._window = window.total_seconds()
        self._least = least
        self._begun = time.monotonic()
        self._bytes = 0

    def count(self, size: int) -> None:
        """So many bytes came."""
        self._bytes += size
        now = time.monotonic()
        if now - self._begun < self._window:
            return
        if self._bytes < self._least:
            raise Broken(f"sent less than {self._least} bytes in {self._window:g} s")
        self._begun, self._bytes = now, 0
