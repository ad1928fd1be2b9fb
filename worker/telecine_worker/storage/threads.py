"""Threads for what blocks: opening, hashing, syncing and renaming take as long as the file system does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """At most *count* calls at once, more wait: a caller that never needs more than that never waits for another."""

    def __init__(self, count: int) -> None:
        self._executor = ThreadPoolExecutor(count, thread_name_prefix="storage")

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run *call*, always to its end: a cancellation is passed on after it, so that nothing it made is lost."""
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._executor, partial(call, *args, **kwargs))
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait({work})
            # Looked at, so that asyncio does not complain: the cancellation is what ends the caller.
            work.exception()
            raise

    async def run_stoppable(
        self, stopped: Callable[[], bool], call: Callable[Concatenate[Callable[[], bool], P], T], *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:  # fmt: skip
        """Run a *call* that may take long, and asks often whether to give up, by the function it gets before *args*. That says
        yes as soon as *stopped* does, and when the caller is cancelled: the cancellation then waits for no more than that.
        """
        cancelled = threading.Event()
        running = asyncio.ensure_future(self.run(call, lambda: cancelled.is_set() or stopped(), *args, **kwargs))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            cancelled.set()
            await asyncio.wait({running})
            running.exception()
            raise

    def close(self) -> None:
        """Take no more; what runs is not waited for."""
        self._executor.shutdown(wait=False)
