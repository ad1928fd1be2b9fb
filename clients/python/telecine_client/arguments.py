"""Arguments whose mistaken form would do something else than it says: refused by name, with the form that is right."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TypeVar

T = TypeVar("T")


def checked_duration(name: str, value: timedelta | None) -> timedelta | None:
    """The same. Raises TypeError for a bare number, which could be of any unit."""
    if value is not None and not isinstance(value, timedelta):
        raise TypeError(f"{name} has to be a timedelta, and is {value!r}; write for example timedelta(seconds=5)")
    return value


def checked_several(name: str, values: Iterable[T]) -> Iterable[T]:
    """The same. Raises TypeError for a text, whose letters would be taken for the values."""
    if isinstance(values, str):
        raise TypeError(f"{name} has to be several values, and is the text {str(values)!r}; put it in a list")
    return values
