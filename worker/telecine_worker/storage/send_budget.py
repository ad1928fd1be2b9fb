"""How many bytes on their way to object stores a worker has in memory, over all attempts."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from telecine_worker.storage.fetch_errors import FetchStopped
from telecine_worker.storage.resolving import LOOK_AGAIN_SECONDS

SEND_BYTES = 24 << 20


class SendBudget:
    """Of *total* bytes. Who wants some has them in turn, so that much is not waited for in vain while others want little."""

    def __init__(self, total: int = SEND_BYTES) -> None:
        self._total = total
        self._free = total
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def holding(self, size: int, stopped: Callable[[], bool]) -> Iterator[None]:
        """Have *size* bytes meanwhile. Raises as `take`."""
        taken = self.take(size, stopped)
        try:
            yield
        finally:
            self.give_back(taken)

    def take(self, size: int, stopped: Callable[[], bool]) -> int:
        """Wait for *size* bytes; what is to be given back: more than there are is all there are. Raises FetchStopped."""
        wanted, turn = min(size, self._total), object()
        with self._changed:
            self._waiting.append(turn)
            try:
                while self._waiting[0] is not turn or self._free < wanted:
                    if stopped():
                        raise FetchStopped
                    self._changed.wait(LOOK_AGAIN_SECONDS)
                self._free -= wanted
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()
        return wanted

    def give_back(self, taken: int) -> None:
        """What `take` gave."""
        with self._changed:
            self._free += taken
            self._changed.notify_all()
