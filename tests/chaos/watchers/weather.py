"""Connections with weather: every so often nothing of the server passes for a while, and then it comes late or never."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from support.gate_proxy import GateProxy

# At most, between two disturbances.
FAIR_SECONDS = 10.0


class Weather:
    """Proxies before all schedulers, for some watchers who share their connections."""

    def __init__(
        self, schedulers: Sequence[str], *, worst_seconds: float, fair_seconds: float = FAIR_SECONDS, seed: int
    ) -> None:
        self._targets = schedulers
        self._worst_seconds = worst_seconds
        self._fair_seconds = fair_seconds
        self._random = random.Random(seed)
        self._open = AsyncExitStack()
        self._proxies: list[GateProxy] = []
        self._task: asyncio.Task[None] | None = None
        # When connections were disturbed, by the clock of the wall.
        self._disturbed: list[tuple[float, float]] = []
        self.breaks = 0

    async def __aenter__(self) -> Self:
        for target in self._targets:
            host, port = target.rsplit(":", 1)
            self._proxies.append(await self._open.enter_async_context(GateProxy(host, int(port))))
        self._task = asyncio.create_task(self._blow())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._open.aclose()

    @property
    def addresses(self) -> list[str]:
        """Where to connect to, in place of the schedulers."""
        return [proxy.address for proxy in self._proxies]

    async def _blow(self) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(0, self._fair_seconds))
            began = time.time()
            for proxy in self._proxies:
                proxy.hold()
            try:
                await asyncio.sleep(self._random.uniform(0, self._worst_seconds))
            finally:
                lost = self._random.random() < 0.5
                self.breaks += lost
                for proxy in self._proxies:
                    proxy.lose() if lost else proxy.release()
                self._disturbed.append((began, time.time()))

    def disturbed(self, since: float, until: float) -> bool:
        """Whether there was a disturbance between the two; one of now is over at *until*."""
        return any(began <= until and ended >= since for began, ended in self._disturbed)
