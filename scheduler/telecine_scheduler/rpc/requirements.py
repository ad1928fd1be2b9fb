"""What a task needs from its worker, as labels.

Requirements make classes, and classes are bounded (256 in all, 32 a tenant), so whatever every job of a kind needs is folded
into one label, task/<kind>: a worker offers it when its FFmpeg has the demuxers, muxers, filters and FFmpeg's own encoders
that the kind uses. Beside it stands only what depends on the spec and comes from a library that a build of FFmpeg may be
without: encoder/<name>. All filters of the allow-list are FFmpeg's own, so no filter makes a requirement.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence, Set

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
_CODEC_OPTIONS = frozenset({"-c", "-codec", "-vcodec", "-acodec", "-scodec"})
_FLAGS = frozenset({"-an", "-vn", "-sn", "-dn", "-shortest"})


def requirements_of(spec: media_pb2.JobSpec) -> frozenset[str]:
    """Everything a worker must offer for this job: what its task needs, and what the caller asks for besides."""
    kind = spec.task.WhichOneof("kind")
    encoders = {f"encoder/{name}" for name in _encoders(spec.task)}
    return frozenset({f"task/{kind}", *encoders, *spec.requirements})


def _encoders(task: media_pb2.Task) -> Iterator[str]:
    match task.WhichOneof("kind"):
        case "transcode":
            yield from _known(VIDEO_ENCODERS, task.transcode.video.codec)
            yield from _known(AUDIO_ENCODERS, task.transcode.audio.codec)
        case "thumbnails":
            if task.thumbnails.path.lower().endswith(".webp"):
                yield "libwebp"
        case "ffmpeg":
            yield from _named(task.ffmpeg.args)
            yield from _chosen(task.ffmpeg.args, frozenset(task.ffmpeg.outputs))


def _known(encoders: Mapping[str, str], codec: str) -> Iterator[str]:
    if codec in encoders:
        yield encoders[codec]


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
