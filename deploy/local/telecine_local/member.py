"""One part of the stack that is kept running: started, waited for, started again when it dies."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import typer

from telecine_local.child import Child, Command, StartFailed

FIRST_PAUSE = timedelta(milliseconds=500)
LONGEST_PAUSE = timedelta(seconds=10)
# Whoever lived this long is well again: its next death is a first one.
WELL_AFTER = timedelta(seconds=30)


class Member:
    """Owns one child at a time; *until_ready* returns when a new child can be used."""

    def __init__(
        self,
        name: str,
        command: Callable[[], Command],
        until_ready: Callable[[Child], Awaitable[None]],
        *,
        grace: timedelta,
    ) -> None:
        self._name = name
        self._command = command
        self._until_ready = until_ready
        self._grace = grace
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """Of the child that runs now."""
        return self._child.pid if self._child else None

    async def start(self) -> None:
        """Start it and wait until it is ready. Raises StartFailed, and then leaves nothing running."""
        try:
            child = self._child = await Child.start(self._command())
        except OSError as cannot:
            raise StartFailed(f"{self._name} cannot be started: {cannot}") from cannot
        try:
            await self._until_ready(child)
        except StartFailed:
            await child.stop(grace=self._grace)
            raise

    async def keep(self) -> None:
        """Start it again whenever it ends, at first after half a second, then less and less often; until cancelled.

        Does nothing for what was never started. A start that fails is said and tried again; anything else is raised.
        """
        pause = FIRST_PAUSE
        clock = asyncio.get_running_loop().time
        while self._child is not None:
            born = clock()
            code = await self._child.wait()
            if clock() - born >= WELL_AFTER.total_seconds():
                pause = FIRST_PAUSE
            say(f"{self._child.ending(code)}; it is started again in {pause.total_seconds():g} s")
            await asyncio.sleep(pause.total_seconds())
            pause = min(pause * 2, LONGEST_PAUSE)
            try:
                await self.start()
            except StartFailed as again:
                say(str(again))
            else:
                say(f"{self._name} runs again")

    async def stop(self) -> None:
        """End it, kindly at first."""
        if self._child is not None:
            await self._child.stop(grace=self._grace)

    def kill(self) -> None:
        """End it at once."""
        if self._child is not None:
            self._child.kill()


def say(text: str) -> None:
    """A line for a person, on standard error."""
    typer.echo(f"telecine: {text}", err=True)
