"""Deadlines on the clock that runs while the machine sleeps."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from telecine_worker.ffmpeg import time_limits
from telecine_worker.ffmpeg.time_limits import Alarm, Deadline


def deadline(at: float, words: str = "x") -> Deadline:
    return Deadline(at=at, grace=timedelta(0), reason="RUN_TIMEOUT", words=words)


async def test_each_deadline_rings_once_in_its_order() -> None:
    """And none after cancelling."""
    rung: list[str] = []
    done = asyncio.Event()

    def ring(passed: Deadline) -> None:
        rung.append(passed.words)
        if len(rung) == 2:
            done.set()

    now = time_limits.boot_seconds()
    alarm = Alarm([deadline(now + 0.05, "second"), deadline(now - 5, "first"), deadline(now + 600, "never")], ring)
    async with asyncio.timeout(10):
        await done.wait()
    alarm.cancel()
    assert ["first", "second"] == rung


async def test_a_machine_that_slept_is_late_by_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's clock stood still meanwhile: the other one is looked at again and again."""
    now = [1000.0]
    looks: list[float] = []

    def look() -> float:
        looks.append(now[0])
        return now[0]

    monkeypatch.setattr(time_limits, "boot_seconds", look)
    monkeypatch.setattr(time_limits, "LOOK_AGAIN_SECONDS", 0.01)
    rung = asyncio.Event()
    alarm = Alarm([deadline(1000.0 + 3600)], lambda _: rung.set())
    async with asyncio.timeout(10):
        while len(looks) < 5:
            await asyncio.sleep(0.005)
    assert not rung.is_set()
    now[0] += 3600
    async with asyncio.timeout(10):
        await rung.wait()
    alarm.cancel()
