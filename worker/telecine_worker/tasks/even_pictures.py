"""The pictures of a part of an input at an even rate: exactly as many as are wanted, whatever is there.

What is shown when the part begins comes first, also where it began before; where the pictures end early, the last one is held.
So the sound beside them, and all that follows, stays in its place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.tasks import arrivals, seeking
from telecine_worker.tasks.filter_text import filter_text
from telecine_worker.tasks.moments import exact_seconds
from telecine_worker.tasks.seeking import Cut
from telecine_worker.tasks.trim import Part, seconds

FILTERS = frozenset({"settb", "setpts", "fps", "tpad", "trim"}) | arrivals.FILTERS
# Is read beyond the end of the part: times are rounded.
MARGIN = timedelta(milliseconds=100)
# Where no sound is used, reading begins so much before the part: what is shown then may have begun earlier.
LEAD = timedelta(seconds=2)


def cut_of(
    part: Part, info: MediaInfo, streams: Iterable[VideoStream | AudioStream], *, from_start: bool = False
) -> Cut:
    """Where the *part* of an input begins, of which *streams* are used. With *from_start* it is read from its beginning: there
    may be no picture for long before the part.
    """
    used = tuple(streams)
    # As a part, also what is whole: its pictures may begin later than the input.
    cut = replace(seeking.cut_of(replace(part, length=part.duration), info, used), length=None)
    if not cut.sought:
        return cut
    sought = cut.sought
    if from_start:
        sought = timedelta(0)
    elif not any(isinstance(stream, AudioStream) for stream in used):
        sought = max(sought, part.start - LEAD)
    return replace(cut, sought=sought, start=part.start - sought)


def reading(cut: Cut, length: timedelta | None) -> list[str]:
    """Options of the input, of which nothing is read after *length* of the part; None: all is."""
    limit = [] if length is None else ["-t", seconds(max(timedelta(0), cut.start) + length + MARGIN)]
    return [*cut.options(), *limit]


def even_pictures(cut: Cut, rate: Fraction, frames: int, *, first: int, end: int, shown: Fraction) -> list[str]:
    """The filters that make so many *frames* at *rate*. The mark *first* is said with the first picture that there is to be
    shown, *end* shortly before the *shown* seconds of them are over.
    """
    before = max(0, math.floor(exact_seconds(cut.start) * rate))
    return [
        *held_pictures(cut, rate, first=first, end=end, last=before + last_sure(shown, rate), before=before),
        filter_text("trim", **({"start_frame": before} if before else {}), end_frame=before + frames),
        *([filter_text("setpts", "PTS-STARTPTS")] if before else []),
    ]


def held_pictures(cut: Cut, rate: Fraction, *, first: int, end: int, last: int, before: int = 0) -> list[str]:
    """The filters that give pictures at *rate* without end, so many of them *before* the part. The mark *end* is said with
    the picture of the number *last*, *first* with the first one; where not all is read, that has to be there when the part
    begins.
    """
    start = cut.start // timedelta(microseconds=1)
    return [
        filter_text("settb", "AVTB"),
        *([filter_text("setpts", f"PTS-({start})")] if start else []),
        arrivals.first_picture_mark(first, 1 / (2 * rate) if cut.sought else None),
        # At the end "pass": a picture that is shorter than the rate has is one all the same.
        filter_text("fps", fps=rate, start_time=-before / rate if before else 0, eof_action="pass"),
        arrivals.picture_mark(end, last),
        filter_text("tpad", stop_mode="clone", stop=-1),
    ]


def last_sure(shown: Fraction, rate: Fraction) -> int:
    """The number of the last picture that has to come of what is *shown* for so many seconds."""
    return max(0, math.ceil((shown - arrivals.TOLERANCE_SECONDS) * rate) - 1)
