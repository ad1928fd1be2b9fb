"""What a media file is, as the worker probed it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoStream:
    """A moving picture; cover pictures are not counted as one."""

    index: int
    codec: str
    width_px: int
    """As shown: after rotation and sample aspect ratio."""
    height_px: int
    frame_rate: Fraction | None
    """Average; None while unknown."""
    pixel_format: str
    rotation_degrees: int
    frame_count: int | None
    color_transfer: str
    variable_frame_rate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioStream:
    """Sound."""

    index: int
    codec: str
    sample_rate_hz: int
    channel_count: int
    language: str
    """ISO 639-2 as the file says; empty while unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtitleStream:
    """Text or pictures of text."""

    index: int
    codec: str
    language: str
    """ISO 639-2 as the file says; empty while unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaInfo:
    """One file with everything in it."""

    format: str
    """FFmpeg's short name of the container."""
    duration: timedelta | None
    """None while unknown (pictures, raw streams)."""
    size_bytes: int
    bitrate_bps: int | None
    video_streams: tuple[VideoStream, ...]
    audio_streams: tuple[AudioStream, ...]
    subtitle_streams: tuple[SubtitleStream, ...]
