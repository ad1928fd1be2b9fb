"""How soon a server is asked again."""

from __future__ import annotations

from datetime import timedelta

from telecine_worker.storage.pace import Tries
from telecine_worker.storage.patience import Patience

MINUTE = timedelta(minutes=1)


def test_servers_get_ten_minutes_if_they_ask_for_them() -> None:
    """In all, whatever else is waited for."""
    tries = Tries(Patience())
    assert [4 * MINUTE, 4 * MINUTE, 2 * MINUTE, None] == [tries.pause(4 * MINUTE, kept=0) for _ in range(4)]


def test_a_pause_that_is_over_is_no_pause_of_the_servers() -> None:
    """It costs nothing of the ten minutes, and our own backoff stays: half of it to all, doubling up to its bound."""
    tries = Tries(Patience(tries=9))
    pauses = [tries.pause(-MINUTE, kept=0) for _ in range(8)]
    for pause, longest in zip(pauses, (0.5, 1, 2, 4, 8, 10, 10, 10), strict=True):
        assert pause is not None
        assert longest / 2 <= pause.total_seconds() <= longest
    assert tries.pause(None, kept=0) is None
