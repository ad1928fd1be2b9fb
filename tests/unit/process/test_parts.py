"""How a process is told to end."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from telecine_process.parts import stop_on_signals

PAIRS = [(first, second) for first in (signal.SIGTERM, signal.SIGINT) for second in (signal.SIGTERM, signal.SIGINT)]


@pytest.mark.parametrize(("first", "second"), PAIRS)
async def test_the_first_signal_stops_and_the_second_hurries(first: int, second: int) -> None:
    """Whichever they are."""
    stop, hurry = asyncio.Event(), asyncio.Event()
    stop_on_signals(stop, hurry)

    async with asyncio.timeout(10):
        os.kill(os.getpid(), first)
        await stop.wait()
        hurried_at_once = hurry.is_set()
        os.kill(os.getpid(), second)
        await hurry.wait()

    assert False is hurried_at_once


async def test_who_cannot_hurry_takes_a_second_signal_for_the_first() -> None:
    """It changes nothing, and is no error."""
    errors: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    stop, marker = asyncio.Event(), asyncio.Event()
    stop_on_signals(stop)

    async with asyncio.timeout(10):
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        # The loop hears of signals in the order in which they come.
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, marker.set)
        os.kill(os.getpid(), signal.SIGUSR1)
        await marker.wait()

    assert (True, []) == (stop.is_set(), errors)
