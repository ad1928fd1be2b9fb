"""The size of the picture that comes out, and the filters that make it."""

from __future__ import annotations

from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.ffmpeg.media_info import VideoStream
from telecine_worker.tasks import colors
from telecine_worker.tasks.filter_text import chain, filter_text

FILTERS = frozenset({"scale", "setsar", "format", "fps", "transpose", "hflip", "vflip"})
"""Of which FFmpeg uses the last three by itself, to turn what is stored lying."""


def size(video: media_pb2.Video, source: VideoStream) -> tuple[int, int]:
    """Width and height: even, with square pixels, never larger than the source unless allowed.

    One side of 0 follows from the other by the shown aspect ratio of the source; both 0 is the source's size.
    """
    wide, high = video.width_px, video.height_px
    if not video.allow_upscale:
        wide, high = min(wide, source.width_px), min(high, source.height_px)
    aspect = Fraction(source.width_px, source.height_px)
    if not wide and not high:
        wide, high = source.width_px, source.height_px
    elif not wide:
        return even(high * aspect), even(high)
    elif not high:
        return even(wide), even(wide / aspect)
    return even(wide), even(high)


def even(length: Fraction | int) -> int:
    """The even number nearest to *length*, downwards in the middle; at least 2."""
    half = Fraction(length) / 2
    below = int(half)
    return 2 * max(1, below + (half - below > Fraction(1, 2)))


def rate(video: media_pb2.Video) -> list[str]:
    """A constant rate, where one is asked for. It is made here, not by -fps_mode cfr, which repeats frames at the start and
    end, and differs by version.
    """
    if not video.HasField("frame_rate"):
        return []
    return [filter_text("fps", Fraction(video.frame_rate.numerator, video.frame_rate.denominator))]


def scaled(wide: int, high: int) -> list[str]:
    """To square pixels. Scaling is always there: it keeps the size when a source changes its own midway. Full-range sources
    become limited-range, as FFmpeg 5 did by itself.
    """
    return [filter_text("scale", wide, high, flags="bicubic", out_range="tv"), filter_text("setsar", 1)]


def filters(video: media_pb2.Video, source: VideoStream) -> str:
    """The whole chain of a source to which nothing else is done. FFmpeg rotates before it.

    Raises AttemptFailed OPTION_INVALID.
    """
    last = filter_text("format", colors.pixel_format(video, source))
    return chain([*rate(video), *scaled(*size(video, source)), last])
