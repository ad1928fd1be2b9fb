"""What a task needs from its worker, as labels.

Requirements make classes, and classes are bounded (256 in all, 32 a tenant), so whatever every job of a kind needs is folded
into one label, task/<kind>: a worker offers it when its FFmpeg has the demuxers, muxers, filters and FFmpeg's own encoders
that the kind uses. Beside it stands only what depends on the spec and not every worker has: encoder/<name> and filter/<name>
of libraries that a build of FFmpeg may be without, hardware/<codec> where nothing else will do, and storage/<scheme>. All
filters of the allow-list are FFmpeg's own, so no raw filter makes a requirement.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from urllib.parse import urlsplit

from telecine.v1 import media_pb2

VIDEO_ENCODERS: Mapping[str, str] = {
    "h264": "libx264", "h265": "libx265", "vp9": "libvpx-vp9", "av1": "libsvtav1",
}  # fmt: skip
# The other codecs are encoded by FFmpeg itself.
AUDIO_ENCODERS: Mapping[str, str] = {"opus": "libopus", "mp3": "libmp3lame"}
# Encoders of other people's libraries that raw arguments may name. The worker's allow-list has these and FFmpeg's own.
LIBRARY_ENCODERS = frozenset(
    {
        "libx264", "libx265", "libvpx", "libvpx-vp9", "libsvtav1", "libaom-av1", "libwebp",
        "libopus", "libmp3lame", "libvorbis",
    }
)  # fmt: skip
# What FFmpeg, 5.1 as well as 9.0, encodes with where raw arguments do not say. Only libraries: a build that is without one
# makes something else, or fails.
DEFAULT_VIDEO_ENCODERS: Mapping[str, str] = {
    "mp4": "libx264", "mov": "libx264", "mkv": "libx264", "m4a": "libx264", "webm": "libvpx-vp9", "webp": "libwebp",
}  # fmt: skip
DEFAULT_AUDIO_ENCODERS: Mapping[str, str] = {
    "mkv": "libvorbis", "ogg": "libvorbis", "webm": "libopus", "opus": "libopus", "mp3": "libmp3lame",
}  # fmt: skip
# What the ladder of a package, and a preview that is a film, are encoded with.
USUAL_CODEC = "h264"
# Storage that a worker has to be told of; the others need nothing.
STORES = frozenset({"s3", "gs", "az"})
# What a source that is HDR has to be for the ladder that the worker chooses for it.
_OF_LADDERS = media_pb2.Video(codec=USUAL_CODEC, tone_map_to_sdr=True)
_CODEC_OPTIONS = frozenset({"-c", "-codec", "-vcodec", "-acodec", "-scodec"})
_FLAGS = frozenset({"-an", "-vn", "-sn", "-dn", "-shortest"})


def requirements_of(spec: media_pb2.JobSpec) -> frozenset[str]:
    """Everything a worker must offer for this job: what its task needs, and what the caller asks for besides."""
    kind = spec.task.WhichOneof("kind")
    return frozenset({f"task/{kind}", *_of_task(spec.task), *_of_places(spec), *spec.requirements})


def _of_places(spec: media_pb2.JobSpec) -> Iterator[str]:
    uris = [spec.output.uri, *(source.uri for source in spec.inputs.values())]
    yield from (f"storage/{scheme}" for scheme in {urlsplit(uri).scheme for uri in uris} & STORES)


def _of_task(task: media_pb2.Task) -> Iterator[str]:
    match task.WhichOneof("kind"):
        case "transcode":
            yield from _of_streams([task.transcode.video], task.transcode.audio, task.transcode.filters)
        case "packaging":
            videos = [rendition.video for rendition in task.packaging.renditions]
            yield from _of_streams(videos or [_OF_LADDERS], task.packaging.audio, task.packaging.filters)
        case "concat":
            yield from _of_streams([task.concat.video], task.concat.audio)
        case "audio":
            yield from _of_streams([], task.audio.audio)
        case "thumbnails" | "sprites" | "preview" as kind:
            yield from _of_pictures(getattr(task, kind).path)
        case "quality":
            if "vmaf" in task.quality.metrics:
                yield "filter/libvmaf"
        case "ffmpeg":
            yield from (f"encoder/{name}" for name in _named(task.ffmpeg.args))
            yield from (f"encoder/{name}" for name in _chosen(task.ffmpeg.args, frozenset(task.ffmpeg.outputs)))


def _of_streams(
    videos: Iterable[media_pb2.Video], audio: media_pb2.Audio, filters: media_pb2.Filters | None = None
) -> Iterator[str]:
    """A message that is absent is one without a codec, which needs nothing."""
    for video in videos:
        if video.hardware == media_pb2.Video.HARDWARE_REQUIRED:
            yield f"hardware/{video.codec}"
        elif video.codec in VIDEO_ENCODERS:
            # Where hardware is only preferred, this is what does it otherwise.
            yield f"encoder/{VIDEO_ENCODERS[video.codec]}"
        if video.tone_map_to_sdr:
            yield "filter/zscale"
    if audio.codec in AUDIO_ENCODERS:
        yield f"encoder/{AUDIO_ENCODERS[audio.codec]}"
    if filters is not None and filters.burn_subtitles:
        yield "filter/subtitles"


def _of_pictures(path: str) -> Iterator[str]:
    suffix = path.lower().rpartition(".")[2]
    if suffix == "webp":
        yield "encoder/libwebp"
    if suffix == "mp4":
        yield f"encoder/{VIDEO_ENCODERS[USUAL_CODEC]}"


def _named(args: Sequence[str]) -> Iterator[str]:
    """The libraries' encoders that stand after -c, -c:v:0, -vcodec and the like."""
    for option, value in itertools.pairwise(args):
        if option.partition(":")[0] in _CODEC_OPTIONS and value in LIBRARY_ENCODERS:
            yield value


def _chosen(args: Sequence[str], outputs: Set[str]) -> Iterator[str]:
    """The libraries' encoders that FFmpeg chooses by the extension, where nothing else is said of an output."""
    options: list[tuple[str, str]] = []
    words = iter(args)
    for word in words:
        if word in outputs:
            yield from _defaults(word.rpartition(".")[2].lower(), options)
            options = []
        elif word == "-i":
            next(words, "")
            options = []
        else:
            options.append((word, "" if word in _FLAGS else next(words, "")))


def _defaults(extension: str, options: Sequence[tuple[str, str]]) -> Iterator[str]:
    for kind, encoders in (("v", DEFAULT_VIDEO_ENCODERS), ("a", DEFAULT_AUDIO_ENCODERS)):
        if extension in encoders and _is_open(kind, options):
            yield encoders[extension]


def _is_open(kind: str, options: Sequence[tuple[str, str]]) -> bool:
    """Whether there may be a stream of *kind* (v, a) in the output, for which no encoder is named."""
    names = {
        f"-{kind}codec",
        *(f"{option}{of}" for option in ("-c", "-codec") for of in ("", f":{kind}", f":{kind}:0")),
    }
    if any(option == f"-{kind}n" or option in names for option, _ in options):
        return False
    maps = [value for option, value in options if option == "-map" and not value.startswith("-")]
    return not maps or any(_may_map(kind, value) for value in maps)


def _may_map(kind: str, value: str) -> bool:
    """0 and 0:1 may be of any kind; 0:v, 0:a:1 and 0:s? say theirs."""
    _, _, of = value.rstrip("?").partition(":")
    return of.partition(":")[0] == kind or not of or of.isdigit()
