"""FfmpegTask: arguments of the caller, checked, with the worker's own around them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import timedelta

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg import arguments, whitelists
from telecine_worker.ffmpeg.arguments import Arguments, InputArguments, OutputArguments
from telecine_worker.ffmpeg.expected import Expected
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.ffmpeg.options import AUDIO_ENCODERS, GRAPHS, SUBTITLE_ENCODERS, VIDEO_ENCODERS
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY
from telecine_worker.ffmpeg.values import LONGEST_TIME_SECONDS, MOST_SLOWING, time_seconds
from telecine_worker.tasks.containers import CONTAINERS
from telecine_worker.tasks.encoders import check_encoder
from telecine_worker.tasks.examination import examination
from telecine_worker.tasks.least_length import least_length
from telecine_worker.tasks.plan import Argument, InputPlace, OutputPlace, Plan, Step

COPY = "copy"
_CODECS = ("-c", "-codec", "-vcodec", "-acodec", "-scodec")
# Beyond what the slowest filters make of an input: the lengths that containers say are about right.
_SLACK_SECONDS = 60
_LENGTHS = ("-t", "-to")
_SHORTENING = ("-ss", "-frames", "-vframes", "-shortest", "-r")
# Also those that leave out what a low rate has no place for.
_CHANGING_TIME = re.compile(r"(?:^|,)(?:a?trim|a?setpts|atempo|fps)\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileType:
    """What a file of an extension is; *formats* is what probing may call it."""

    muxer: tuple[str, ...]
    media_type: str
    formats: tuple[str, ...]
    has_video: bool = False
    decodable: bool = True


def _picture(media_type: str, *formats: str) -> FileType:
    # image2 numbers its files unless it is told to write one and the same.
    muxer = ("-update", "1", "-f", "image2")
    return FileType(muxer=muxer, media_type=media_type, formats=formats, has_video=True)


FILE_TYPES: dict[str, FileType] = {
    **{
        extension: FileType(
            muxer=("-f", container.muxer),
            media_type=container.media_type,
            formats=container.formats,
            has_video=bool(container.video),
        )
        for extension, container in CONTAINERS.items()
    },
    "aac": FileType(muxer=("-f", "adts"), media_type="audio/aac", formats=("aac",)),
    "ac3": FileType(muxer=("-f", "ac3"), media_type="audio/ac3", formats=("ac3",)),
    "gif": FileType(muxer=("-f", "gif"), media_type="image/gif", formats=("gif",), has_video=True),
    "jpg": _picture("image/jpeg", "jpeg_pipe", "image2"),
    "jpeg": _picture("image/jpeg", "jpeg_pipe", "image2"),
    "png": _picture("image/png", "png_pipe", "image2"),
    "webp": FileType(muxer=("-f", "webp"), media_type="image/webp", formats=("webp_pipe", "webp_anim"), has_video=True),
    "srt": FileType(muxer=("-f", "srt"), media_type="application/x-subrip", formats=(), decodable=False),
    "vtt": FileType(muxer=("-f", "webvtt"), media_type="text/vtt", formats=(), decodable=False),
}


def input_names(task: media_pb2.FfmpegTask) -> frozenset[str]:
    """The inputs that *task* uses. Raises AttemptFailed where the arguments are not allowed."""
    return frozenset(each.name for each in _parsed(task).inputs)


def plan(task: media_pb2.FfmpegTask, inputs: Mapping[str, MediaInfo], encoders: Set[str]) -> Plan:
    """What to run for *task*. Raises AttemptFailed ARGUMENT_NOT_ALLOWED, UNSUPPORTED_CONTAINER, ENCODER_MISSING."""
    parsed = _parsed(task)
    _check_encoders(parsed, encoders)
    argv: list[Argument] = [*ABORT_WHEN_EMPTY]
    for each in parsed.inputs:
        argv += [token for pair in each.options for token in pair]
        argv += [*whitelists.BEFORE_INPUT, "-i", InputPlace(each.name)]
    expected = []
    longest = _longest(parsed, inputs)
    most = _most_seconds(longest)
    for number, output in enumerate(parsed.outputs):
        file_type = file_type_of(output.path)
        file_name = f"out-{number}.{_extension(output.path)}"
        argv += [*_output_options(output, file_type, most), *file_type.muxer, OutputPlace(file_name)]
        expected.append(_expected(output.path, file_name, file_type))
    order = {path: position for position, path in enumerate(task.outputs)}
    is_cut = any(_is_longer(output, most) for output in parsed.outputs)
    step = Step(
        argv=tuple(argv),
        duration=_duration(parsed, longest),
        most_duration=timedelta(seconds=most) if is_cut else None,
        least_duration=_least(parsed, inputs),
    )
    return Plan(
        steps=(step,),
        artifacts=tuple(sorted(expected, key=lambda each: order[each.path])),
        examination=_examination(parsed, inputs),
    )


def _examination(parsed: Arguments, inputs: Mapping[str, MediaInfo]) -> tuple[Step, ...]:
    """Where anything is copied: which streams these are is for FFmpeg to choose."""
    copies = any(_is_codec(option) and value == COPY for output in parsed.outputs for option, value in output.options)
    names = dict.fromkeys(each.name for each in parsed.inputs) if copies else ()
    return tuple(
        step for name in names for step in examination(name, inputs[name], [*inputs[name].video, *inputs[name].audio])
    )


def _least(parsed: Arguments, inputs: Mapping[str, MediaInfo]) -> timedelta | None:
    """Of one file that is made from the whole of another; None where that is not sure."""
    each, output = parsed.inputs[0], parsed.outputs[0]
    container = CONTAINERS.get(_extension(output.path))
    if container is None or each.options or len(parsed.inputs) > 1 or len(parsed.outputs) > 1:
        return None
    if output.has("-map", *_LENGTHS, *_SHORTENING) or _changes_time(output):
        return None
    info = inputs[each.name]
    kept: list[VideoStream | AudioStream] = [
        *(info.video if container.video and not output.has("-vn") else ()),
        *(info.audio if not output.has("-an") else ()),
    ]
    # Of several of a kind FFmpeg chooses one.
    return least_length(info, kept) if len(info.video) <= 1 and len(info.audio) <= 1 else None


def _changes_time(output: OutputArguments) -> bool:
    graphs = [value or "" for option, value in output.options if option in GRAPHS]
    return any(_CHANGING_TIME.search(graph) for graph in graphs)


def _is_codec(option: str) -> bool:
    return option.partition(":")[0] in _CODECS


def file_type_of(path: str) -> FileType:
    """By extension. Raises AttemptFailed UNSUPPORTED_CONTAINER."""
    known = FILE_TYPES.get(_extension(path))
    if known is None:
        raise permanent(
            "UNSUPPORTED_CONTAINER", f"output {path!r} has no known extension; one of {', '.join(FILE_TYPES)} is right"
        )
    return known


def _parsed(task: media_pb2.FfmpegTask) -> Arguments:
    return arguments.parse(task.args, task.outputs)


def _extension(path: str) -> str:
    return path.rpartition("/")[2].rpartition(".")[2].lower()


def _check_encoders(parsed: Arguments, encoders: Set[str]) -> None:
    known = (*VIDEO_ENCODERS, *AUDIO_ENCODERS, *SUBTITLE_ENCODERS)
    for output in parsed.outputs:
        for option, value in output.options:
            if _is_codec(option) and value in known:
                check_encoder(value, encoders)


def _output_options(output: OutputArguments, file_type: FileType, most_seconds: float) -> list[str]:
    """The caller's, then ours: last wins, and where defaults differ between versions of FFmpeg they are said. No output is
    without an end: times of a source may leap, and what fills a gap has none of its own.
    """
    is_cut = _is_longer(output, most_seconds)
    kept = [pair for pair in output.options if not is_cut or pair[0] not in _LENGTHS]
    options = [token for pair in kept for token in pair if token is not None]
    options += ["-t", f"{most_seconds:.3f}"] if is_cut else []
    if file_type.has_video and not output.has("-vn", "-fps_mode"):
        options += ["-fps_mode", "cfr" if output.has("-r") else "vfr"]
    options += [] if output.has("-sn") or _wants_subtitles(output, file_type) else ["-sn"]
    options += [] if output.has("-dn") else ["-dn"]
    # Attached files, such as fonts, cannot be kept: their names are metadata, and we keep none.
    options += [token for each in _mapped_whole(output) for token in ("-map", f"-{each}:t?")]
    return [*options, "-map_metadata", "-1", "-map_chapters", "-1"]


def _mapped_whole(output: OutputArguments) -> list[str]:
    """The numbers of inputs of which all streams are mapped."""
    return [value for option, value in output.options if option == "-map" and value is not None and value.isdigit()]


def _wants_subtitles(output: OutputArguments, file_type: FileType) -> bool:
    names_them = output.has("-scodec") or any(option.startswith(("-c:s", "-codec:s")) for option, _ in output.options)
    maps_them = any(option == "-map" and _may_be_subtitles(value or "") for option, value in output.options)
    return names_them or (maps_them and file_type.muxer[-1] != "image2") or not file_type.decodable


def _may_be_subtitles(mapped: str) -> bool:
    """0 and 0:2 may be streams of any kind; 0:v and 0:a:1 say theirs."""
    _, _, stream = mapped.partition(":")
    return not stream or stream[0] == "s" or stream[0].isdigit()


def _expected(path: str, file_name: str, file_type: FileType) -> Expected:
    return Expected(
        path=path,
        file_name=file_name,
        media_type=file_type.media_type,
        formats=file_type.formats,
        decodable=file_type.decodable,
    )


def _longest(parsed: Arguments, inputs: Mapping[str, MediaInfo]) -> float | None:
    """How long an output may be in seconds, filters aside; None where it cannot be told."""
    lengths = [_input_length(each, inputs[each.name]) for each in parsed.inputs]
    known = [length for length in lengths if length is not None]
    return max(known, default=None) if len(known) == len(lengths) else None


def _most_seconds(longest: float | None) -> float:
    """How long an output may be in seconds, whatever its filters do."""
    most = LONGEST_TIME_SECONDS if longest is None else max(longest, 0.0) * MOST_SLOWING + _SLACK_SECONDS
    return min(most, LONGEST_TIME_SECONDS)


def _is_longer(output: OutputArguments, most_seconds: float) -> bool:
    """Whether the caller allows it to be."""
    asked = _output_length(output, None)
    return asked is None or asked > most_seconds


def _duration(parsed: Arguments, longest: float | None) -> timedelta | None:
    """Of what will be encoded, as far as it can be told: what progress counts to. Filters that change time are not
    counted.
    """
    wanted = [_output_length(output, longest) for output in parsed.outputs]
    if any(length is None for length in wanted):
        return None
    return timedelta(seconds=max(0.0, *(length for length in wanted if length is not None), 0.0))


def _input_length(each: InputArguments, info: MediaInfo) -> float | None:
    options = {name: time_seconds(value) for name, value in each.options}
    start = options.get("-ss", 0.0)
    limits = [options["-t"]] if "-t" in options else []
    limits += [options["-to"] - start] if "-to" in options else []
    limits += [info.duration.total_seconds() - start] if info.duration is not None else []
    return min(limits, default=None)


def _output_length(output: OutputArguments, longest: float | None) -> float | None:
    start = _time(output, "-ss") or 0.0
    limits = [limit for limit in (_time(output, "-t"),) if limit is not None]
    end = _time(output, "-to")
    limits += [end - start] if end is not None else []
    limits += [longest - start] if longest is not None else []
    return min(limits, default=None)


def _time(output: OutputArguments, name: str) -> float | None:
    value = output.value(name)
    return None if value is None else time_seconds(value)
