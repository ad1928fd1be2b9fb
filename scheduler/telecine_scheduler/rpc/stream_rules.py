"""Rules of how streams are encoded, as far as the spec alone shows them: what a container holds, and what encoders take."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Set
from dataclasses import dataclass

from telecine.v1 import media_pb2
from telecine_scheduler.domain.errors import Violation
from telecine_scheduler.rpc.field_rules import suffix_of

COPY = "copy"
# By extension, in the contract's words.
VIDEO_OF: Mapping[str, Set[str]] = {
    "mp4": {"h264", "h265", "vp9", "av1"}, "mov": {"h264", "h265"}, "mkv": {"h264", "h265", "vp9", "av1"},
    "webm": {"vp9", "av1"}, "ts": {"h264", "h265"}, "m4a": set(), "mp3": set(), "ogg": set(), "opus": set(), "flac": set(),
    "wav": set(),
}  # fmt: skip
AUDIO_OF: Mapping[str, Set[str]] = {
    "mp4": {"aac", "mp3", "ac3", "opus", "flac"}, "mov": {"aac", "mp3", "ac3", "pcm_s16le"},
    "mkv": {"aac", "opus", "mp3", "flac", "ac3", "pcm_s16le"}, "webm": {"opus"}, "ts": {"aac", "mp3", "ac3"},
    "m4a": {"aac", "ac3"}, "mp3": {"mp3"}, "ogg": {"opus", "flac"}, "opus": {"opus"}, "flac": {"flac"}, "wav": {"pcm_s16le"},
}  # fmt: skip
_FAMILIAR = (
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow",
)  # fmt: skip
_EIGHT, _TEN = "yuv420p", "yuv420p10le"
_DEPTHS = {8: "", 10: "10le", 12: "12le"}


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRules:
    """What the encoder of a codec takes. *profiles* has with each the pixel formats that it has. *hardware_profiles* and
    *hardware_pixel_formats*: what one of hardware does.
    """

    presets: Collection[str]
    profiles: Mapping[str, Collection[str]]
    pixel_formats: Collection[str]
    hardware_profiles: Collection[str]
    hardware_pixel_formats: Collection[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioRules:
    """What the encoder of a codec takes. No *rates*: any. *bps* and *bps_per_channel* are the most; 0: it is lossless."""

    rates: tuple[int, ...] = ()
    max_channels: int = 8
    bps_per_channel: int = 0
    bps: int = 0


def _numbers(last: int) -> tuple[str, ...]:
    return tuple(map(str, range(last + 1)))


def _up_to(chroma: int, bits: int) -> tuple[str, ...]:
    """The pixel formats with at most so much."""
    ends = [end for depth, end in _DEPTHS.items() if depth <= bits]
    return tuple(f"yuv{each}p{end}" for end in ends for each in (420, 422, 444) if each <= chroma)


VIDEO: Mapping[str, VideoRules] = {
    "h264": VideoRules(
        presets=_FAMILIAR, pixel_formats=_up_to(444, 10),
        profiles={
            **dict.fromkeys(("baseline", "main", "high"), (_EIGHT,)), "high10": _up_to(420, 10), "high422": _up_to(422, 10),
            "high444": _up_to(444, 10),
        },
        hardware_profiles=("main", "high"), hardware_pixel_formats=(_EIGHT,),
    ),
    "h265": VideoRules(
        presets=_FAMILIAR, pixel_formats=_up_to(444, 12),
        profiles={
            "main": (_EIGHT,), "main10": _up_to(420, 10), "main12": _up_to(420, 12), "main422-10": _up_to(422, 10),
            "main422-12": _up_to(422, 12), "main444-8": _up_to(444, 8), "main444-10": _up_to(444, 10),
            "main444-12": _up_to(444, 12),
        },
        hardware_profiles=("main", "main10"), hardware_pixel_formats=(_EIGHT, _TEN),
    ),
    "vp9": VideoRules(
        presets=_numbers(8), pixel_formats=_up_to(444, 10),
        profiles={"0": (_EIGHT,), "1": ("yuv422p", "yuv444p"), "2": (_TEN,), "3": ("yuv422p10le", "yuv444p10le")},
        hardware_profiles=("0",), hardware_pixel_formats=(_EIGHT,),
    ),
    "av1": VideoRules(
        presets=_numbers(13), profiles={"main": (_EIGHT, _TEN)}, pixel_formats=(_EIGHT, _TEN),
        hardware_profiles=("main",), hardware_pixel_formats=(_EIGHT, _TEN),
    ),
}  # fmt: skip
_MPEG_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
AUDIO: Mapping[str, AudioRules] = {
    "aac": AudioRules(rates=(*_MPEG_RATES, 64000, 88200, 96000), bps_per_channel=256_000, bps=2_000_000),
    "opus": AudioRules(rates=(8000, 12000, 16000, 24000, 48000), bps_per_channel=256_000, bps=2_000_000),
    "mp3": AudioRules(rates=_MPEG_RATES, max_channels=2, bps_per_channel=320_000, bps=320_000),
    "flac": AudioRules(),
    "ac3": AudioRules(rates=(32000, 44100, 48000), max_channels=6, bps_per_channel=640_000, bps=640_000),
    "pcm_s16le": AudioRules(),
}


def container(
    field: str, task: media_pb2.TranscodeTask | media_pb2.ConcatTask | media_pb2.AudioTask
) -> Iterator[Violation]:
    """Whether the file at the task's path can hold what the task makes. What is copied is known when it is there."""
    extension = suffix_of(task.path)
    # An extension that is none is told elsewhere.
    if extension not in VIDEO_OF:
        return
    if not isinstance(task, media_pb2.AudioTask) and task.video.codec:
        yield from _held(f"{field}.video", "video", task.video.codec, extension, VIDEO_OF)
    if task.audio.codec:
        yield from _held(f"{field}.audio", "audio", task.audio.codec, extension, AUDIO_OF)


def _held(field: str, name: str, codec: str, extension: str, held: Mapping[str, Set[str]]) -> Iterator[Violation]:
    if not held[extension]:
        yield Violation(field=field, description=f".{extension} holds no {name}; leave it out")
    elif codec != COPY and codec not in held[extension]:
        listed = ", ".join(sorted(held[extension]))
        elsewhere = ", ".join(sorted(each for each in held if codec in held[each]))
        description = f".{extension} cannot hold {codec}; it holds {listed}, and {codec} goes into {elsewhere}"
        yield Violation(field=f"{field}.codec", description=description)


def video(field: str, wanted: media_pb2.Video) -> Iterator[Violation]:
    """What the encoder of its codec does not take."""
    rules = VIDEO.get(wanted.codec)
    if rules is None:
        return
    if wanted.preset and wanted.preset not in rules.presets:
        yield _none_of(f"{field}.preset", wanted.codec, rules.presets)
    if wanted.profile and wanted.profile not in rules.profiles:
        yield _none_of(f"{field}.profile", wanted.codec, rules.profiles)
    if wanted.pixel_format and wanted.pixel_format not in rules.pixel_formats:
        yield _none_of(f"{field}.pixel_format", wanted.codec, rules.pixel_formats)
    if wanted.profile:
        yield from _profile(field, wanted, rules)
    if wanted.two_pass or wanted.max_bitrate_bps:
        yield from (Violation(field=f"{field}.{name}", description=text) for name, text in _rate_control(wanted))
    if wanted.hardware and wanted.hardware == media_pb2.Video.HARDWARE_REQUIRED:
        yield from (Violation(field=f"{field}.{name}", description=text) for name, text in _hardware(wanted, rules))


def _none_of(field: str, codec: str, allowed: Collection[str]) -> Violation:
    return Violation(field=field, description=f"{codec} is encoded with one of {', '.join(allowed)}")


def _profile(field: str, wanted: media_pb2.Video, rules: VideoRules) -> Iterator[Violation]:
    """Which pixel formats it has. Where none is said, there are eight bits, or ten of what is HDR."""
    possible = {wanted.pixel_format} if wanted.pixel_format in rules.pixel_formats else {_EIGHT, _TEN}
    held = rules.profiles.get(wanted.profile)
    if held is None or possible & set(held):
        return
    fitting = ", ".join(name for name, formats in rules.profiles.items() if possible & set(formats))
    description = f"has pixel_format {', '.join(held)}; {' or '.join(sorted(possible))} would be right with {fitting}"
    yield Violation(field=f"{field}.profile", description=description)


def _rate_control(wanted: media_pb2.Video) -> Iterator[tuple[str, str]]:
    average, peak = wanted.HasField("bitrate_bps"), wanted.max_bitrate_bps
    if wanted.codec == "av1" and wanted.two_pass:
        yield "two_pass", "SVT-AV1 runs in one pass; leave it out, or use vp9"
    if wanted.codec == "av1" and average and peak:
        yield "max_bitrate_bps", "SVT-AV1 caps constant quality alone; leave bitrate_bps out, or this"
    if average and 0 < peak < wanted.bitrate_bps:
        yield "max_bitrate_bps", f"is below bitrate_bps; at least {wanted.bitrate_bps} would be right"


def _hardware(wanted: media_pb2.Video, rules: VideoRules) -> Iterator[tuple[str, str]]:
    """What no hardware encoder does."""
    instead = "leave it out, or prefer hardware instead of requiring it"
    if wanted.two_pass:
        yield "two_pass", f"hardware encoders run in one pass; {instead}"
    for name, allowed in (("pixel_format", rules.hardware_pixel_formats), ("profile", rules.hardware_profiles)):
        if getattr(wanted, name) and getattr(wanted, name) not in allowed:
            yield name, f"hardware encodes {wanted.codec} with {' or '.join(allowed)} alone; {instead}"


def audio(field: str, wanted: media_pb2.Audio) -> Iterator[Violation]:
    """What the encoder of its codec does not take, whatever the source is."""
    rules = AUDIO.get(wanted.codec)
    if rules is None:
        return
    if wanted.sample_rate_hz and rules.rates and wanted.sample_rate_hz not in rules.rates:
        description = f"{wanted.codec} has one of {', '.join(map(str, rules.rates))}"
        yield Violation(field=f"{field}.sample_rate_hz", description=description)
    if wanted.channel_count > rules.max_channels:
        description = f"{wanted.codec} has at most {rules.max_channels}"
        yield Violation(field=f"{field}.channel_count", description=description)
    if not wanted.bitrate_bps:
        return
    channels = min(wanted.channel_count or rules.max_channels, rules.max_channels)
    most = min(rules.bps, rules.bps_per_channel * channels)
    if wanted.bitrate_bps > most > 0:
        description = f"{wanted.codec} with {channels} channels has at most {most}"
        yield Violation(field=f"{field}.bitrate_bps", description=description)
