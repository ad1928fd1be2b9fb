"""One thread that speaks to object stores, for all attempts: begun when it is first needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from telecine_worker.storage.fetch_errors import FetchStopped
from telecine_worker.storage.resolving import LOOK_AGAIN_SECONDS
from telecine_worker.storage.send_budget import SendBudget

T = TypeVar("T")

READS_AT_ONCE = 4


class StoreLoop:
    """Runs coroutines for threads that wait for them, and give up when told to."""

    def __init__(self) -> None:
        self.reads = asyncio.Semaphore(READS_AT_ONCE)
        """What is read takes memory, however many attempts fetch."""
        self.sending = SendBudget()
        """And so does what is sent."""
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start *work*; cancelling the future ends it."""
        return asyncio.run_coroutine_threadsafe(work, self._running())

    def run(self, work: Coroutine[Any, Any, T], stopped: Callable[[], bool]) -> T:
        """What *work* gives. Raises FetchStopped, and cancels it, soon after *stopped* says so."""
        return waited(self.begin(work), stopped)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                # A daemon: a store that hangs must not keep the process from its end.
                self._thread = threading.Thread(target=self._loop.run_forever, name="stores", daemon=True)
                self._thread.start()
            return self._loop

    def close(self) -> None:
        """Take no more; what runs is cancelled."""
        with self._lock:
            loop, thread, self._loop = self._loop, self._thread, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_end(loop), loop)
        thread.join(timeout=LOOK_AGAIN_SECONDS * 20)
        if not thread.is_alive():
            loop.close()


async def _end(loop: asyncio.AbstractEventLoop) -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    loop.stop()


def waited(future: Future[T], stopped: Callable[[], bool]) -> T:
    """The result of *future*. Raises FetchStopped, and cancels it, soon after *stopped* says so."""
    while not wait([future], LOOK_AGAIN_SECONDS).done:
        if stopped():
            future.cancel()
            raise FetchStopped
    return future.result()
