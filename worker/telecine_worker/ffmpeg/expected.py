"""What a finished file has to be: made by the planner together with the arguments, checked by verification."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedVideo:
    """None and empty are not checked. *frame_count* has to be met within *frame_tolerance*; *rotation_degrees* is clockwise.
    *end* is where the last picture ends, from where the file begins, met within *end_tolerance*; *end_late* later is right.
    """

    codec: str = ""
    width_px: int | None = None
    height_px: int | None = None
    pixel_format: str = ""
    color_transfer: str = ""
    rotation_degrees: int | None = None
    sample_aspect_ratio: Fraction | None = None
    frame_count: int | None = None
    frame_tolerance: int = 0
    end: timedelta | None = None
    end_tolerance: timedelta = timedelta(0)
    end_late: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedAudio:
    """None and empty are not checked. *end* is as with pictures."""

    codec: str = ""
    sample_rate_hz: int | None = None
    channel_count: int | None = None
    end: timedelta | None = None
    end_tolerance: timedelta = timedelta(0)
    end_late: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One artifact. *file_name* is its name in the staging folder, *path* where it will be published.

    *exact_streams*: the file has the named video and audio and no other streams; otherwise (raw tasks) any media is
    right, and *video* and *audio* are None. *duration* is checked when it is known, within *tolerance*; *late* longer is right,
    too. *decodable* is
    False for what has neither pictures nor sound. With *encoded* all its streams are encoded by us, and packets have the times
    that encoders give them. *set_path* is the folder of the set that the file is a part of, where it is reported as such and
    not by itself.
    """

    path: str
    file_name: str
    media_type: str
    formats: tuple[str, ...]
    exact_streams: bool = False
    video: ExpectedVideo | None = None
    audio: ExpectedAudio | None = None
    duration: timedelta | None = None
    tolerance: timedelta = timedelta(0)
    late: timedelta = timedelta(0)
    moov_first: bool = False
    decodable: bool = True
    set_path: str = ""
    encoded: bool = False
