"""Video encoded by graphics hardware: which encoders may be tried for a Video message, and their options.

They take the same quality in other words, no second pass, and few formats of pixels. What none of them can do is software's, or
is refused where hardware is required. Tried on machines that have none: the options are after FFmpeg's documentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent, retryable
from telecine_worker.ffmpeg.hardware import ENCODERS, FAMILY_OF, Family
from telecine_worker.tasks import video_encoding
from telecine_worker.tasks.video_encoding import VideoCodec

_EIGHT, _TEN = "yuv420p", "yuv420p10le"
_UPLOADED = {_EIGHT: "nv12", _TEN: "p010le"}
PIXEL_FORMATS = {"h264": (_EIGHT,), "h265": (_EIGHT, _TEN), "av1": (_EIGHT, _TEN), "vp9": (_EIGHT,)}
PROFILES = {"h264": ("main", "high"), "h265": ("main", "main10"), "av1": ("main",), "vp9": ("0",)}
# Speed, from the slowest to the fastest, in the words of each family; the others have no such option.
_SPEEDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "nvenc": ("-preset", ("p7", "p6", "p5", "p4", "p3", "p2", "p1")),
    "qsv": ("-preset", ("veryslow", "slower", "slow", "medium", "fast", "faster", "veryfast")),
    "amf": ("-quality", ("quality", "quality", "balanced", "balanced", "balanced", "speed", "speed")),
}
_QP_OF_X26X = 51


@dataclass(frozen=True, slots=True, kw_only=True)
class HardwareEncoder:
    """One that works on this machine."""

    name: str
    family: Family

    def upload(self, pixel_format: str) -> str:
        """The end of the chain of filters."""
        return self.family.upload.replace(_UPLOADED[_EIGHT], _UPLOADED[pixel_format])

    def options(self, video: media_pb2.Video, rate: Fraction | None) -> list[str]:
        """As video_encoding.encoder_options, of the one run."""
        codec = video_encoding.codec_of(video)
        options = ["-c:v", self.name, *self._speed(video, codec), *self._rate(video, codec)]
        if video.profile and video.codec in ("h264", "h265"):
            options += ["-profile:v", video.profile]
        return [*options, *video_encoding.key_frames(video, rate)]

    def _speed(self, video: media_pb2.Video, codec: VideoCodec) -> list[str]:
        if not video.preset or self.family.suffix not in _SPEEDS:
            return []
        option, words = _SPEEDS[self.family.suffix]
        presets = list(codec.presets)
        # Software's have the fastest at one end: x264's names first, of the numbers the last.
        fastest_first = codec.presets is video_encoding.X26X_PRESETS
        place = presets.index(video.preset) / max(1, len(presets) - 1)
        return [option, words[round((1 - place if fastest_first else place) * (len(words) - 1))]]

    def _rate(self, video: media_pb2.Video, codec: VideoCodec) -> list[str]:
        if video.HasField("bitrate_bps"):
            return ["-b:v", str(video.bitrate_bps), *video_encoding.peak(video)]
        crf = video.crf if video.HasField("crf") else codec.default_crf
        part = Fraction(crf, codec.highest_crf)
        match self.family.suffix:
            case "nvenc":
                return ["-rc", "vbr", "-cq", str(crf), "-b:v", "0", *video_encoding.peak(video)]
            case "qsv":
                return ["-global_quality", str(max(1, round(part * _QP_OF_X26X)))]
            case "videotoolbox":
                return ["-q:v", str(max(1, round((1 - part) * 100)))]
            case "amf":
                quantizer = str(crf if codec.highest_crf == _QP_OF_X26X else round(part * 255))
                return ["-rc", "cqp", "-qp_i", quantizer, "-qp_p", quantizer]
            case _ if codec.highest_crf == _QP_OF_X26X:
                return ["-rc_mode", "CQP", "-qp", str(max(1, crf))]
            case _:
                return ["-rc_mode", "CQP", "-global_quality", str(max(1, round(part * 255)))]


def choices(video: media_pb2.Video, pixel_format: str, encoders: Set[str]) -> tuple[HardwareEncoder, ...]:
    """What to try before software, in this order. Raises AttemptFailed UNSUPPORTED_OPTION, HARDWARE_FAILED."""
    if video.hardware == media_pb2.Video.HARDWARE_UNSPECIFIED:
        return ()
    required = video.hardware == media_pb2.Video.HARDWARE_REQUIRED
    unfit = _unfit(video, pixel_format)
    if unfit and required:
        raise permanent("UNSUPPORTED_OPTION", f"{unfit}; leave it out, or prefer hardware instead of requiring it")
    names = [name for name in ENCODERS[video.codec] if name in encoders]
    found = [HardwareEncoder(name=name, family=FAMILY_OF[name]) for name in names]
    able = tuple(each for each in found if not unfit and _is_able(each, video))
    if required and found and not able:
        raise retryable(
            "HARDWARE_FAILED",
            "video.max_bitrate_bps with crf: only NVENC caps constant quality, and this worker has none",
        )
    if required and not able:
        raise retryable("HARDWARE_FAILED", f"no hardware encoder for {video.codec} works on this worker")
    return able


def _unfit(video: media_pb2.Video, pixel_format: str) -> str:
    """What no hardware encoder does; empty: nothing."""
    if video.two_pass:
        return "video.two_pass: hardware encoders run in one pass"
    if pixel_format not in PIXEL_FORMATS[video.codec]:
        allowed = " and ".join(PIXEL_FORMATS[video.codec])
        return f"video.pixel_format {pixel_format}: hardware encoders for {video.codec} take {allowed}"
    if video.profile and video.profile not in PROFILES[video.codec]:
        return f"video.profile {video.profile}: hardware encoders have {' and '.join(PROFILES[video.codec])}"
    return ""


def _is_able(encoder: HardwareEncoder, video: media_pb2.Video) -> bool:
    """Where quality is constant, only one family heeds a peak."""
    capped_quality = bool(video.max_bitrate_bps) and not video.HasField("bitrate_bps")
    return encoder.family.suffix == "nvenc" or not capped_quality
