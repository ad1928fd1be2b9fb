"""Clips one after the other without encoding: only where a decoder would not notice where one ends and the next begins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.expected import Expected, ExpectedAudio, ExpectedVideo
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY
from telecine_worker.tasks.clips import Clip, of_input
from telecine_worker.tasks.concat_list import concat_list, list_input
from telecine_worker.tasks.containers import (
    CONTAINERS,
    Container,
    check_codec,
    container_of,
    media_type_of,
    tag_options,
)
from telecine_worker.tasks.edit_lists import listed_pictures
from telecine_worker.tasks.examination import examination
from telecine_worker.tasks.plan import Argument, InputPlace, OutputPlace, Plan, Step

LIST_FILE = "clips.txt"
ENCODE_INSTEAD = "with video or audio set, all would be encoded alike"
TOLERANCE = timedelta(milliseconds=150)
# A clip's sound ends up to a frame after its pictures, and the next one's begins with samples that are only there for the
# decoder to warm up: their packets would overlap. A packet that begins before the one before it ends is left out.
NO_OVERLAP = "noise=drop='lt(dts,ld(0)-1)+0*st(0,if(lt(dts,ld(0)-1),ld(0),dts+duration))'"

_VIDEO = ("codec", "coded_width_px", "coded_height_px", "sample_aspect_ratio", "rotation_degrees", "pixel_format")
_COLORS = ("color_transfer", "color_primaries", "color_space")
_AUDIO = ("codec", "sample_rate_hz", "channel_count", "channel_layout")
_EXTRADATA = "extradata_hash"
_Stream = VideoStream | AudioStream


def plan(task: media_pb2.ConcatTask, clips: Sequence[Clip]) -> Plan:
    """What to run for *task*, which asks for no encoding. Raises AttemptFailed."""
    for clip in clips:
        _check_whole(clip)
        _check_shown(clip)
        _check_same(clips[0], clip)
    container = container_of(task.path)
    first = clips[0].info
    video, audio = (first.video or (None,))[0], clips[0].audio
    if video is None and audio is None:
        raise permanent("INPUT_MISSING_STREAM", f"{of_input(clips[0])} has neither video nor sound")
    _check_rotation(container, video)
    file_name = f"out-0.{container.extension}"
    script = concat_list(LIST_FILE, ((InputPlace(clip.input), None) for clip in clips))
    step = Step(
        argv=(*_argv(container, video, audio), OutputPlace(file_name)),
        duration=_duration(clips),
        frame_count=_frame_count(clips),
        # Nothing is decoded that could be held or filled.
        intact=True,
    )
    streams = [each for each in (video, audio) if each is not None]
    inputs = {clip.input: clip.info for clip in clips}
    examined = tuple(each for name, info in inputs.items() for each in examination(name, info, streams, intact=True))
    artifact = _expected(task.path, file_name, container, clips)
    return Plan(steps=(step,), artifacts=(artifact,), scripts=(script,), examination=examined)


def _expected(path: str, file_name: str, container: Container, clips: Sequence[Clip]) -> Expected:
    """Streams as the first clip has them."""
    video, audio = (clips[0].info.video or (None,))[0], clips[0].audio
    return Expected(
        path=path,
        file_name=file_name,
        media_type=media_type_of(container, has_video=video is not None),
        formats=container.formats,
        exact_streams=True,
        video=None
        if video is None
        else ExpectedVideo(
            codec=video.codec,
            rotation_degrees=video.rotation_degrees,
            sample_aspect_ratio=video.sample_aspect_ratio,
            frame_count=_frame_count(clips),
        ),
        audio=None if audio is None else ExpectedAudio(codec=audio.codec),
        duration=None if any(clip.is_open for clip in clips) else _duration(clips),
        tolerance=TOLERANCE,
        moov_first=container.moov_first,
    )


def _argv(container: Container, video: VideoStream | None, audio: AudioStream | None) -> list[Argument]:
    # An error of reading ends it: without it a clip that cannot be opened is left out, and FFmpeg ends with code 0.
    argv: list[Argument] = [*ABORT_WHEN_EMPTY, "-xerror", *list_input(LIST_FILE)]
    if video is not None:
        check_codec(container, video.codec, video=True)
        argv += ["-map", f"0:{video.index}", "-c:v", "copy", *tag_options(container, video.codec)]
    if audio is not None:
        check_codec(container, audio.codec, video=False)
        argv += ["-map", f"0:{audio.index}", "-c:a", "copy", "-bsf:a", NO_OVERLAP]
    argv += ["-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1"]
    return [*argv, *container.options, "-f", container.muxer]


def _check_whole(clip: Clip) -> None:
    if not clip.part.is_whole:
        raise permanent(
            "OPTION_INVALID",
            f"clips[{clip.number}].trim: what is copied can only be cut at key frames, so clips are copied whole; "
            f"{ENCODE_INSTEAD}",
        )


def _check_shown(clip: Clip) -> None:
    """A list of clips has all pictures of each, at the times that its edit list gives them: they would overlap."""
    hidden = listed_pictures(clip.video, clip.info.format) if clip.info.video else 0
    if hidden:
        raise permanent(
            "OPTION_INVALID",
            f"{of_input(clip)} has {hidden} pictures that its edit list hides, which would be seen where it is copied; "
            f"{ENCODE_INSTEAD}",
        )


def _check_rotation(container: Container, video: VideoStream | None) -> None:
    """FFmpeg 5 does not write it into Matroska, and a transport stream has no place for it."""
    if video is not None and video.rotation_degrees and not container.keeps_rotation:
        keeping = ", ".join(each.extension for each in CONTAINERS.values() if each.keeps_rotation)
        raise permanent(
            "OPTION_INVALID",
            f"the clips are stored turned by {video.rotation_degrees}°, which .{container.extension} does not keep where they "
            f"are copied: a path that ends in one of {keeping} would be right; {ENCODE_INSTEAD}",
        )


def _check_same(first: Clip, clip: Clip) -> None:
    difference = next(_differences(first.info, clip.info), "")
    if difference:
        raise permanent(
            "OPTION_INVALID", f"{of_input(clip)} does not match {of_input(first)}: {difference}; {ENCODE_INSTEAD}"
        )


def _differences(first: MediaInfo, other: MediaInfo) -> Iterator[str]:
    if first.format != other.format:
        yield f"its container is {other.format} instead of {first.format}"
    yield from _stream_differences("video", first.video, other.video, (*_VIDEO, *_COLORS))
    yield from _stream_differences("sound", first.audio, other.audio, _AUDIO)


def _stream_differences(
    kind: str, firsts: Sequence[_Stream], others: Sequence[_Stream], names: Sequence[str]
) -> Iterator[str]:
    """Of the first stream of a kind in each."""
    if not firsts or not others:
        if firsts or others:
            yield f"it has {kind}" if others else f"it has no {kind}"
        return
    first, other = firsts[0], others[0]
    if first.index != other.index:
        yield f"its {kind} is stream {other.index} instead of {first.index}"
    for name in names:
        one, two = getattr(first, name), getattr(other, name)
        if one != two:
            yield f"the {name} of its {kind} is {two or 'unknown'} instead of {one or 'unknown'}"
    if getattr(first, _EXTRADATA) != getattr(other, _EXTRADATA):
        yield f"its {kind} was encoded with other settings"


def _duration(clips: Sequence[Clip]) -> timedelta:
    return sum((clip.part.duration for clip in clips if clip.part.duration is not None), timedelta(0))


def _frame_count(clips: Sequence[Clip]) -> int | None:
    """None where one of them does not say its own."""
    counts = [clip.video.frame_count if clip.info.video else 0 for clip in clips]
    return sum(counts) if all(counts) else None
