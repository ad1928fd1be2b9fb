"""The sound of a package: one rendition of its own, which all renditions of the picture share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.media_info import AudioStream
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY
from telecine_worker.tasks import audio_encoding, loudness, sound_gaps
from telecine_worker.tasks.audio_encoding import AudioTarget
from telecine_worker.tasks.filter_text import chain, filter_text
from telecine_worker.tasks.package_rules import SOUND_CODECS
from telecine_worker.tasks.plan import Argument, InputPlace, Step

DEFAULT_CODEC = "aac"
DEFAULT_CHANNELS = 2
# AAC begins with 1024 samples of silence, which players do not skip: with a lower rate that is more than 50 ms.
LEAST_RATE_HZ = 22_050
FILTERS = frozenset({"atrim"}) | sound_gaps.FILTERS | audio_encoding.FILTERS | loudness.FILTERS


def wanted(task: media_pb2.PackagingTask, source: AudioStream) -> media_pb2.Audio:
    """As asked for, else AAC of at most two channels."""
    if task.HasField("audio"):
        return task.audio
    return media_pb2.Audio(codec=DEFAULT_CODEC, channel_count=max(1, min(source.channel_count, DEFAULT_CHANNELS)))


def target(audio: media_pb2.Audio, source: AudioStream) -> AudioTarget:
    """What it will be. Raises AttemptFailed OPTION_INVALID."""
    if audio.codec not in SOUND_CODECS:
        raise permanent(
            "OPTION_INVALID",
            f"audio.codec {audio.codec!r} in a package; one of {', '.join(SOUND_CODECS)} would be right",
        )
    made = audio_encoding.target(audio, source)
    if audio.codec != DEFAULT_CODEC or made.rate_hz >= LEAST_RATE_HZ:
        return made
    if audio.sample_rate_hz:
        raise permanent(
            "OPTION_INVALID",
            f"audio.sample_rate_hz {made.rate_hz} in a package: {DEFAULT_CODEC} would begin too long before the pictures; "
            f"{LEAST_RATE_HZ} or more would be right",
        )
    return replace(made, rate_hz=audio_encoding.DEFAULT_RATE_HZ)


def options(
    audio: media_pb2.Audio, made: AudioTarget, limit_seconds: Fraction, *, first: Sequence[str] = ()
) -> list[Argument]:
    """Pairs of option and value, for the output; *first* are filters that come before all."""
    given: dict[str, Argument] = dict(_pairs(made.options()))
    before = [*first, *_without_gaps(limit_seconds), made.mixing]
    given.pop("-af", None)
    given["-filter"] = loudness.applying(audio.loudness, before) if audio.HasField("loudness") else chain(before)
    return [token for pair in given.items() for token in pair]


def measuring(
    name: str, audio: media_pb2.Audio, made: AudioTarget, source: AudioStream, limit_seconds: Fraction
) -> Step:
    """The first pass, for input *name*."""
    filters = loudness.measuring(audio.loudness, [*_without_gaps(limit_seconds), made.mixing])
    argv: tuple[Argument, ...] = (
        *("-loglevel", "repeat+level+info", *ABORT_WHEN_EMPTY, *whitelists.BEFORE_INPUT),
        *("-i", InputPlace(name)),
        *("-map", f"0:{source.index}", "-map_metadata", "-1", "-map_chapters", "-1", "-af", filters, "-f", "null", "-"),
    )
    return Step(argv=argv, phase=Phase.ANALYZING, weight=loudness.MEASURING_WEIGHT, duration=source.duration)


def _without_gaps(limit_seconds: Fraction) -> list[str]:
    """A sound that begins late, or has gaps, gets silence: nothing tells players to wait."""
    return [*sound_gaps.filling(), filter_text("atrim", end=float(limit_seconds))]


def _pairs(options: Sequence[Argument]) -> list[tuple[str, Argument]]:
    return [(str(option), value) for option, value in zip(options[::2], options[1::2], strict=True)]
