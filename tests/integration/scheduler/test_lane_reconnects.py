"""How schedulers come back to a server that dropped them all."""

from __future__ import annotations

import asyncio

import pytest

from support.listener import Listener
from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.store.link import ask, close, connect

SCHEDULERS = 40


class Dropping(Listener):
    """Takes connections and drops them at once."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.times.append(asyncio.get_running_loop().time())


async def test_schedulers_do_not_come_back_in_step() -> None:
    """All were dropped at the same moment; each comes back after a pause of its own, soon."""
    async with asyncio.timeout(30), Dropping() as server:
        clients = [connect(f"redis://{server.host}:{server.port}") for _ in range(SCHEDULERS)]
        try:
            for attempt in (1, 2):
                answers = await asyncio.gather(
                    *(ask(client.ping, client) for client in clients), return_exceptions=True
                )
                assert {StoreUnavailable} == {type(answer) for answer in answers}
                assert attempt * SCHEDULERS == len(server.times)
        finally:
            for client in clients:
                await close(client)
    back = sorted(server.times[SCHEDULERS:])
    closest = min(later - earlier for earlier, later in zip(back, back[SCHEDULERS // 2 :], strict=False))
    assert closest > 0.03, "half of them came within 30 ms"


async def test_pauses_end() -> None:
    """However often it failed, a scheduler tries again within about a second."""
    async with asyncio.timeout(30), Dropping() as server:
        client = connect(f"redis://{server.host}:{server.port}")
        try:
            for _ in range(5):
                with pytest.raises(StoreUnavailable):
                    await ask(client.ping, client)
        finally:
            await close(client)
    assert all(later - earlier < 4 for earlier, later in zip(server.times, server.times[1:], strict=False))
