"""A stack in the foreground: what is done in it, and what a signal means."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

from telecine_local.member import say
from telecine_local.stack import Stack


async def run_in(stack: Stack, work: Callable[[], Awaitable[int]], *, when_stopped: int) -> int:
    """Do *work* while the stack runs, and give its exit code, or *when_stopped* after SIGINT or SIGTERM.

    The first signal ends everything kindly, in order; a second one at once. Raises StartFailed.
    """

    async def whole() -> int:
        async with stack.running():
            return await work()

    task = asyncio.create_task(whole())
    asked = False

    def stop() -> None:
        nonlocal asked
        if asked:
            say("killing what still runs")
            stack.kill()
        else:
            asked = True
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        return await task
    except asyncio.CancelledError:
        # Whoever cancels us from outside, and not the task by a signal, gets what they asked for.
        if not asked or (current := asyncio.current_task()) is None or current.cancelling():
            raise
        return when_stopped
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
