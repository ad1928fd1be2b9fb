"""Subtitles that become part of the picture.

The filter opens its file by itself, without the whitelists of inputs: a playlist that calls itself subtitles would be followed
wherever it leads. So the input is read by FFmpeg as every other, behind the whitelists, and written anew as ASS into the
staging folder; the filter opens that file, by a name of ours.
"""

from __future__ import annotations

from datetime import timedelta

from telecine_worker.failure import permanent
from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY
from telecine_worker.tasks.filter_text import filter_text
from telecine_worker.tasks.plan import Argument, InputPlace, OutputPlace, Step
from telecine_worker.tasks.trim import seconds

FILE_NAME = "subtitles.ass"
FILTER = "subtitles"
"""Of libass, which a build of FFmpeg may be without."""
FILTERS = frozenset({"setpts"})
MOST_BYTES = 10_000_000
# Of text: those made of pictures, and those in a film beside others, are not burnt in.
FORMATS = frozenset({"srt", "webvtt", "ass"})
# Beside minutes of encoding it is nothing.
WEIGHT = 0.001


def check(name: str, info: MediaInfo) -> None:
    """Raise AttemptFailed where input *name* is no file of subtitles that can be burnt in."""
    if info.format not in FORMATS or not info.subtitles:
        raise permanent(
            "OPTION_INVALID",
            f"filters.burn_subtitles: input {name} is {info.format}; a file of SubRip, WebVTT or ASS subtitles would be right",
        )
    if info.size_bytes > MOST_BYTES:
        raise permanent(
            "INPUT_OVER_LIMIT",
            f"filters.burn_subtitles: input {name} has {info.size_bytes} bytes; at most {MOST_BYTES} would be right",
        )


def conversion(name: str, info: MediaInfo) -> Step:
    """The step that writes them anew. Text that is not UTF-8 fails it."""
    argv: tuple[Argument, ...] = (
        *ABORT_WHEN_EMPTY,
        # One line that cannot be read would be missing from the picture, and nobody would know.
        *("-xerror", "-max_error_rate", "0"),
        *whitelists.BEFORE_INPUT,
        *("-i", InputPlace(name)),
        *("-map", f"0:{info.subtitles[0].index}"),
        *("-map_metadata", "-1", "-map_chapters", "-1", "-c:s", "ass", "-f", "ass", OutputPlace(FILE_NAME)),
    )
    return Step(argv=argv, phase=Phase.ANALYZING, weight=WEIGHT, duration=info.duration)


def burning(start: timedelta) -> list[str]:
    """The filters. Times of subtitles count from the start of the input, also where only what comes after *start* is used."""
    burn = filter_text(FILTER, filename=FILE_NAME)
    if not start:
        return [burn]
    # In whole ticks there and back, so that no picture is moved.
    ticks = f"round({seconds(start)}/TB)"
    return [filter_text("setpts", f"PTS+{ticks}"), burn, filter_text("setpts", f"PTS-{ticks}")]
