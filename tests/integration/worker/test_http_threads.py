"""Calls in threads that can be told to give up."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from telecine_worker.storage.threads import Threads


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads(1)
    yield threads
    threads.close()


class Long:
    """A call that goes on until it is told to give up."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.gave_up = False

    def __call__(self, stopped: Callable[[], bool], result: str) -> str:
        self.begun.set()
        until = time.monotonic() + 10
        while not stopped() and time.monotonic() < until:
            time.sleep(0.005)
        self.gave_up = stopped()
        return result


async def test_a_call_gives_up_when_it_should(threads: Threads) -> None:
    """Told so by the question that the caller gave; its result is the caller's all the same."""
    stop, long = threading.Event(), Long()
    running = asyncio.create_task(threads.run_stoppable(stop.is_set, long, "result"))
    await asyncio.to_thread(long.begun.wait, 10)
    stop.set()
    assert "result" == await asyncio.wait_for(running, 5)


async def test_a_call_gives_up_when_its_caller_is_cancelled(threads: Threads) -> None:
    """The cancellation goes on as soon as the call has ended, not before."""
    long = Long()
    running = asyncio.create_task(threads.run_stoppable(lambda: False, long, "result"))
    await asyncio.to_thread(long.begun.wait, 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 5)
    assert long.gave_up


async def test_a_call_that_fails_fails(threads: Threads) -> None:
    """Its error is the caller's."""

    def fail(stopped: Callable[[], bool]) -> None:
        raise LookupError("boom")

    with pytest.raises(LookupError, match="boom"):
        await threads.run_stoppable(lambda: False, fail)
