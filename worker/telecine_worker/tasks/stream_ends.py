"""Whether the streams of a source go on to where they are said to end: one of two may, and the result is as long as planned."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

from telecine_worker.tasks import arrivals
from telecine_worker.tasks.arrivals import Arrival, End, last_picture_mark, sound_mark
from telecine_worker.tasks.moments import exact_seconds

FILTERS = arrivals.FILTERS
_SOUND, _PICTURES = 0, 1


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamEnds:
    """Where they end by themselves, in the time that the filters count; None: nobody knows, or they are not looked at.
    *last_picture* is where that one begins.
    """

    sound: timedelta | None = None
    pictures: timedelta | None = None
    last_picture: timedelta | None = None

    def of_pictures(self) -> list[str]:
        """The filter that says so, by its time."""
        return [] if self.last_picture is None else [last_picture_mark(_PICTURES, exact_seconds(self.last_picture))]

    def of_sound(self) -> list[str]:
        """The same of the sound."""
        return [] if self.sound is None else [sound_mark(_SOUND, exact_seconds(self.sound))]

    def arrivals(self, input_name: str) -> tuple[Arrival, ...]:
        """What has to be said."""
        known = [(_SOUND, "the sound", self.sound)]
        known += [(_PICTURES, "the video", self.pictures)] if self.last_picture is not None else []
        ends = tuple(
            End(marks=frozenset({mark}), what=what, seconds=exact_seconds(end)) for mark, what, end in known if end
        )
        return (Arrival(input_name=input_name, what=f"input {input_name}", ends=ends, filled=False),) if ends else ()


def last_picture(end: timedelta | None, rate: Fraction | None, *, is_steady: bool) -> timedelta | None:
    """Where it begins, of pictures that go on to *end*; where they come at any distance, nobody knows."""
    if end is None or not rate or not is_steady:
        return None
    return max(timedelta(0), end - timedelta(seconds=float(1 / rate)))
