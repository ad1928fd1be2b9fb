"""The part of an input that is used."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.media_info import MediaInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """*start* counts from the beginning of the input; *length* is None for "to the end"; *duration* is None while
    unknown.
    """

    start: timedelta
    length: timedelta | None
    duration: timedelta | None

    @property
    def is_whole(self) -> bool:
        """Nothing is cut off."""
        return not self.start and self.length is None

    def seek(self) -> list[str]:
        """The option before -i for what is copied: it begins at a key frame. See tasks/seeking.py for what is encoded."""
        return ["-ss", seconds(self.start)] if self.start else []

    def limit(self) -> list[str]:
        """The one beside it."""
        return [] if self.length is None else ["-t", seconds(self.length)]


def part_of(trim: media_pb2.Trim | None, info: MediaInfo) -> Part:
    """What *trim* leaves of an input. Raises AttemptFailed TRIM_OUT_OF_RANGE."""
    if trim is None:
        return Part(start=timedelta(0), length=None, duration=info.duration)
    start = trim.start.ToTimedelta()
    end = trim.end.ToTimedelta() if trim.HasField("end") else None
    if end is not None and end <= start:
        raise permanent("TRIM_OUT_OF_RANGE", f"trim.end {end} is not after trim.start {start}")
    whole = None if info.is_duration_estimated else info.duration
    if whole is not None and start >= whole:
        raise permanent("TRIM_OUT_OF_RANGE", f"trim.start {start} is not before the end of the input at {whole}")
    if end is not None and whole is not None and end >= whole:
        end = None
    last = end or info.duration
    return Part(
        start=start,
        length=None if end is None else end - start,
        duration=None if last is None or last <= start else last - start,
    )


def seconds(duration: timedelta) -> str:
    """As FFmpeg reads it, to the microsecond."""
    return f"{duration // timedelta(seconds=1)}.{duration % timedelta(seconds=1) // timedelta(microseconds=1):06d}"
