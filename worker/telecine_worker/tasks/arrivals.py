"""How far the sources of a run really go, said by filters of it.

Where the last picture is held and silence is added, a result is whole whatever its sources lack. So a filter before that says,
once, that a certain picture or sound came through: a *mark*, a number in a line of the log (see ffmpeg/damage.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from fractions import Fraction

from telecine_worker.tasks.filter_text import filter_text

FILTERS = frozenset({"select", "aselect"})
# A source may end so much before it says; what is marked comes so much before the end.
TOLERANCE_SECONDS = Fraction(1, 2)
# Of what is shorter nothing may come at all: it is what times were rounded by.
LEAST_SECONDS = Fraction(1, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One of *marks* comes, or *what* ends before *seconds* of the clip."""

    marks: frozenset[int]
    what: str
    seconds: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What has to come of *what*, as a message calls it, which is of input *input_name*: at least one picture, where *first* is
    the mark of it, and all of *ends*. With *filled* the output is whole without what is missing.
    """

    input_name: str
    what: str
    first: int | None = None
    ends: tuple[End, ...] = ()
    filled: bool = True


def nothing_of(arrivals: Iterable[Arrival], marks: Collection[int]) -> str:
    """The first one of which no picture came, though some have to be shown; empty: there is none."""
    return next((each.what for each in arrivals if each.first is not None and each.first not in marks), "")


def missing(arrivals: Iterable[Arrival], marks: Collection[int]) -> dict[str, str]:
    """Which inputs end early, in words, by the *marks* that came: the first place of each that shows it."""
    found: dict[str, str] = {}
    for arrival in arrivals:
        for end in arrival.ends:
            if end.marks.isdisjoint(marks):
                said = f"{end.what} of {arrival.what} does not last for {float(end.seconds):.2f} s"
                found.setdefault(arrival.input_name, said)
    return found


def first_picture_mark(mark: int, latest: Fraction | None) -> str:
    """The filter that says *mark* with the first picture, if it does not begin after *latest*, in seconds."""
    in_time = "" if latest is None else f"lte(t,{float(latest):.6f})*"
    return filter_text("select", f"1+0*if({in_time}not(ld(0)),st(0,1)+print({mark},24))")


def picture_mark(mark: int, number: int) -> str:
    """The filter that says *mark* with the picture of this number, counting from 0."""
    return filter_text("select", f"1+0*if(eq(n,{number}),print({mark},24))")


def last_picture_mark(mark: int, last: Fraction) -> str:
    """The filter that says *mark* once a picture begins shortly before *last*, in seconds, or later."""
    return filter_text("select", _once(mark, "t", last))


def sound_mark(mark: int, end: Fraction) -> str:
    """The filter that says *mark* once there is sound shortly before *end*, in seconds."""
    # Where what comes at once ends, which may be a second of sound.
    return filter_text("aselect", _once(mark, "t+samples_n/sample_rate", end))


def _once(mark: int, time: str, end: Fraction) -> str:
    least = float(max(Fraction(0), end - TOLERANCE_SECONDS))
    return f"1+0*if(gte({time},{least:.6f})*not(ld(0)),st(0,1)+print({mark},24))"
