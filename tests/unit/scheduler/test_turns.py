"""Work in pieces lets others have their turn by the time it took, not by its pieces."""

from __future__ import annotations

import asyncio

import pytest

from telecine_scheduler.rpc import intake


@pytest.mark.parametrize(("seconds", "between"), [(0.0, 3), (3600.0, 0)])
async def test_others_have_their_turn_after_some_time(
    monkeypatch: pytest.MonkeyPatch, seconds: float, between: int
) -> None:
    """After each piece where that took long enough; after none where it did not."""
    monkeypatch.setattr(intake, "TURN_SECONDS", seconds)
    turns, others = intake.Turns(), 0

    async def other() -> None:
        nonlocal others
        for _ in range(3):
            others += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    for _ in range(3):
        await turns.piece()
    assert between == others
    await task
