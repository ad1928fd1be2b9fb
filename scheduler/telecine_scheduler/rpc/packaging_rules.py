"""Rules of packaging that look at more than one field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from google.protobuf.duration_pb2 import Duration

from telecine.v1 import media_pb2
from telecine_scheduler.domain.errors import Violation
from telecine_scheduler.rpc import field_rules, stream_rules

DEFAULT_SEGMENT_SECONDS = 6
DEFAULT_GOP_SECONDS = 2
MOST_SEGMENT_SECONDS = 60
# What players take, and segments can hold.
SOUND_CODECS = frozenset({"aac", "ac3", "opus"})
_EIGHT_BITS, _TEN_BITS = "yuv420p", "yuv420p10le"
PIXEL_FORMATS: Mapping[str, tuple[str, ...]] = {
    "h264": (_EIGHT_BITS,), "h265": (_EIGHT_BITS, _TEN_BITS), "av1": (_EIGHT_BITS, _TEN_BITS), "vp9": (_EIGHT_BITS, _TEN_BITS),
}  # fmt: skip
# Names of files that a package has besides those of its renditions.
RESERVED_NAMES = frozenset({"master", "manifest", "audio"})

_FIELD = "spec.task.packaging"
# Fields of a video of which there is more to say here than of others.
_TOLD = frozenset({"two_pass", "pixel_format"})
_NANOS = 1_000_000_000


def packaging_violations(task: media_pb2.PackagingTask) -> Iterator[Violation]:
    """What is wrong with it besides its inputs and filters."""
    yield from _renditions(task)
    yield from _durations(task)
    if task.audio.codec and task.audio.codec not in SOUND_CODECS:
        description = f"cannot be in segments that players take; one of {', '.join(sorted(SOUND_CODECS))} can"
        yield Violation(field=f"{_FIELD}.audio.codec", description=description)
    formats = list(task.formats)
    for index, wanted in enumerate(formats):
        if not wanted or formats.count(wanted) > 1:
            yield Violation(
                field=f"{_FIELD}.formats[{index}]", description="must be FORMAT_HLS or FORMAT_DASH, each once"
            )


def _renditions(task: media_pb2.PackagingTask) -> Iterator[Violation]:
    names = [rendition.name.lower() for rendition in task.renditions]
    for index, (name, rendition) in enumerate(zip(names, task.renditions, strict=True)):
        field = f"{_FIELD}.renditions[{index}]"
        if names.count(name) > 1:
            yield Violation(
                field=f"{field}.name", description="names two renditions; it names files, so each has its own"
            )
        if name in RESERVED_NAMES:
            listed = ", ".join(sorted(RESERVED_NAMES))
            yield Violation(
                field=f"{field}.name", description=f"must be none of {listed}, which are other files' names"
            )
        yield from _video(f"{field}.video", rendition.video)


def _video(field: str, video: media_pb2.Video) -> Iterator[Violation]:
    if video.codec == "copy":
        description = "key frames have to be at the same times in all renditions, so copy cannot be; name a codec"
        yield Violation(field=f"{field}.codec", description=description)
    elif video.pixel_format and video.pixel_format not in PIXEL_FORMATS.get(video.codec, ()):
        shown = " or ".join(PIXEL_FORMATS.get(video.codec, ()))
        yield Violation(field=f"{field}.pixel_format", description=f"players of {video.codec} show {shown} alone")
    if video.two_pass:
        description = "all renditions are encoded at once, in one pass; leave it out"
        yield Violation(field=f"{field}.two_pass", description=description)
    if video.HasField("gop_duration"):
        yield Violation(field=f"{field}.gop_duration", description="is of the task, for all renditions; set that")
    if video.hardware:
        description = "hardware promises no key frames where segments begin; leave it out"
        yield Violation(field=f"{field}.hardware", description=description)
    if video.HasField("frame_rate"):
        yield from field_rules.frame_rate(field, video)
    for each in stream_rules.video(field, video):
        if each.field.rpartition(".")[2] not in _TOLD:
            yield each


def _durations(task: media_pb2.PackagingTask) -> Iterator[Violation]:
    segment = _nanos(task.segment_duration) or DEFAULT_SEGMENT_SECONDS * _NANOS
    gop = _nanos(task.gop_duration) or DEFAULT_GOP_SECONDS * _NANOS
    if segment > MOST_SEGMENT_SECONDS * _NANOS:
        yield Violation(
            field=f"{_FIELD}.segment_duration",
            description=f"is at most {MOST_SEGMENT_SECONDS} s, which a player waits for",
        )
    if gop > 0 and segment % gop:
        said = "segment_duration" if task.HasField("segment_duration") else "gop_duration"
        description = (
            f"segments of {segment / _NANOS:g} s are no multiple of gop_duration, {gop / _NANOS:g} s; the default is "
            f"segments of {DEFAULT_SEGMENT_SECONDS} s and a gop_duration of {DEFAULT_GOP_SECONDS} s"
        )
        yield Violation(field=f"{_FIELD}.{said}", description=description)


def _nanos(duration: Duration) -> int:
    return duration.seconds * _NANOS + duration.nanos
