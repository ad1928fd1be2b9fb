"""The size of the picture that comes out, and the filters that make it."""

from __future__ import annotations

from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.media_info import VideoStream
from telecine_worker.ffmpeg.probe import MAX_SIDE_PX
from telecine_worker.ffmpeg.whitelists import MAX_PIXELS
from telecine_worker.tasks import colors
from telecine_worker.tasks.filter_text import filter_text

FILTERS = frozenset({"bwdif", "scale", "setsar", "format", "fps", "transpose", "hflip", "vflip"})
"""Of which FFmpeg uses the last three by itself, to turn what is stored lying."""


def size(video: media_pb2.Video, source: VideoStream) -> tuple[int, int]:
    """Width and height: even, with square pixels, never larger than the source unless allowed.

    One side of 0 follows from the other by the shown aspect ratio of the source; both 0 is the source's size. Raises
    AttemptFailed OPTION_INVALID for what is larger than inputs may be.
    """
    wide, high = _size(video, source)
    if max(wide, high) > MAX_SIDE_PX or wide * high > MAX_PIXELS:
        raise permanent(
            "OPTION_INVALID",
            f"video.width_px and video.height_px make {wide}x{high} px of an input of {source.width_px}x{source.height_px} px; "
            f"at most {MAX_SIDE_PX} px on a side and {MAX_PIXELS} pixels would be right",
        )
    return wide, high


def _size(video: media_pb2.Video, source: VideoStream) -> tuple[int, int]:
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


def deinterlacing(source: VideoStream, *, asked: bool = False) -> list[str]:
    """The filter for it, which comes first, where the source says that it is interlaced: most codecs have no word for fields,
    and browsers show them woven. Where it is *asked* for, too, for pictures that alone say so.

    Raises AttemptFailed UNSUPPORTED_OPTION.
    """
    if source.is_interlaced and source.rotation_degrees:
        raise permanent(
            "UNSUPPORTED_OPTION",
            f"the input is interlaced, and to be turned by {source.rotation_degrees}°: FFmpeg turns first, after which there "
            "are no fields; an input that is stored upright, or is not interlaced, would be right",
        )
    if not asked and not source.is_interlaced:
        return []
    return [filter_text("bwdif", mode="send_frame", parity="auto", deint="interlaced")]


def scaled(wide: int, high: int, *, matrix: str = "") -> list[str]:
    """To square pixels. Scaling is always there: it keeps the size when a source changes its own midway. Full-range sources
    become limited-range, as FFmpeg 5 did by itself. *matrix* is that by which RGB becomes YUV, or YUV of another one; FFmpeg's
    name. What it makes has to say so: see colors.said.
    """
    made = {"out_color_matrix": colors.scale_matrix(matrix)} if matrix else {}
    return [filter_text("scale", wide, high, flags="bicubic", out_range="tv", **made), filter_text("setsar", 1)]
