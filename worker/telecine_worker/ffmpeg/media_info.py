"""What a media file is: the answer of probing, in our own values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

# Which field is stored first, and which is shown first: the top one or the bottom one.
_OF_FIELDS = frozenset({"tt", "bb", "tb", "bt"})
# Stored as fields, although AVI has no word for it.
_FIELD_CODECS = frozenset({"dvvideo"})
# Frames of sound one after the other, without a word of how many; and program streams, whose times are few.
_WITHOUT_LENGTH = frozenset({"aac", "ac3", "eac3", "amr", "mpeg"})


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoStream:
    """A moving picture. *width_px* and *height_px* are as shown: after rotation and sample aspect ratio.

    *frame_rate* is the average, None while unknown; *frame_count* is 0 while unknown; pictures that are
    *is_reordered* are decoded in another order than shown; *rotation_degrees* is clockwise. Colours
    are said in FFmpeg's words, empty while unknown; *color_space* is the matrix of YUV. *extradata_hash* is of what a decoder
    has to know before the first packet; empty where there is nothing of the kind.
    """

    index: int
    codec: str
    width_px: int
    height_px: int
    coded_width_px: int
    coded_height_px: int
    sample_aspect_ratio: Fraction = Fraction(1)
    frame_rate: Fraction | None = None
    variable_frame_rate: bool = False
    is_reordered: bool = False
    pixel_format: str = ""
    rotation_degrees: int = 0
    frame_count: int = 0
    color_transfer: str = ""
    color_primaries: str = ""
    color_space: str = ""
    field_order: str = ""
    extradata_hash: str = ""
    start: timedelta = timedelta(0)
    duration: timedelta | None = None
    tagged_duration: timedelta | None = None

    @property
    def stated_duration(self) -> timedelta | None:
        """By the container, else by a tag."""
        return self.tagged_duration if self.duration is None else self.duration

    @property
    def is_interlaced(self) -> bool:
        """Whether it says so: a picture is two fields, of two moments."""
        return self.field_order in _OF_FIELDS or (not self.field_order and self.codec in _FIELD_CODECS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioStream:
    """A sound track. *extradata_hash* is as with pictures."""

    index: int
    codec: str
    sample_rate_hz: int
    channel_count: int
    channel_layout: str = ""
    language: str = ""
    extradata_hash: str = ""
    start: timedelta = timedelta(0)
    duration: timedelta | None = None
    tagged_duration: timedelta | None = None

    @property
    def stated_duration(self) -> timedelta | None:
        """By the container, else by a tag."""
        return self.tagged_duration if self.duration is None else self.duration


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleStream:
    """A track of subtitles."""

    index: int
    codec: str
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """A file. *format* is FFmpeg's name of the container; *duration* is None while unknown (pictures, raw streams).

    Cover pictures are not among the video streams. *other_streams* counts what is neither video, audio nor subtitles.
    """

    format: str
    size_bytes: int
    duration: timedelta | None = None
    start: timedelta = timedelta(0)
    bitrate_bps: int = 0
    video: tuple[VideoStream, ...] = ()
    audio: tuple[AudioStream, ...] = ()
    subtitles: tuple[SubtitleStream, ...] = ()
    other_streams: int = 0

    @property
    def is_duration_estimated(self) -> bool:
        """From the size and the first bit rate, say, which may be far from it. An MP3 that says how long it is begins late."""
        without = self.format == "mp3" and not any(audio.start for audio in self.audio)
        return without or self.format in _WITHOUT_LENGTH

    @property
    def timed_stream_count(self) -> int:
        """Of those that the duration may be about: covers and attachments have none."""
        return len(self.video) + len(self.audio) + len(self.subtitles)

    @property
    def is_still(self) -> bool:
        """One picture, which has no length."""
        return self.format.endswith("_pipe")
