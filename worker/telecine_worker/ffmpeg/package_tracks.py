"""The tracks of a finished package, as they were measured: what its playlists and its manifest say."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from telecine_worker.ffmpeg.expected_package import ExpectedTrack
from telecine_worker.ffmpeg.segments import Init, Segment

_LANGUAGE = re.compile(r"[a-z]{2,3}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """A rendition, or the sound: what was planned and what it turned out to be."""

    planned: ExpectedTrack
    init: Init
    segments: tuple[Segment, ...]

    @property
    def name(self) -> str:
        """As its files are called."""
        return self.planned.name

    @property
    def language(self) -> str:
        """Of the sound, where it has a code (ISO 639); what else a source may say is left out."""
        return self.planned.language if _LANGUAGE.fullmatch(self.planned.language) else ""

    @property
    def frame_count(self) -> int:
        """Pictures, or packets of sound."""
        return sum(segment.frame_count for segment in self.segments)

    @property
    def end(self) -> Fraction:
        """In seconds from the beginning of the presentation."""
        return self.segments[-1].end

    def durations(self) -> list[Fraction]:
        """Of each segment, in seconds as presented: what an audio encoder needed before the first sample is not heard."""
        bounds = [max(Fraction(0), segment.start) for segment in self.segments] + [self.end]
        return [end - begin for begin, end in pairwise(bounds)]

    def last_segments(self, seconds: int) -> int:
        """The number of the first of those segments that together last so long, or longer, up to the end."""
        durations, number = self.durations(), len(self.segments)
        while number > 1 and sum(durations[number - 1 :]) < seconds:
            number -= 1
        return number

    def average_bps(self) -> int:
        """Of all segments, rounded up."""
        return _bps(sum(segment.size_bytes for segment in self.segments), sum(self.durations()))

    def peak_bps(self, target_seconds: int) -> int:
        """The highest rate of successive segments that together last 0.5 to 1.5 of the target duration (RFC 8216, 4.1); where
        none do, of all.
        """
        durations, peak = self.durations(), 0
        for first in range(len(durations)):
            size, seconds = 0, Fraction(0)
            for each in range(first, len(durations)):
                size += self.segments[each].size_bytes
                seconds += durations[each]
                if seconds > Fraction(3, 2) * target_seconds:
                    break
                if seconds >= Fraction(1, 2) * target_seconds:
                    peak = max(peak, _bps(size, seconds))
        return peak or self.average_bps()


def _bps(size_bytes: int, seconds: Fraction | int) -> int:
    return -int(-8 * size_bytes // Fraction(seconds)) if seconds else 0
