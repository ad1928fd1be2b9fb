"""Where key frames and segments of a package lie: at the same times in all renditions, on the grid of their frames."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.media_info import VideoStream

DEFAULT_GOP_SECONDS = Fraction(2)
DEFAULT_SEGMENT_SECONDS = Fraction(6)
MOST_SEGMENT_SECONDS = 60
# Constant rates that films have; a source of variable rate gets the one that is its average, or above it.
_USUAL_RATES = (
    *(Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30)),
    *(Fraction(48), Fraction(50), Fraction(60000, 1001), Fraction(60)),
)
_NEAR = Fraction(1, 100)
# A rate above this is not one of pictures, but of a clock that time stamps are counted in.
_HIGHEST_RATE = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """*gop_frames* by the names of the renditions; both times are in seconds and whole numbers of frames of each."""

    gop_frames: Mapping[str, int]
    gop_seconds: Fraction
    segment_seconds: Fraction


def constant_rate(source: VideoStream) -> Fraction | None:
    """What a package of *source* has; None where it cannot be told."""
    rate = source.frame_rate
    if rate is None or (not source.variable_frame_rate and rate <= _HIGHEST_RATE):
        return rate
    near = min(_USUAL_RATES, key=lambda usual: abs(usual - rate))
    if abs(near - rate) <= rate * _NEAR:
        return near
    return next((usual for usual in _USUAL_RATES if usual >= rate), _USUAL_RATES[-1])


def grid(task: media_pb2.PackagingTask, rates: Mapping[str, Fraction]) -> Grid:
    """*rates* are pictures a second by the names of the renditions. The GOP is the wanted one to the nearest frame of the
    slowest rendition, the segment the wanted one to the nearest GOP. Raises AttemptFailed OPTION_INVALID.
    """
    wanted, wanted_segment = _lengths(task)
    slowest = min(rates.values())
    gop = Fraction(max(1, round(wanted * slowest))) / slowest
    segment = gop * max(1, round(wanted_segment / gop))
    if segment > MOST_SEGMENT_SECONDS:
        raise permanent(
            "OPTION_INVALID",
            f"at {slowest} frames per second a segment lasts {float(segment):g} s; at most {MOST_SEGMENT_SECONDS} s is right: "
            "set video.frame_rate of the renditions",
        )
    for name, rate in rates.items():
        if (gop * rate).denominator != 1:
            raise permanent(
                "OPTION_INVALID",
                f"rendition {name}: at {rate} frames per second it cannot have its key frames where another one at {slowest} "
                "has them; the same frame_rate, or a whole multiple of it, would be right",
            )
    return Grid(
        gop_frames={name: int(gop * rate) for name, rate in rates.items()},
        gop_seconds=gop,
        segment_seconds=segment,
    )


def _lengths(task: media_pb2.PackagingTask) -> tuple[Fraction, Fraction]:
    """Of a GOP and of a segment, in seconds, as they are wanted."""
    gop = _seconds(task.gop_duration.ToTimedelta()) if task.HasField("gop_duration") else DEFAULT_GOP_SECONDS
    segment = (
        _seconds(task.segment_duration.ToTimedelta()) if task.HasField("segment_duration") else DEFAULT_SEGMENT_SECONDS
    )
    if gop <= 0 or segment <= 0 or segment > MOST_SEGMENT_SECONDS:
        raise permanent(
            "OPTION_INVALID",
            f"segment_duration of {float(segment):g} s and gop_duration of {float(gop):g} s; more than 0, and segments of at "
            f"most {MOST_SEGMENT_SECONDS} s, would be right",
        )
    if segment % gop:
        raise permanent(
            "OPTION_INVALID",
            f"segment_duration of {float(segment):g} s is no multiple of gop_duration, {float(gop):g} s; "
            f"{float(gop * max(1, round(segment / gop))):g} s would be right",
        )
    return gop, segment


def _seconds(duration: timedelta) -> Fraction:
    return Fraction(duration // timedelta(microseconds=1), 10**6)
