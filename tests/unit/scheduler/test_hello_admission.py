"""Hellos that come together: so many at once, so many wait, the others are asked to come again."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry

from telecine_scheduler.domain.errors import TooManyHellos
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.rpc import hello_admission
from telecine_scheduler.rpc.hello_admission import HelloAdmission


class Hellos:
    """Hellos that take until they are let go."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._admission = HelloAdmission(SchedulerMetrics(self.registry))
        self.restored: list[int] = []
        self.working: list[int] = []
        self.go = asyncio.Event()

    async def say(self, number: int) -> None:
        async with self._admission.turn(lambda: self._restore(number)):
            self.working.append(number)
            await self.go.wait()

    async def _restore(self, number: int) -> None:
        self.restored.append(number)

    async def come(self, count: int) -> list[asyncio.Task[None]]:
        coming = [asyncio.create_task(self.say(number)) for number in range(count)]
        for _ in range(3):
            await asyncio.sleep(0)
        return coming

    def metric(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"telecine_{name}")


async def test_eight_are_worked_on_and_sixty_four_wait() -> None:
    """Those who wait, and those who may not, have their leases restored first; the others need not."""
    hellos = Hellos()
    coming = await hellos.come(75)

    assert list(range(8)) == hellos.working
    assert list(range(8, 75)) == hellos.restored
    assert (64.0, 3.0) == (hellos.metric("hellos_waiting"), hellos.metric("hellos_refused_total"))
    hellos.go.set()
    ends = await asyncio.gather(*coming, return_exceptions=True)
    assert [None] * 72 == ends[:72]
    assert {TooManyHellos} == {type(end) for end in ends[72:]}
    assert (list(range(72)), 0.0) == (hellos.working, hellos.metric("hellos_waiting"))


async def test_who_is_refused_is_told_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each at another moment."""
    monkeypatch.setattr(hello_admission, "MOST_WAITING", 0)
    hellos = Hellos()
    coming = await hellos.come(28)
    hellos.go.set()
    ends = await asyncio.gather(*coming, return_exceptions=True)
    waits = {end.retry_after for end in ends if isinstance(end, TooManyHellos)}

    assert 20 == len(waits)
    assert all(timedelta(seconds=1) <= wait <= timedelta(seconds=5) for wait in waits if wait)


async def test_who_leaves_makes_room() -> None:
    """Waiting, or while it was worked on."""
    hellos = Hellos()
    coming = await hellos.come(72)
    for number in (3, 20):
        coming[number].cancel()
    await asyncio.wait({coming[3], coming[20]})
    await asyncio.sleep(0)
    assert (62.0, 9) == (hellos.metric("hellos_waiting"), len(hellos.working))
    hellos.go.set()
    await asyncio.gather(*coming, return_exceptions=True)
    assert 71 == len(hellos.working)
