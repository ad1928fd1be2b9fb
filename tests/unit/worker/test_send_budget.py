"""Bytes on their way to stores are bounded for the whole worker, and nobody waits for them in vain."""

from __future__ import annotations

import threading
import time

import pytest

from telecine_worker.storage.fetch_errors import FetchStopped
from telecine_worker.storage.send_budget import SendBudget


def never() -> bool:
    return False


def test_who_wants_much_has_it_in_turn() -> None:
    """What others want later, and would fit, does not come before."""
    budget, order = SendBudget(10), list[str]()
    first = budget.take(6, never)

    def take(name: str, size: int) -> None:
        with budget.holding(size, never):
            order.append(name)

    threads = []
    for number, (name, size) in enumerate([("much", 10), ("little", 1)], 1):
        threads.append(threading.Thread(target=take, args=(name, size)))
        threads[-1].start()
        deadline = time.monotonic() + 20
        while len(budget._waiting) < number and time.monotonic() < deadline:
            time.sleep(0.001)
    assert [] == order
    budget.give_back(first)
    for each in threads:
        each.join(20)
    assert ["much", "little"] == order


def test_more_than_there_is_is_all_there_is() -> None:
    """A part that is larger is sent alone; then everything is free again."""
    budget = SendBudget(10)
    with budget.holding(11, never), pytest.raises(FetchStopped):
        budget.take(1, lambda: True)
    with budget.holding(10, never):
        pass


def test_who_gives_up_is_not_waited_for() -> None:
    """Its turn is the next one's."""
    budget = SendBudget(10)
    taken = budget.take(5, never)
    with pytest.raises(FetchStopped):
        budget.take(6, lambda: True)
    assert 5 == budget.take(5, never)
    budget.give_back(taken)
