"""Containers by file extension: FFmpeg's muxer, what it may hold, and what probing calls it."""

from __future__ import annotations

from dataclasses import dataclass

from telecine_worker.failure import permanent
from telecine_worker.tasks.extensions import by_extension

_ISO = ("mov,mp4,m4a,3gp,3g2,mj2",)
_MATROSKA = ("matroska,webm",)
_ANY_VIDEO = frozenset({"h264", "hevc", "vp9", "av1", "vp8", "mpeg4", "mpeg2video", "ffv1", "prores", "mjpeg"})
_ANY_AUDIO = frozenset({"aac", "opus", "mp3", "flac", "ac3", "eac3", "vorbis", "alac", "pcm_s16le", "pcm_s24le"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """*video* and *audio* are FFmpeg's names of the codecs it may hold; *formats* what ffprobe may call the file. With
    *keeps_rotation* it says how pictures that are stored lying are to be turned, by every version of FFmpeg.
    """

    extension: str
    muxer: str
    media_type: str
    formats: tuple[str, ...]
    video: frozenset[str] = frozenset()
    audio: frozenset[str] = frozenset()
    options: tuple[str, ...] = ()
    moov_first: bool = False
    keeps_rotation: bool = False

    @property
    def keeps_gaps(self) -> bool:
        """Whether what follows a gap of the sound is heard when it was; else at once."""
        return self.muxer not in _WITHOUT_TIMES


# Some of which have times that players pass over.
_WITHOUT_TIMES = frozenset({"mp3", "ogg", "opus", "flac", "wav"})
_FASTSTART = ("-movflags", "+faststart")

CONTAINERS: dict[str, Container] = {
    container.extension: container
    for container in (
        Container(
            extension="mp4",
            muxer="mp4",
            media_type="video/mp4",
            formats=_ISO,
            video=frozenset({"h264", "hevc", "vp9", "av1", "mpeg4", "mpeg2video"}),
            audio=frozenset({"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac"}),
            options=_FASTSTART,
            moov_first=True,
            keeps_rotation=True,
        ),
        Container(
            extension="mov",
            muxer="mov",
            media_type="video/quicktime",
            formats=_ISO,
            video=frozenset({"h264", "hevc", "mpeg4", "mpeg2video", "prores", "mjpeg"}),
            audio=frozenset({"aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s24le"}),
            options=_FASTSTART,
            moov_first=True,
            keeps_rotation=True,
        ),
        Container(
            extension="mkv",
            muxer="matroska",
            media_type="video/x-matroska",
            formats=_MATROSKA,
            video=_ANY_VIDEO,
            audio=_ANY_AUDIO,
        ),
        Container(
            extension="webm",
            muxer="webm",
            media_type="video/webm",
            formats=_MATROSKA,
            video=frozenset({"vp8", "vp9", "av1"}),
            audio=frozenset({"opus", "vorbis"}),
        ),
        Container(
            extension="ts",
            muxer="mpegts",
            media_type="video/mp2t",
            formats=("mpegts",),
            video=frozenset({"h264", "hevc", "mpeg2video"}),
            audio=frozenset({"aac", "mp3", "ac3", "eac3"}),
        ),
        Container(
            extension="m4a",
            muxer="ipod",
            media_type="audio/mp4",
            formats=_ISO,
            audio=frozenset({"aac", "ac3", "alac"}),
            options=_FASTSTART,
            moov_first=True,
        ),
        Container(extension="mp3", muxer="mp3", media_type="audio/mpeg", formats=("mp3",), audio=frozenset({"mp3"})),
        Container(
            extension="ogg",
            muxer="ogg",
            media_type="audio/ogg",
            formats=("ogg",),
            audio=frozenset({"opus", "vorbis", "flac"}),
        ),
        Container(extension="opus", muxer="opus", media_type="audio/ogg", formats=("ogg",), audio=frozenset({"opus"})),
        Container(
            extension="flac", muxer="flac", media_type="audio/flac", formats=("flac",), audio=frozenset({"flac"})
        ),
        Container(
            extension="wav",
            muxer="wav",
            media_type="audio/wav",
            formats=("wav",),
            audio=frozenset({"pcm_s16le", "pcm_s24le"}),
        ),
    )
}


def container_of(path: str) -> Container:
    """By the extension of *path*. Raises AttemptFailed UNSUPPORTED_CONTAINER."""
    return by_extension(CONTAINERS, path)


def check_codec(container: Container, codec: str, *, video: bool) -> None:
    """Raise AttemptFailed CODEC_NOT_IN_CONTAINER when *container* cannot hold *codec* (FFmpeg's name)."""
    field, allowed = ("video.codec", container.video) if video else ("audio.codec", container.audio)
    if codec in allowed:
        return
    kind = "video" if video else "audio"
    right = f"one of {', '.join(sorted(allowed))}" if allowed else f"a path of another extension, or no {kind}"
    fitting = [c.extension for c in CONTAINERS.values() if codec in (c.video if video else c.audio)]
    elsewhere = f"; {codec} goes into {', '.join(fitting)}" if fitting else ""
    raise permanent(
        "CODEC_NOT_IN_CONTAINER",
        f"{field}: .{container.extension} cannot hold {codec}: {right} would be right{elsewhere}",
    )


def media_type_of(container: Container, *, has_video: bool) -> str:
    """Of a file; one that has no video in a container for video is of sound."""
    if has_video or not container.media_type.startswith("video/"):
        return container.media_type
    return "audio/" + container.media_type.removeprefix("video/")


def tag_options(container: Container, codec: str) -> list[str]:
    """Players of Apple take H.265 only under this tag."""
    return ["-tag:v", "hvc1"] if codec == "hevc" and container.muxer in ("mp4", "mov") else []
