"""Filters that hand on what is shown at a moment, or at evenly spaced ones: the picture that began last."""

from __future__ import annotations

import math
from fractions import Fraction

from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.tasks.moments import Evenly, begin_of
from telecine_worker.tasks.seeking import REBASED

FILTERS = frozenset({"settb", "tpad", "setpts", "fps"})

# Times in microseconds: in the time base of some containers, which is the frame, a moment would be rounded to a whole one.
CLOCK = "settb=AVTB"
# A stated duration may be a little longer than the pictures are shown: the last one is shown on so long. Where only the
# container has a duration, as in Matroska, the sound may go on for long without pictures.
HOLD = "tpad=stop_mode=clone:stop_duration=1"
HOLD_ON = "tpad=stop_mode=clone:stop=-1"
# Frames get the number of the moment at or after them; at each moment the last one with its number or a lower one goes
# on. So it is the one shown, where "near" would take the next one too early.
_SHOWN_AT = "fps=fps={rate}:round=up:start_time=0"


def holds_on(info: MediaInfo) -> bool:
    """Whether the end of the pictures is unknown, so that the last one has to be held for as long as it takes."""
    return info.video[0].duration is None


def hold(info: MediaInfo) -> str:
    """Show the last picture on."""
    return HOLD_ON if holds_on(info) else HOLD


def rebased(info: MediaInfo) -> Fraction:
    """What FFmpeg calls 0 in the pictures of an input that is read from its start, in seconds from that start."""
    return begin_of(info) if info.format in REBASED else Fraction(0)


def evenly_shown(evenly: Evenly, info: MediaInfo, hold_filter: str) -> list[str]:
    """What is shown at each moment of *evenly*, one picture each; more may follow."""
    rate = 1 / evenly.spacing
    shown_at = _SHOWN_AT.format(rate=f"{rate.numerator}/{rate.denominator}")
    return [CLOCK, hold_filter, shift(evenly.first - rebased(info)), shown_at]


def first_shown(rate: str) -> str:
    """What is shown at 0, and then at *rate*."""
    return _SHOWN_AT.format(rate=rate)


def shift(moment: Fraction) -> str:
    """So that *moment* becomes 0. A picture that begins just then is the one shown, though its time was rounded upwards."""
    return f"setpts=PTS-({microseconds(moment)})"


def microseconds(moment: Fraction) -> int:
    """Just after *moment*."""
    return math.ceil(moment * 1_000_000) + 1
