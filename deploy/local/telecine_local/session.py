"""A stack in the foreground: what is done in it, what a signal means, and what follows when it is kept running no longer."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any

from telecine_local.member import say
from telecine_local.stack import Stack


async def run_in(stack: Stack, work: Callable[[], Coroutine[Any, Any, int]], *, when_stopped: int) -> int:
    """Do *work* while the stack runs, and give its exit code, or *when_stopped* after SIGINT or SIGTERM.

    The first signal ends everything kindly, in order; a second one at once. Raises StartFailed, and, in a group,
    whatever stops the stack from being kept running.
    """

    async def whole() -> int:
        async with stack.running() as keeping:
            return await _while_kept(keeping, work)

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


async def _while_kept(keeping: asyncio.Task[None], work: Callable[[], Coroutine[Any, Any, int]]) -> int:
    """The exit code of *work*. Raises what *keeping* raises, as soon as it does, once *work* has cleaned up."""
    task = asyncio.create_task(work(), name="work")
    try:
        await asyncio.wait({task, keeping}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await keeping
        return await task
    finally:
        task.cancel()
        await asyncio.wait({task})
