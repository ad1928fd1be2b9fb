"""The options of `telecine transcode` as a spec."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath

from telecine.v1 import media_pb2
from telecine_client.cli.exits import UsageError
from telecine_client.cli.locations import split_output, to_uri
from telecine_client.spec import transcode

NONE = "none"
# Codecs that are usual in a container: video and audio by the output's extension.
_USUAL = {
    "mp4": ("h264", "aac"),
    "mov": ("h264", "aac"),
    "mkv": ("h264", "aac"),
    "ts": ("h264", "aac"),
    "webm": ("vp9", "opus"),
    "m4a": (NONE, "aac"),
    "mp3": (NONE, "mp3"),
    "ogg": (NONE, "opus"),
    "opus": (NONE, "opus"),
    "flac": (NONE, "flac"),
    "wav": (NONE, "pcm_s16le"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """What the caller chose; None leaves the choice to the container or the encoder."""

    height_px: int | None = None
    width_px: int | None = None
    crf: int | None = None
    bitrate_bps: int | None = None
    codec: str | None = None
    preset: str | None = None
    two_pass: bool = False
    audio_codec: str | None = None
    audio_bitrate_bps: int | None = None
    start: timedelta | None = None
    end: timedelta | None = None


def transcode_spec(source: str, target: str, chosen: Encoding) -> media_pb2.JobSpec:
    """The spec for one local path or URI to another. Raises UsageError for what no scheduler could make sense of."""
    output_uri, path = split_output(target)
    usual_video, usual_audio = _usual_codecs(path, chosen)
    codec, audio_codec = chosen.codec or usual_video, chosen.audio_codec or usual_audio
    return transcode(
        to_uri(source),
        output_uri,
        path,
        video=None if codec == NONE else _video(codec, chosen),
        audio=None if audio_codec == NONE else _audio(audio_codec, chosen),
        start=chosen.start,
        end=chosen.end,
    )


def _usual_codecs(path: str, chosen: Encoding) -> tuple[str, str]:
    extension = PurePosixPath(path).suffix.removeprefix(".").lower()
    if extension in _USUAL:
        return _USUAL[extension]
    if chosen.codec and chosen.audio_codec:
        return chosen.codec, chosen.audio_codec
    raise UsageError(f"{path}: the container follows the extension; write one of {', '.join(sorted(_USUAL))}")


def _video(codec: str, chosen: Encoding) -> media_pb2.Video:
    if chosen.crf is not None and chosen.bitrate_bps is not None:
        raise UsageError("--crf and --bitrate exclude each other: one is for quality, the other for size")
    video = media_pb2.Video(
        codec=codec,
        width_px=chosen.width_px or 0,
        height_px=chosen.height_px or 0,
        two_pass=chosen.two_pass,
        preset=chosen.preset or "",
    )
    if chosen.crf is not None:
        video.crf = chosen.crf
    if chosen.bitrate_bps is not None:
        video.bitrate_bps = chosen.bitrate_bps
    return video


def _audio(codec: str, chosen: Encoding) -> media_pb2.Audio:
    return media_pb2.Audio(codec=codec, bitrate_bps=chosen.audio_bitrate_bps or 0)
