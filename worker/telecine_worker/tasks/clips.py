"""The clips of a ConcatTask: which part of which input each is, and how long it is shown."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed, permanent
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.tasks.moments import exact_seconds, span_of
from telecine_worker.tasks.trim import Part, part_of

MOST_CLIPS = 1000
# Sound that goes on for longer than this after the last picture is kept, and that picture with it. What is shorter is the last
# frame of an encoder of sound.
TAIL_SECONDS = Fraction(1, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """*number* counts from 0; *seconds* is how long it is."""

    number: int
    input: str
    info: MediaInfo
    part: Part
    seconds: Fraction

    @property
    def video(self) -> VideoStream:
        """The first one. Only where there is one."""
        return self.info.video[0]

    @property
    def audio(self) -> AudioStream | None:
        """The first one."""
        return self.info.audio[0] if self.info.audio else None

    @property
    def is_open(self) -> bool:
        """It goes on to the end of its input, and how long that is is only estimated: *seconds* may be wrong by any factor."""
        return self.info.is_duration_estimated and self.part.length is None

    @property
    def shown_seconds(self) -> Fraction:
        """How long its pictures last, as far as the input says; the last one is held for the rest."""
        return self._within(span_of(self.info).end)

    @property
    def heard_seconds(self) -> Fraction:
        """The same of its sound."""
        sound = self.audio
        if sound is None or sound.duration is None:
            return self.seconds
        return self._within(exact_seconds(sound.start - self.info.start + sound.duration))

    def _within(self, end: Fraction | None) -> Fraction:
        """From its start up to *end* of the input."""
        last = self.seconds if end is None else end - exact_seconds(self.part.start)
        return min(self.seconds, max(Fraction(0), last))


def clips_of(task: media_pb2.ConcatTask, inputs: Mapping[str, MediaInfo]) -> tuple[Clip, ...]:
    """All of *task*. Raises AttemptFailed."""
    if not 1 <= len(task.clips) <= MOST_CLIPS:
        raise permanent("OPTION_INVALID", f"clips has {len(task.clips)} clips; 1 to {MOST_CLIPS} would be right")
    return tuple(_clip(number, clip, inputs[clip.input]) for number, clip in enumerate(task.clips))


def _clip(number: int, clip: media_pb2.ConcatTask.Clip, info: MediaInfo) -> Clip:
    try:
        part = part_of(clip.trim if clip.HasField("trim") else None, info)
    except AttemptFailed as error:
        raise permanent(error.failure.reason, f"clips[{number}]: {error.failure.message}") from None
    if part.duration is None:
        raise permanent(
            "INPUT_INVALID", f"clips[{number}]: how long input {clip.input} is cannot be told; set its trim.end"
        )
    return Clip(number=number, input=clip.input, info=info, part=part, seconds=_seconds(part, info))


def _seconds(part: Part, info: MediaInfo) -> Fraction:
    """Without a short tail that only the sound has."""
    assert part.duration is not None  # noqa: S101 - the caller looked
    duration = exact_seconds(part.duration)
    end = span_of(info).end if info.video else None
    if end is None or part.length is not None:
        return duration
    shown = end - exact_seconds(part.start)
    return shown if shown > 0 and duration - shown <= TAIL_SECONDS else duration


def of_input(clip: Clip) -> str:
    """How a message names *clip*."""
    return f"clips[{clip.number}] (input {clip.input})"


def length_of(seconds: Fraction) -> timedelta:
    """To the microsecond."""
    return timedelta(microseconds=round(seconds * 10**6))


def rounded(clips: Sequence[Clip], rate: Fraction) -> tuple[int, ...]:
    """How many pictures or samples each clip has at *rate*; at least one."""
    return tuple(max(1, round(clip.seconds * rate)) for clip in clips)


def split(lengths: Sequence[Fraction], rate: Fraction) -> tuple[int, ...]:
    """How many samples each length has, so that the sum of any of the first ones is right."""
    ends = [round(end * rate) for end in itertools.accumulate(lengths, initial=Fraction(0))]
    return tuple(end - begin for begin, end in itertools.pairwise(ends))
