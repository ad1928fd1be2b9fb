"""Which options callers may use in raw arguments, and which values they take.

Not here, and so refused: whatever opens or writes a file (-filter_script, -/option, -pass, -x264-params, -attach,
-progress, -report ...), chooses demuxers, muxers or protocols (-f), loads presets or devices, or belongs to the worker
(-y, -threads, -loglevel, -metadata).
"""

from __future__ import annotations

from dataclasses import dataclass

from telecine_worker.ffmpeg import values
from telecine_worker.ffmpeg.filters import PIXEL_FORMATS, SAMPLE_FORMATS
from telecine_worker.ffmpeg.values import Check, amount, integer, number, one_of

VIDEO_ENCODERS = (
    *("libx264", "libx265", "libvpx", "libvpx-vp9", "libsvtav1", "libaom-av1", "mpeg4", "mpeg2video", "mjpeg"),
    *("png", "gif", "libwebp", "ffv1", "prores_ks"),
)
AUDIO_ENCODERS = (
    *("aac", "libopus", "libmp3lame", "flac", "ac3", "eac3", "libvorbis", "alac", "pcm_s16le", "pcm_s24le"),
)
SUBTITLE_ENCODERS = ("mov_text", "srt", "webvtt", "ass")
LIBRARY_ENCODERS = frozenset(name for name in (*VIDEO_ENCODERS, *AUDIO_ENCODERS) if name.startswith("lib"))
"""Of other people's libraries, which a build of FFmpeg may be without."""
X26X_PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)
TUNES = ("film", "animation", "grain", "stillimage", "psnr", "ssim", "fastdecode", "zerolatency")
PROFILES = (
    *("baseline", "main", "high", "high10", "high422", "high444", "main10", "main12", "main422-10", "main444-8"),
    *("main444-10", "aac_low", "aac_ltp", "0", "1", "2", "3", "4", "5"),
)
MOVFLAGS = ("faststart", "frag_keyframe", "empty_moov", "default_base_moof", "frag_every_frame", "separate_moof")


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """*streams* says which stream specifiers it takes: a selection of the letters v, a, s; empty: none."""

    check: Check
    streams: str = ""


def _flags(*words: str) -> Check:
    def check(value: str) -> str | None:
        parts = value.replace("-", "+").lstrip("+").split("+")
        return None if all(part in words for part in parts) else f"some of {', '.join(words)}, each after a +"

    return check


def _either(*checks: Check) -> Check:
    def check(value: str) -> str | None:
        answers = [each(value) for each in checks]
        return None if None in answers else " or ".join(answer for answer in answers if answer)

    return check


FLAGS = frozenset({"-an", "-vn", "-sn", "-dn", "-shortest"})

_CODECS = one_of("copy", *VIDEO_ENCODERS, *AUDIO_ENCODERS, *SUBTITLE_ENCODERS)
_BITRATE = amount(1000, 1_000_000_000)
_QUALITY = number(-1, 100)
_PRESET = _either(one_of(*X26X_PRESETS), integer(0, 13))

OUTPUT_OPTIONS: dict[str, Option] = {
    "-c": Option(check=_CODECS, streams="vas"),
    "-codec": Option(check=_CODECS, streams="vas"),
    "-vcodec": Option(check=one_of("copy", *VIDEO_ENCODERS)),
    "-acodec": Option(check=one_of("copy", *AUDIO_ENCODERS)),
    "-scodec": Option(check=one_of("copy", *SUBTITLE_ENCODERS)),
    "-b": Option(check=_either(_BITRATE, one_of("0")), streams="va"),
    "-maxrate": Option(check=_BITRATE, streams="va"),
    "-minrate": Option(check=_BITRATE, streams="va"),
    "-bufsize": Option(check=_BITRATE, streams="va"),
    "-crf": Option(check=number(0, 63), streams="v"),
    "-qp": Option(check=integer(0, 69), streams="v"),
    "-q": Option(check=_QUALITY, streams="va"),
    "-qscale": Option(check=_QUALITY, streams="va"),
    "-quality": Option(check=_either(number(0, 100), one_of("good", "realtime", "best")), streams="v"),
    "-compression_level": Option(check=integer(0, 12), streams="va"),
    "-preset": Option(check=_PRESET, streams="v"),
    "-tune": Option(check=one_of(*TUNES), streams="v"),
    "-profile": Option(check=one_of(*PROFILES), streams="va"),
    "-level": Option(check=number(1, 63), streams="v"),
    "-pix_fmt": Option(check=one_of(*PIXEL_FORMATS), streams="v"),
    "-g": Option(check=integer(0, 1000), streams="v"),
    "-keyint_min": Option(check=integer(0, 1000), streams="v"),
    "-sc_threshold": Option(check=integer(0, 1000), streams="v"),
    "-bf": Option(check=integer(0, 16), streams="v"),
    "-refs": Option(check=integer(0, 16), streams="v"),
    "-r": Option(check=values.frame_rate, streams="v"),
    "-s": Option(check=values.picture_size, streams="v"),
    "-aspect": Option(check=values.ratio, streams="v"),
    "-fps_mode": Option(check=one_of("cfr", "vfr", "passthrough"), streams="v"),
    "-cpu-used": Option(check=integer(0, 8), streams="v"),
    "-row-mt": Option(check=one_of("0", "1"), streams="v"),
    "-deadline": Option(check=one_of("good", "realtime", "best"), streams="v"),
    "-tag": Option(check=one_of("hvc1", "hev1", "avc1", "mp4v"), streams="v"),
    "-ac": Option(check=integer(1, 8), streams="a"),
    "-ar": Option(check=integer(8000, 192_000), streams="a"),
    "-sample_fmt": Option(check=one_of(*SAMPLE_FORMATS), streams="a"),
    "-vbr": Option(check=one_of("on", "off", "constrained"), streams="a"),
    "-application": Option(check=one_of("voip", "audio", "lowdelay"), streams="a"),
    "-mapping_family": Option(check=one_of("-1", "0", "1"), streams="a"),
    "-movflags": Option(check=_flags(*MOVFLAGS)),
    "-frames": Option(check=integer(1, 100_000_000), streams="va"),
    "-vframes": Option(check=integer(1, 100_000_000)),
    "-t": Option(check=values.time),
    "-to": Option(check=values.time),
    "-ss": Option(check=values.time),
}
"""-vf, -af, -filter and -map are checked by their own grammars; see arguments.py."""

INPUT_OPTIONS: dict[str, Option] = {name: OUTPUT_OPTIONS[name] for name in ("-ss", "-t", "-to")}

GRAPHS = {"-vf": "video", "-af": "audio", "-filter:v": "video", "-filter:a": "audio"}

# What FFmpeg takes for the same, with the streams that it means without a specifier. -t and -to exclude each other.
_SAME: dict[str, tuple[str, str]] = {
    "-codec": ("-c", ""),
    "-vcodec": ("-c", "v"),
    "-acodec": ("-c", "a"),
    "-scodec": ("-c", "s"),
    "-vf": ("-filter", "v"),
    "-af": ("-filter", "a"),
    "-b": ("-b", "v"),
    "-qscale": ("-q", "v"),
    "-profile": ("-profile", "v"),
    "-vframes": ("-frames", "v"),
    "-deadline": ("-quality", ""),
    "-to": ("-t", ""),
}


def canonical(word: str) -> str:
    """One name for all ways to write an option with its streams: -c:v for -vcodec and -codec:v."""
    written, _, streams = word.partition(":")
    name, implied = _SAME.get(written, (written, ""))
    known = OUTPUT_OPTIONS.get(name)
    if known is not None and len(known.streams) == 1:
        implied = known.streams
    streams = streams or implied
    return f"{name}:{streams}" if streams else name
