"""Whether the sound of a transcode goes on to where it is said to end: pictures alone may be as long as both are."""

from __future__ import annotations

from datetime import timedelta

from telecine_worker.tasks import arrivals
from telecine_worker.tasks.arrivals import Arrival, End, sound_mark
from telecine_worker.tasks.moments import exact_seconds

FILTERS = arrivals.FILTERS
_MARK = 0


def marking(end: timedelta | None) -> list[str]:
    """The filter that says so, by its time; None: nobody knows where that is."""
    return [] if end is None else [sound_mark(_MARK, exact_seconds(end))]


def arrivals_of(input_name: str, end: timedelta | None) -> tuple[Arrival, ...]:
    """What has to be said."""
    if end is None:
        return ()
    sound = End(marks=frozenset({_MARK}), what="the sound", seconds=exact_seconds(end))
    return (Arrival(input_name=input_name, what=f"input {input_name}", ends=(sound,), filled=False),)
