"""Whom a worker's stream asks next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from telecine_scheduler.service.rotation import Rotation


@dataclass(eq=False)
class Place:
    """What the rotation looks at of a partition."""

    name: str
    serving: bool = True


def places(names: str) -> list[Any]:
    return [Place(name) for name in names]


def test_the_likely_ones_take_turns_before_the_others() -> None:
    """Whoever had something is asked again after those before it; who had nothing is asked when nobody else is left."""
    a, b, c = places("abc")
    rotation = Rotation()
    rotation.others([a, b, c])
    rotation.likely(b)
    asked = []
    for _ in range(4):
        found = rotation.next()
        asked.append(found)
        if found is b:
            rotation.likely(a)
            rotation.likely(b)
            rotation.others([a, b, c])

    assert [b, a, b, a] == asked
    assert [b, c, None] == [rotation.next() for _ in range(3)]


def test_each_is_asked_once() -> None:
    """However often it was said that there may be something."""
    a, b = places("ab")
    rotation = Rotation()
    rotation.others([a])
    for _ in range(3):
        rotation.likely(a)
        rotation.likely(b)
        rotation.others([a, b])

    assert [a, b, None] == [rotation.next() for _ in range(3)]


def test_one_may_go_first() -> None:
    """Before those that have waited longer, once."""
    a, b, c = places("abc")
    rotation = Rotation()
    rotation.likely(a)
    rotation.likely(b)
    rotation.others([c])
    rotation.first(c)
    rotation.first(b)

    assert [b, c, a, None] == [rotation.next() for _ in range(4)]


def test_who_is_away_is_passed_over() -> None:
    """And not asked when it is back, before somebody says that there may be something."""
    a, b = places("ab")
    rotation = Rotation()
    rotation.likely(a)
    rotation.others([b])
    a.serving = b.serving = False
    assert None is rotation.next()
    a.serving = b.serving = True
    assert None is rotation.next()
    rotation.likely(a)
    assert a is rotation.next()
