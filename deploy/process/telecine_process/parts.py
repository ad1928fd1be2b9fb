"""How the background parts of a process live and die together."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from typing import Any


async def every(period: timedelta, step: Callable[[], Awaitable[object]], *, spread: float = 0.2) -> None:
    """Run *step* now and again after each *period*, varied by ± *spread* of it so that processes do not march in step."""
    while True:
        await step()
        await asyncio.sleep(period.total_seconds() * random.uniform(1 - spread, 1 + spread))  # noqa: S311 - no secret


class _Stop(Exception):
    """Ends the group of parts."""


async def run_until(stop: asyncio.Event, **parts: Coroutine[Any, Any, None]) -> None:
    """Run *parts* until *stop* is set; if one of them fails, all end and its error propagates."""

    async def stopped() -> None:
        await stop.wait()
        raise _Stop

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(stopped(), name="stop")
            for name, part in parts.items():
                group.create_task(part, name=name)
    except* _Stop:
        pass


def stop_on_signals(stop: asyncio.Event, hurry: asyncio.Event | None = None) -> None:
    """Set *stop* when the process is asked to end (SIGTERM, or Ctrl-C), and *hurry* when it is asked again."""

    def asked() -> None:
        if stop.is_set() and hurry is not None:
            hurry.set()
        stop.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
