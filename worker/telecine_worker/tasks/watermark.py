"""A picture over the picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.tasks.filter_text import chain, filter_text

FILTERS = frozenset({"overlay", "colorchannelmixer", "scale", "format", "setparams"})
MAX_SIDE_PX = 16384
MIDDLE = 0.5
# By the pixel format of the film: that of the image over it, and what the filter calls the pair. What is not listed the
# filter would turn into eight bits by itself.
_FORMATS: Mapping[str, tuple[str, str]] = {
    "yuv420p": ("yuva420p", "yuv420"),
    "yuv422p": ("yuva422p", "yuv422"),
    "yuv444p": ("yuva444p", "yuv444"),
    "yuv420p10le": ("yuva420p10le", "yuv420p10"),
    "yuv422p10le": ("yuva422p10le", "yuv422p10"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """*image* is the chain of filters of the image, *over* the filter that lays it over the film."""

    image: str
    over: str


def mark(
    wanted: media_pb2.Watermark, info: MediaInfo, *, frame_width_px: int, pixel_format: str, matrix: tuple[str, str]
) -> Mark:
    """How *wanted* is drawn. *matrix* is that of the film, as FFmpeg names it, and as the filter scale does.

    Raises AttemptFailed OPTION_INVALID, UNSUPPORTED_OPTION.
    """
    _check(wanted, info)
    if pixel_format not in _FORMATS:
        raise permanent(
            "UNSUPPORTED_OPTION",
            f"filters.watermark with pixel format {pixel_format}; one of {', '.join(_FORMATS)} would be right",
        )
    own_format, pair = _FORMATS[pixel_format]
    said, converted_by = matrix
    image = [filter_text("format", "rgba")]
    if wanted.HasField("opacity"):
        image.append(filter_text("colorchannelmixer", aa=wanted.opacity))
    wide, high = _size(wanted, info, frame_width_px)
    image += [
        filter_text("scale", w=wide, h=high, flags="bicubic", out_color_matrix=converted_by, out_range="tv"),
        filter_text("format", own_format),
        # Else FFmpeg 9 would convert the film to what it takes the image for.
        filter_text("setparams", colorspace=said),
    ]
    over = filter_text(
        "overlay",
        x=f"main_w*{wanted.x if wanted.HasField('x') else MIDDLE:.6f}-overlay_w/2",
        y=f"main_h*{wanted.y if wanted.HasField('y') else MIDDLE:.6f}-overlay_h/2",
        eof_action="repeat",
        format=pair,
    )
    return Mark(image=chain(image), over=over)


def _check(wanted: media_pb2.Watermark, info: MediaInfo) -> None:
    if not info.is_still or not info.video:
        raise permanent(
            "OPTION_INVALID",
            f"filters.watermark.input: input {wanted.input} is {info.format}; one picture (PNG, JPEG, WebP) would be right",
        )
    if not info.video[0].width_px or not info.video[0].height_px:
        raise permanent("INPUT_INVALID", f"the size of the picture of input {wanted.input} cannot be told")
    for field in ("x", "y", "width", "opacity"):
        # Absent is 0.
        if not 0 <= getattr(wanted, field) <= 1:
            raise permanent("OPTION_INVALID", f"filters.watermark.{field} is not from 0 to 1")


def _size(wanted: media_pb2.Watermark, info: MediaInfo, frame_width_px: int) -> tuple[str | int, str | int]:
    """Its own, or a part of the width of the frame, as the filter computes it: probing does not tell whether FFmpeg turns the
    picture because it says so itself (EXIF).
    """
    if not wanted.HasField("width"):
        return "round(iw*sar)", "ih"
    wide = max(1, round(wanted.width * frame_width_px))
    high = max(1, round(wide * info.video[0].height_px / info.video[0].width_px))
    if high > MAX_SIDE_PX:
        raise permanent(
            "OPTION_INVALID",
            f"filters.watermark.width: input {wanted.input} would be {wide}x{high} px; at most {MAX_SIDE_PX} on a side fit",
        )
    return wide, f"max(1,round({wide}/dar))"
