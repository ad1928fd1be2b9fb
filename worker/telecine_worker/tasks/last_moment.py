"""Whether an input goes on to the last moment of which a still is wanted: the last picture is held on there."""

from __future__ import annotations

from fractions import Fraction

from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo
from telecine_worker.tasks import arrivals
from telecine_worker.tasks.arrivals import TOLERANCE_SECONDS, Arrival, End, sound_mark
from telecine_worker.tasks.filter_text import filter_text
from telecine_worker.tasks.moments import exact_seconds
from telecine_worker.tasks.shown import rebased
from telecine_worker.tasks.stream_span import span_of

FILTERS = arrivals.FILTERS
_PICTURE, _SOUND = 0, 1
# From where one picture begins to where the next one does, and what times were rounded by.
_PICTURES = 2


class LastMoment:
    """Which is *seconds* after the start of the input *name*, or the end of its pictures, after which the last one stands.
    Nothing is said where pictures may stand for long anyway, or nobody knows where they end: where only the length of the
    longest stream is known, that may be the sound.
    """

    def __init__(self, name: str, info: MediaInfo, seconds: Fraction) -> None:
        self._name = name
        self._info = info
        video = info.video[0]
        end = span_of(video, info).end
        self._seconds = seconds if end is None else min(seconds, exact_seconds(end))
        steady = video.frame_rate is not None and not video.variable_frame_rate
        self._is_told = steady and (end is not None or self._longest_sound() is not None)

    def marking(self) -> list[str]:
        """The filter that says of the pictures that they reach it."""
        rate = self._info.video[0].frame_rate
        if not self._is_told or rate is None:
            return []
        least = float(max(Fraction(0), self._seconds - rebased(self._info) - TOLERANCE_SECONDS - _PICTURES / rate))
        return [filter_text("select", f"1+0*if(gte(t,{least:.6f})*not(ld(0)),st(0,1)+print({_PICTURE},24))")]

    def listening(self) -> list[str]:
        """The output that says the same of the sound, and writes nothing; empty where the pictures alone tell it."""
        sound = self._longest_sound()
        if not self._is_told or sound is None:
            return []
        # Nothing is read for its sake after that.
        end = f"{float(self._seconds) + 1:.6f}"
        return ["-map", f"0:{sound.index}", "-af", sound_mark(_SOUND, self._seconds), "-t", end, "-f", "null", "-"]

    def arrivals(self) -> tuple[Arrival, ...]:
        """What has to be said."""
        if not self._is_told:
            return ()
        end = End(marks=frozenset({_PICTURE, _SOUND}), what="what is shown", seconds=self._seconds)
        return (Arrival(input_name=self._name, what=f"input {self._name}", ends=(end,), filled=False),)

    def _longest_sound(self) -> AudioStream | None:
        """What may be the longest stream instead of the pictures, of which only the container says something."""
        info = self._info
        only_two = len(info.audio) == 1 and info.timed_stream_count == 1 + len(info.audio)
        known = info.duration is not None and not info.is_duration_estimated and not rebased(info)
        is_needed = span_of(info.video[0], info).end is None
        return info.audio[0] if only_two and known and is_needed else None
