"""Colours: what is HDR, how it becomes SDR, and how many bits it needs."""

from __future__ import annotations

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.media_info import VideoStream
from telecine_worker.tasks import video_encoding
from telecine_worker.tasks.filter_text import filter_text

DEFAULT_PIXEL_FORMAT = "yuv420p"
TEN_BITS = "yuv420p10le"
# Transfer functions of HDR10 and HLG.
HDR_TRANSFERS = frozenset({"smpte2084", "arib-std-b67"})
SDR_TRANSFER = "bt709"
TONE_MAPPING_FILTER = "zscale"
"""Of the library zimg, which a build of FFmpeg may be without."""
FILTERS = frozenset({"format", "setparams", "sidedata", "tonemap"})
# Of SDR white, in candela a square metre: what HDR counts from.
_NOMINAL_PEAK = 100
_OF_HDR = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DYNAMIC_HDR_PLUS")
_FROM_HD_ON_PX = 720
_RGB = ("rgb", "bgr", "gbr", "argb", "abgr", "0rgb", "0bgr", "x2rgb", "x2bgr", "pal8")
# An ffprobe that was built without zlib does not know the pixel format of these.
_RGB_CODECS = frozenset({"png", "apng"})
_YUV = ("yuv", "nv", "p0")
# The matrices of YUV that are told apart, by what swscale calls them.
_SCALE_MATRICES = {"bt709": "bt709", "bt470bg": "bt601", "smpte170m": "bt601", "bt2020nc": "bt2020"}


def is_hdr(source: VideoStream) -> bool:
    """Whether its pictures are too bright for SDR, and need more than eight bits."""
    return source.color_transfer in HDR_TRANSFERS


def is_tone_mapped(video: media_pb2.Video, source: VideoStream) -> bool:
    """SDR stays as it is, asked or not."""
    return video.tone_map_to_sdr and is_hdr(source)


def pixel_format(video: media_pb2.Video, source: VideoStream) -> str:
    """As asked for; else eight bits, or ten where HDR is kept: eight show steps in every sky, and what plays HDR plays ten.

    Raises AttemptFailed where that would be H.264, whose ten bits hardly any player decodes: whoever asks for them by name, or
    for eight, has them. And where the profile that is asked for does not have it.
    """
    made = _pixel_format(video, source)
    video_encoding.check_profile(video, made)
    return made


def _pixel_format(video: media_pb2.Video, source: VideoStream) -> str:
    if video.pixel_format:
        return video.pixel_format
    if not is_hdr(source) or is_tone_mapped(video, source):
        return DEFAULT_PIXEL_FORMAT
    if video.codec == "h264":
        raise permanent(
            "OPTION_INVALID",
            f"the input is HDR ({source.color_transfer}), which h264 does not keep in eight bits; video.tone_map_to_sdr, "
            f"or codec h265, vp9 or av1, or pixel_format {TEN_BITS} would be right",
        )
    return TEN_BITS


def tone_mapping(pixel_format: str, matrix: str = "") -> list[str]:
    """HDR to BT.709 (reference 2.3, R5), stored by *matrix*, or its own. What a stream does not say of its colours is taken as
    BT.2020.
    """
    return [
        filter_text("zscale", t="linear", npl=_NOMINAL_PEAK),
        filter_text("format", "gbrpf32le"),
        filter_text("zscale", p="bt709"),
        filter_text("tonemap", tonemap="hable", desat=0),
        filter_text("zscale", t="bt709", m=matrix or "bt709", r="tv"),
        filter_text("format", pixel_format),
        # What HDR says of its light, which newer encoders would write into the result.
        *(filter_text("sidedata", mode="delete", type=each) for each in _OF_HDR),
    ]


def completed(source: VideoStream) -> list[str]:
    """HDR whose matrix or primaries are not said, which zscale would refuse."""
    missing = {
        option: value
        for option, value, known in (
            ("color_primaries", "bt2020", source.color_primaries),
            ("colorspace", "bt2020nc", source.color_space),
        )
        if not known
    }
    return [filter_text("setparams", **missing)] if missing else []


def assumed_matrix(source: VideoStream) -> str:
    """What players take the matrix of a source for that does not say it, by its size; FFmpeg's name."""
    return "bt709" if source.height_px >= _FROM_HD_ON_PX else "smpte170m"


def said(matrix: str) -> list[str]:
    """The filter after which pictures say that they are stored by *matrix*, and are taken for that; none for an empty one."""
    return [filter_text("setparams", colorspace=matrix)] if matrix else []


def assumed(source: VideoStream) -> list[str]:
    """The same of a *source* that does not say which it has: that by its size, at whatever size it becomes."""
    return [] if source.color_space or not is_yuv(source.pixel_format) else said(assumed_matrix(source))


def is_yuv(pixel_format: str) -> bool:
    """Whether there is a matrix."""
    return pixel_format.startswith(_YUV)


def chosen_matrix(source: VideoStream) -> str:
    """That by which a *source* of RGB becomes YUV; empty where it is YUV."""
    return assumed_matrix(source) if is_rgb(source) else ""


def common_matrix(first: VideoStream, pixel_format: str, *, tone_mapped: bool) -> str:
    """That of all that becomes like the *first*, in *pixel_format*; empty where it is one that is not converted."""
    if not is_yuv(pixel_format):
        return ""
    known = matrix(first, tone_mapped=tone_mapped)[0]
    return known if known in _SCALE_MATRICES else "" if first.color_space else assumed_matrix(first)


def scale_matrix(matrix: str) -> str:
    """What the filter scale calls *matrix*; empty for an empty one."""
    return _SCALE_MATRICES[matrix] if matrix else ""


def is_rgb(source: VideoStream) -> bool:
    """Whether its pictures become YUV by a matrix of our choice."""
    return source.pixel_format.startswith(_RGB) or (not source.pixel_format and source.codec in _RGB_CODECS)


def matrix(source: VideoStream, *, tone_mapped: bool) -> tuple[str, str]:
    """Of the pictures as they are encoded: FFmpeg's name, "unknown" where it is not said, and the one to convert by."""
    known = "bt709" if tone_mapped else chosen_matrix(source) or source.color_space
    if known in _SCALE_MATRICES:
        return known, _SCALE_MATRICES[known]
    return "unknown", _SCALE_MATRICES[assumed_matrix(source)]
