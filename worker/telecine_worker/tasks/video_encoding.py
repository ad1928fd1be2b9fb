"""How video is encoded: from the Video message and the source to FFmpeg's options, one function for each codec."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent

X26X_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
# CPU time of the first pass of x264 as a part of the second's (measured, reference section 1.2; between the three by
# order).
FIRST_PASS_SHARE = dict(zip(X26X_PRESETS, (0.6, 0.6, 0.58, 0.55, 0.5, 0.42, 0.32, 0.3, 0.3), strict=True))
OTHER_FIRST_PASS_SHARE = 0.4
STATS_FILE = "pass"
MAX_RATE = 240


def _formats(chroma: int, bits: int) -> tuple[str, ...]:
    """Those with at most so much."""
    depths = {8: "", 10: "10le", 12: "12le"}
    return tuple(
        f"yuv{each}p{end}" for most, end in depths.items() if most <= bits for each in (420, 422, 444) if each <= chroma
    )


_X264_FORMATS = _formats(444, 10)
_X265_FORMATS = _formats(444, 12)


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoCodec:
    """A codec of the contract. *codec* is what probing calls it; *options* makes the encoder's own arguments. *profiles* has
    with each the pixel formats that the encoder takes for it (each tried, with FFmpeg 5.1 and 9.0).
    """

    codec: str
    encoder: str
    default_crf: int
    highest_crf: int
    presets: Collection[str]
    default_preset: str
    profiles: Mapping[str, Collection[str]]
    pixel_formats: Collection[str]
    options: Callable[[media_pb2.Video, str, int], list[str]]


def _numbers(last: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(last + 1))


def _rate(video: media_pb2.Video, default_crf: int) -> list[str]:
    """Quality or average, and the peak over two seconds."""
    if video.HasField("bitrate_bps"):
        options = ["-b:v", str(video.bitrate_bps)]
    else:
        options = ["-crf", str(video.crf if video.HasField("crf") else default_crf)]
    return options + peak(video)


def peak(video: media_pb2.Video) -> list[str]:
    """What caps the bitrate, over two seconds."""
    if not video.max_bitrate_bps:
        return []
    return ["-maxrate", str(video.max_bitrate_bps), "-bufsize", str(2 * video.max_bitrate_bps)]


def _x264(video: media_pb2.Video, preset: str, run: int) -> list[str]:
    passes = ["-pass", str(run), "-passlogfile", STATS_FILE] if run else []
    return ["-preset", preset, *_rate(video, H264.default_crf), *passes]


def _x265(video: media_pb2.Video, preset: str, run: int) -> list[str]:
    """FFmpeg's -pass does not reach x265: its own parameters do."""
    parameters = ["log-level=error"]
    if run:
        parameters += [f"pass={run}", f"stats={STATS_FILE}.log"]
    return ["-preset", preset, *_rate(video, H265.default_crf), "-x265-params", ":".join(parameters)]


def _vp9(video: media_pb2.Video, preset: str, run: int) -> list[str]:
    rate = _rate(video, VP9.default_crf)
    if not video.HasField("bitrate_bps"):
        # Without a bitrate of 0, libvpx caps quality at 200 kb/s; with a peak that peak is the cap.
        rate += ["-b:v", str(video.max_bitrate_bps)]
    passes = ["-pass", str(run), "-passlogfile", STATS_FILE] if run else []
    return ["-deadline", "good", "-cpu-used", preset, "-row-mt", "1", *rate, *passes]


def _av1(video: media_pb2.Video, preset: str, _run: int) -> list[str]:
    return ["-preset", preset, *_rate(video, AV1.default_crf)]


H264 = VideoCodec(
    codec="h264",
    encoder="libx264",
    default_crf=23,
    highest_crf=51,
    presets=X26X_PRESETS,
    default_preset="medium",
    profiles={
        "baseline": _formats(420, 8),
        "main": _formats(420, 8),
        "high": _formats(420, 8),
        "high10": _formats(420, 10),
        "high422": _formats(422, 10),
        "high444": _formats(444, 10),
    },
    pixel_formats=_X264_FORMATS,
    options=_x264,
)
H265 = VideoCodec(
    codec="hevc",
    encoder="libx265",
    default_crf=28,
    highest_crf=51,
    presets=X26X_PRESETS,
    default_preset="medium",
    profiles={
        "main": _formats(420, 8),
        "main10": _formats(420, 10),
        "main12": _formats(420, 12),
        "main422-10": _formats(422, 10),
        "main422-12": _formats(422, 12),
        "main444-8": _formats(444, 8),
        "main444-10": _formats(444, 10),
        "main444-12": _formats(444, 12),
    },
    pixel_formats=_X265_FORMATS,
    options=_x265,
)
VP9 = VideoCodec(
    codec="vp9",
    encoder="libvpx-vp9",
    default_crf=32,
    highest_crf=63,
    presets=_numbers(8),
    default_preset="4",
    profiles={
        "0": ("yuv420p",),
        "1": ("yuv422p", "yuv444p"),
        "2": ("yuv420p10le",),
        "3": ("yuv422p10le", "yuv444p10le"),
    },
    pixel_formats=_X264_FORMATS,
    options=_vp9,
)
AV1 = VideoCodec(
    codec="av1",
    encoder="libsvtav1",
    default_crf=35,
    highest_crf=63,
    presets=_numbers(13),
    default_preset="8",
    profiles={"main": _formats(420, 10)},
    pixel_formats=_formats(420, 10),
    options=_av1,
)
CODECS: dict[str, VideoCodec] = {"h264": H264, "h265": H265, "vp9": VP9, "av1": AV1}


def codec_of(video: media_pb2.Video) -> VideoCodec:
    """The codec that *video* names. Raises AttemptFailed OPTION_INVALID for values outside what its encoder takes."""
    if video.codec not in CODECS:
        raise permanent(
            "OPTION_INVALID", f"video.codec {video.codec!r}; one of {', '.join(CODECS)}, copy would be right"
        )
    codec = CODECS[video.codec]
    for field, value, allowed in (
        ("preset", video.preset, codec.presets),
        ("profile", video.profile, codec.profiles),
        ("pixel_format", video.pixel_format, codec.pixel_formats),
    ):
        if value and value not in allowed:
            raise permanent(
                "OPTION_INVALID",
                f"video.{field} {value!r} with {video.codec}; one of {', '.join(allowed)} would be right",
            )
    if video.HasField("crf") and not 0 <= video.crf <= codec.highest_crf:
        raise permanent(
            "OPTION_INVALID", f"video.crf {video.crf} with {video.codec}; 0 to {codec.highest_crf} is right"
        )
    if video.HasField("frame_rate") and not 0 < video.frame_rate.numerator <= MAX_RATE * video.frame_rate.denominator:
        raise permanent("OPTION_INVALID", f"video.frame_rate is not above 0 and at most {MAX_RATE}")
    _check_rate_control(video)
    return codec


def check_profile(video: media_pb2.Video, pixel_format: str) -> None:
    """Raise AttemptFailed OPTION_INVALID where the profile does not have the *pixel_format* of the result."""
    if not video.profile:
        return
    profiles = CODECS[video.codec].profiles
    if pixel_format not in profiles[video.profile]:
        fitting = [name for name, formats in profiles.items() if pixel_format in formats]
        raise permanent(
            "OPTION_INVALID",
            f"video.profile {video.profile!r} with pixel format {pixel_format}: {video.codec} has that in the profiles "
            f"{', '.join(fitting)}; and {video.profile} has video.pixel_format {', '.join(profiles[video.profile])}",
        )


def _check_rate_control(video: media_pb2.Video) -> None:
    if video.two_pass and not video.HasField("bitrate_bps"):
        raise permanent("OPTION_INVALID", "video.two_pass needs video.bitrate_bps")
    if video.codec == "av1" and video.two_pass:
        raise permanent(
            "UNSUPPORTED_OPTION", "video.two_pass with av1: SVT-AV1 runs in one pass; leave it out, or use vp9"
        )
    if video.codec == "av1" and video.max_bitrate_bps and video.HasField("bitrate_bps"):
        raise permanent(
            "UNSUPPORTED_OPTION",
            "video.max_bitrate_bps with av1 and bitrate_bps: SVT-AV1 caps constant quality only; use crf",
        )
    if video.HasField("bitrate_bps") and 0 < video.max_bitrate_bps < video.bitrate_bps:
        raise permanent(
            "OPTION_INVALID", "video.max_bitrate_bps is below video.bitrate_bps; at least as much would be right"
        )


def encoder_options(video: media_pb2.Video, codec: VideoCodec, rate: Fraction | None, run: int) -> list[str]:
    """For the output of run *run* (0: the only one, 1 and 2: two passes); *rate* is that of the output's frames."""
    preset = video.preset or codec.default_preset
    options = ["-c:v", codec.encoder, *codec.options(video, preset, run)]
    if video.profile:
        options += ["-profile:v", video.profile]
    return [*options, *key_frames(video, rate)]


def key_frames(video: media_pb2.Video, rate: Fraction | None) -> list[str]:
    """How far apart they may be. Raises AttemptFailed where the rate of frames is unknown."""
    return ["-g", str(key_frame_distance(video, rate))] if video.HasField("gop_duration") else []


def key_frame_distance(video: media_pb2.Video, rate: Fraction | None) -> int:
    """In frames, never longer than gop_duration. Raises AttemptFailed where the rate of frames is unknown."""
    if rate is None:
        raise permanent(
            "OPTION_INVALID", "video.gop_duration: the input's frame rate is unknown; set video.frame_rate as well"
        )
    seconds = Fraction(video.gop_duration.seconds) + Fraction(video.gop_duration.nanos, 10**9)
    return max(1, int(seconds * rate))


def first_pass_share(video: media_pb2.Video, codec: VideoCodec) -> float:
    """How heavy the first of two passes is; the second is 1."""
    return FIRST_PASS_SHARE.get(video.preset or codec.default_preset, OTHER_FIRST_PASS_SHARE)
