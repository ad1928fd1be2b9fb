"""The size of the picture that comes out, and the filters that make it."""

from __future__ import annotations

from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.ffmpeg.media_info import VideoStream

DEFAULT_PIXEL_FORMAT = "yuv420p"
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


def filters(video: media_pb2.Video, source: VideoStream) -> str:
    """FFmpeg rotates before these. Scaling is always there: it keeps the size when a source changes its own midway.

    Full-range sources become limited-range, as FFmpeg 5 did by itself. A constant rate is made here, not by -fps_mode
    cfr, which repeats frames at the start and end, and differs by version.
    """
    wide, high = size(video, source)
    pixel_format = video.pixel_format or DEFAULT_PIXEL_FORMAT
    chain = f"scale={wide}:{high}:flags=bicubic:out_range=tv,setsar=1,format={pixel_format}"
    if not video.HasField("frame_rate"):
        return chain
    return f"fps={video.frame_rate.numerator}/{video.frame_rate.denominator},{chain}"
