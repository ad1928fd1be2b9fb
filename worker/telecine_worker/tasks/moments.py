"""Which moments of a video become stills. Seconds are exact fractions, counted from the start of the input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.media_info import MediaInfo

MOST_PICTURES = 1000
CANDIDATES = 12
"""For each picture of `best`: the most representative is chosen among so many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evenly:
    """*count* moments from *first* on, each *spacing* after the one before."""

    first: Fraction
    spacing: Fraction
    count: int

    def moments(self) -> tuple[Fraction, ...]:
        """All of them."""
        return tuple(self.first + number * self.spacing for number in range(self.count))


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """*evenly* or *offsets*; with *best*, *evenly* has CANDIDATES moments for each picture that is to be chosen."""

    evenly: Evenly | None = None
    offsets: tuple[Fraction, ...] = ()
    best: bool = False

    @property
    def count(self) -> int:
        """How many pictures there will be."""
        if self.evenly is None:
            return len(self.offsets)
        return self.evenly.count // CANDIDATES if self.best else self.evenly.count


def selection_of(task: media_pb2.ThumbnailsTask, info: MediaInfo) -> Selection:
    """What *task* chooses from its input, which has video. Raises AttemptFailed OPTION_INVALID, TRIM_OUT_OF_RANGE."""
    span = span_of(info)
    match task.WhichOneof("selection"):
        case "count":
            return Selection(evenly=_spread(task.count, span, "count"))
        case "interval":
            interval = exact_seconds(task.interval.ToTimedelta())
            return Selection(evenly=_every(interval, span.end, is_still=info.is_still))
        case "offsets":
            return Selection(offsets=_offsets(task, span.end))
        case "best" if span.end is None and task.best == 1:
            return Selection(evenly=_spread(1, span, "best"))
        case "best":
            return Selection(evenly=_spread(task.best * CANDIDATES, span, "best"), best=True)
        case _:
            raise permanent("OPTION_INVALID", "one of count, interval, offsets and best is needed")


def begin_of(info: MediaInfo) -> Fraction:
    """When the first picture of the video is shown: a sound may come before it."""
    return max(Fraction(0), exact_seconds(info.video[0].start - info.start))


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From the first picture to where the last one ends, which is None while unknown, as for stills."""

    begin: Fraction
    end: Fraction | None


def span_of(info: MediaInfo) -> Span:
    """Of the video: it may begin after the sound, and end before it."""
    video = info.video[0]
    begin = begin_of(info)
    ends = [begin + exact_seconds(video.duration)] if video.duration is not None else []
    ends += [exact_seconds(info.duration)] if info.duration is not None else []
    end = min(ends, default=None)
    return Span(begin=begin if end is None or begin < end else Fraction(0), end=end)


def exact_seconds(time: timedelta) -> Fraction:
    """To the microsecond."""
    return Fraction(time // timedelta(microseconds=1), 1_000_000)


def _spread(count: int, span: Span, field: str) -> Evenly:
    """The middle of each of *count* equal parts; the start, where only one is wanted of a length that is unknown."""
    if count < 1:
        raise permanent("OPTION_INVALID", f"{field} is {count}; at least 1 would be right")
    if span.end is None:
        if count > 1:
            raise permanent(
                "OPTION_INVALID", f"{field}: how long the input is cannot be told, so it can only be 1; use offsets"
            )
        return Evenly(first=Fraction(0), spacing=Fraction(1), count=1)
    spacing = (span.end - span.begin) / count
    return Evenly(first=span.begin + spacing / 2, spacing=spacing, count=count)


def _every(interval: Fraction, duration: Fraction | None, *, is_still: bool) -> Evenly:
    """At 0 and every *interval* before the end, which only a still may be without."""
    if interval <= 0:
        raise permanent("OPTION_INVALID", "interval must be longer than 0")
    if duration is None and not is_still:
        raise permanent("OPTION_INVALID", "interval: how long the input is cannot be told; use offsets")
    count = 1 if duration is None else math.ceil(duration / interval)
    if count > MOST_PICTURES:
        least = math.ceil(duration / MOST_PICTURES * 1000) / 1000 if duration else 0
        raise permanent(
            "OPTION_INVALID",
            f"interval of {float(interval):g} s makes {count} pictures, at most {MOST_PICTURES} are made; "
            f"{least:g} s or more would be right",
        )
    return Evenly(first=Fraction(0), spacing=interval, count=count)


def _offsets(task: media_pb2.ThumbnailsTask, duration: Fraction | None) -> tuple[Fraction, ...]:
    times = tuple(exact_seconds(each.ToTimedelta()) for each in task.offsets.offsets)
    if not 1 <= len(times) <= MOST_PICTURES:
        raise permanent("OPTION_INVALID", f"offsets has {len(times)} times; 1 to {MOST_PICTURES} would be right")
    for number, time in enumerate(times):
        if time < 0 or (duration is not None and time >= duration):
            end = "its end" if duration is None else f"its end at {float(duration):g} s"
            raise permanent(
                "TRIM_OUT_OF_RANGE",
                f"offsets[{number}] is {float(time):g} s, which does not lie within input {task.input}, before {end}",
            )
    return times
