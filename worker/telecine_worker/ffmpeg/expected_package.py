"""What a finished package (HLS, DASH) has to be: made by its planner together with the arguments, checked by verification."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from telecine_worker.ffmpeg.expected import Expected

MUXER_MANIFEST = "package.mpd"
"""What FFmpeg writes and nobody reads."""
# No rendition has a name that begins with an underscore.
MUXER_INIT = "_init_$RepresentationID$.mp4"
MUXER_SEGMENT = "_$RepresentationID$_$Number%05d$.m4s"

MASTER = "master.m3u8"
MANIFEST = "manifest.mpd"
SOUND_NAME = "audio"
RESERVED_NAMES = frozenset({"master", "manifest", SOUND_NAME})
"""A rendition with one of these would share files with others."""

HLS_TYPE = "application/vnd.apple.mpegurl"
DASH_TYPE = "application/dash+xml"
SEGMENT_TYPE = "video/iso.segment"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedTrack:
    """A rendition, or the sound. *stream* is what its first segment turns out to be together with its init segment. *language*
    is as the source says it, empty where it does not.
    """

    name: str
    stream: Expected
    frame_rate: Fraction | None = None
    language: str = ""

    @property
    def playlist(self) -> str:
        """The file name of its HLS playlist."""
        return f"{self.name}.m3u8"

    @property
    def init(self) -> str:
        """The file name of its init segment."""
        return f"init_{self.name}.mp4"

    def segment(self, number: int) -> str:
        """The file name of segment *number*, from 1."""
        return f"{self.name}_{number:05d}.m4s"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedPackage:
    """*tracks* in the order of the muxer's streams, pictures first. *segment_seconds* is a multiple of *gop_seconds*; both are
    whole numbers of frames of every rendition.
    """

    directory: str
    tracks: tuple[ExpectedTrack, ...]
    gop_seconds: Fraction
    segment_seconds: Fraction
    with_hls: bool
    with_dash: bool

    @property
    def pictures(self) -> tuple[ExpectedTrack, ...]:
        """The renditions."""
        return tuple(track for track in self.tracks if track.stream.video is not None)

    @property
    def sound(self) -> ExpectedTrack | None:
        """There is at most one."""
        return next((track for track in self.tracks if track.stream.audio is not None), None)

    def adjusted(self, adjust: Callable[[Expected], Expected]) -> ExpectedPackage:
        """With other expectations of each track."""
        return replace(self, tracks=tuple(replace(track, stream=adjust(track.stream)) for track in self.tracks))

    def listings(self) -> tuple[Expected, ...]:
        """The files that players begin with, in the order in which they are published: what names others comes last."""
        hls = (*(track.playlist for track in self.tracks), MASTER) if self.with_hls else ()
        dash = (MANIFEST,) if self.with_dash else ()
        return tuple(
            [self._listing(name, HLS_TYPE) for name in hls] + [self._listing(name, DASH_TYPE) for name in dash]
        )

    def media_file(self, name: str) -> Expected:
        """An init segment or a segment: one of the set."""
        return Expected(
            path=f"{self.directory}/{name}", file_name=name, media_type=SEGMENT_TYPE, formats=(), decodable=False,
            set_path=self.directory,
        )  # fmt: skip

    def _listing(self, name: str, media_type: str) -> Expected:
        return Expected(
            path=f"{self.directory}/{name}", file_name=name, media_type=media_type, formats=(), decodable=False
        )
