"""Which filters callers may use in raw arguments, and which values their options take.

A table of what is allowed, not of what is forbidden: of FFmpeg's filters some fifty read or write files, load
libraries, listen on sockets or send commands through an option. None of them is here, and of those that are, only the
options named here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from telecine_worker.ffmpeg import picture_sizes, timestamps, values
from telecine_worker.ffmpeg.values import Check, expression, integer, number, one_of

VIDEO, AUDIO = "video", "audio"

PIXEL_FORMATS = (
    *("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "yuv420p12le", "yuv422p12le"),
    *("yuv444p12le", "yuvj420p", "yuvj422p", "yuvj444p", "yuva420p", "yuva444p", "nv12", "p010le", "gray", "gray10le"),
    *("rgb24", "bgr24", "rgba", "bgra", "rgb48le", "gbrp", "gbrp10le", "pal8", "monob", "ya8", "bgr8", "rgb8"),
)
SAMPLE_FORMATS = ("u8", "s16", "s32", "flt", "dbl", "u8p", "s16p", "s32p", "fltp", "dblp")
CHANNEL_LAYOUTS = (
    *("mono", "stereo", "2.1", "3.0", "3.1", "4.0", "quad", "4.1", "5.0", "5.1", "5.0(side)", "5.1(side)"),
    *("6.0", "6.1", "7.0", "7.1", "downmix"),
)
COLOURS = ("black", "white", "gray", "red", "green", "blue", "yellow", "transparent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """*aliases* are other names of its options. *positional* names the options that may be given without a name, in FFmpeg's
    order. *bounded* writes sizes so that they are bounded when the filter runs; *slowing* says how many times as long it makes
    what passes.
    """

    media: str
    options: Mapping[str, Check] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    positional: tuple[str, ...] = ()
    bounded: Callable[[Mapping[str, str]], dict[str, str]] | None = None
    slowing: Callable[[Mapping[str, str]], float] | None = None


def _list_of(*words: str) -> Check:
    """Some of *words*, with | between."""

    def check(value: str) -> str | None:
        return (
            None if all(part in words for part in value.split("|")) else f"some of {', '.join(words)}, with | between"
        )

    return check


def _colour(value: str) -> str | None:
    is_hex = value.startswith("0x") and len(value) in (8, 10) and all(c in "0123456789abcdefABCDEF" for c in value[2:])
    return None if is_hex or value in COLOURS else f"0xRRGGBB or one of {', '.join(COLOURS)}"


def _scale_flags(value: str) -> str | None:
    known = (
        "fast_bilinear",
        "bilinear",
        "bicubic",
        "neighbor",
        "area",
        "lanczos",
        "spline",
        "accurate_rnd",
        "full_chroma_int",
    )
    return None if all(part in known for part in value.split("+")) else f"some of {', '.join(known)}, with + between"


def _slowing_of_tempo(options: Mapping[str, str]) -> float:
    return 1 / float(options.get("tempo", 1))


_SIDE = expression(-16, values.MAX_SIDE_PX)
_PLACE = expression(-values.MAX_SIDE_PX, values.MAX_SIDE_PX)
_AMOUNT = number(-1000, 1000)
_TIME = values.time
_SWITCH = one_of("0", "1", "true", "false")
_ROUND = one_of("zero", "inf", "down", "up", "near")
_CUT = {"start": _TIME, "end": _TIME, "duration": _TIME}
_FRAMES = {"start_frame": integer(0, 10**8), "end_frame": integer(0, 10**8)}
_DEINTERLACE = {
    "mode": one_of("send_frame", "send_field", "0", "1"),
    "parity": one_of("auto", "tff", "bff", "-1", "0", "1"),
    "deint": one_of("all", "interlaced", "0", "1"),
}
_FADE = {"type": one_of("in", "out"), "start_time": _TIME, "duration": _TIME}
_FADE_ALIASES = {"t": "type", "st": "start_time", "d": "duration"}
_CURVES = one_of("tri", "qsin", "hsin", "esin", "log", "ipar", "qua", "cub", "squ", "cbr", "par", "exp")

FILTERS: dict[str, Filter] = {
    "null": Filter(media=VIDEO),
    "scale": Filter(
        media=VIDEO,
        options={
            "w": _SIDE,
            "h": _SIDE,
            "flags": _scale_flags,
            "s": values.picture_size,
            "force_divisible_by": integer(1, 256),
            "force_original_aspect_ratio": one_of("disable", "decrease", "increase", "0", "1", "2"),
            **{
                name: one_of("auto", "full", "limited", "tv", "pc", "mpeg", "jpeg")
                for name in ("in_range", "out_range")
            },
            **{
                name: one_of("auto", "bt709", "fcc", "bt601", "bt470", "smpte170m", "smpte240m", "bt2020")
                for name in ("in_color_matrix", "out_color_matrix")
            },
        },
        aliases={"width": "w", "height": "h", "size": "s"},
        positional=("w", "h"),
        bounded=picture_sizes.of_scale,
    ),
    "crop": Filter(
        media=VIDEO,
        options={
            **dict.fromkeys(("w", "h"), _SIDE),
            "x": _PLACE,
            "y": _PLACE,
            "keep_aspect": _SWITCH,
            "exact": _SWITCH,
        },
        aliases={"out_w": "w", "out_h": "h"},
        positional=("w", "h", "x", "y"),
    ),
    "pad": Filter(
        media=VIDEO,
        options={
            **dict.fromkeys(("w", "h"), _SIDE),
            "x": _PLACE,
            "y": _PLACE,
            "color": _colour,
        },
        aliases={"width": "w", "height": "h"},
        positional=("w", "h", "x", "y", "color"),
        bounded=picture_sizes.of_pad,
    ),
    "fps": Filter(media=VIDEO, options={"fps": values.frame_rate, "round": _ROUND}, positional=("fps",)),
    "format": Filter(media=VIDEO, options={"pix_fmts": _list_of(*PIXEL_FORMATS)}, positional=("pix_fmts",)),
    "setsar": Filter(
        media=VIDEO, options={"sar": values.ratio}, aliases={"ratio": "sar", "r": "sar"}, positional=("sar",)
    ),
    "setdar": Filter(
        media=VIDEO, options={"dar": values.ratio}, aliases={"ratio": "dar", "r": "dar"}, positional=("dar",)
    ),
    "transpose": Filter(
        media=VIDEO,
        options={"dir": one_of("0", "1", "2", "3", "cclock_flip", "clock", "cclock", "clock_flip")},
        positional=("dir",),
    ),
    "hflip": Filter(media=VIDEO),
    "vflip": Filter(media=VIDEO),
    "trim": Filter(media=VIDEO, options={**_CUT, **_FRAMES}),
    "setpts": Filter(
        media=VIDEO, options={"expr": timestamps.of_pictures}, positional=("expr",), slowing=timestamps.slowing
    ),
    "eq": Filter(
        media=VIDEO,
        options={
            "contrast": _AMOUNT,
            "brightness": number(-1, 1),
            "saturation": number(0, 3),
            **{name: number(0.1, 10) for name in ("gamma", "gamma_r", "gamma_g", "gamma_b")},
        },
    ),
    "unsharp": Filter(
        media=VIDEO,
        options={
            **{f"{plane}_msize_{side}": integer(3, 23) for plane in ("luma", "chroma") for side in ("x", "y")},
            **{f"{plane}_amount": number(-2, 5) for plane in ("luma", "chroma")},
        },
        aliases={
            f"{plane[0]}{short}": f"{plane}_{long}"
            for plane in ("luma", "chroma")
            for short, long in (("x", "msize_x"), ("y", "msize_y"), ("a", "amount"))
        },
        positional=(
            *("luma_msize_x", "luma_msize_y", "luma_amount"),
            *("chroma_msize_x", "chroma_msize_y", "chroma_amount"),
        ),
    ),
    "hqdn3d": Filter(
        media=VIDEO,
        options={name: number(0, 1000) for name in ("luma_spatial", "chroma_spatial", "luma_tmp", "chroma_tmp")},
        positional=("luma_spatial", "chroma_spatial", "luma_tmp", "chroma_tmp"),
    ),
    "yadif": Filter(media=VIDEO, options=_DEINTERLACE, positional=("mode", "parity", "deint")),
    "bwdif": Filter(media=VIDEO, options=_DEINTERLACE, positional=("mode", "parity", "deint")),
    "fade": Filter(
        media=VIDEO,
        options={**_FADE, "color": _colour, "start_frame": integer(0, 10**8), "nb_frames": integer(1, 10**8)},
        aliases=_FADE_ALIASES,
        positional=("type", "start_frame", "nb_frames"),
    ),
    "gblur": Filter(
        media=VIDEO, options={"sigma": number(0, 100), "steps": integer(1, 6)}, positional=("sigma", "steps")
    ),
    "anull": Filter(media=AUDIO),
    "volume": Filter(
        media=AUDIO,
        options={"volume": lambda value: number(-100, 100)(value.removesuffix("dB"))},
        positional=("volume",),
    ),
    "aresample": Filter(
        media=AUDIO,
        options={"sample_rate": integer(8000, 192_000), "async": integer(0, 192_000)},
        positional=("sample_rate",),
    ),
    "aformat": Filter(
        media=AUDIO,
        options={
            "sample_fmts": _list_of(*SAMPLE_FORMATS),
            "sample_rates": integer(8000, 192_000),
            "channel_layouts": _list_of(*CHANNEL_LAYOUTS),
        },
        positional=("sample_fmts", "sample_rates", "channel_layouts"),
    ),
    "loudnorm": Filter(
        media=AUDIO,
        options={
            "I": number(-70, -5),
            "LRA": number(1, 50),
            "TP": number(-9, 0),
            "offset": number(-99, 99),
            "measured_I": number(-99, 0),
            "measured_LRA": number(0, 99),
            "measured_TP": number(-99, 99),
            "measured_thresh": number(-99, 0),
            "linear": _SWITCH,
            "dual_mono": _SWITCH,
            "print_format": one_of("none", "json", "summary"),
        },
        positional=("I", "LRA", "TP"),
    ),
    "afade": Filter(
        media=AUDIO,
        options={**_FADE, "curve": _CURVES},
        aliases={**_FADE_ALIASES, "c": "curve"},
        positional=("type",),
    ),
    "atempo": Filter(
        media=AUDIO, options={"tempo": number(0.5, 100)}, positional=("tempo",), slowing=_slowing_of_tempo
    ),
    "atrim": Filter(media=AUDIO, options=_CUT),
    "asetpts": Filter(
        media=AUDIO, options={"expr": timestamps.of_sound}, positional=("expr",), slowing=timestamps.slowing
    ),
    "highpass": Filter(media=AUDIO, options={"f": number(1, 96_000)}, positional=("f",)),
    "lowpass": Filter(media=AUDIO, options={"f": number(1, 96_000)}, positional=("f",)),
    "dynaudnorm": Filter(media=AUDIO, options={"f": integer(10, 8000), "g": integer(3, 301)}, positional=("f", "g")),
}
