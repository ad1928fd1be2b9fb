"""Lists for FFmpeg's concat demuxer: files that are read as if they were one.

Everywhere else this demuxer is refused, because a file may pretend to be such a list and name others. Here the list is ours.
What the files of it are is checked again as they are opened, and none of them may be a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta

from telecine_worker.ffmpeg import whitelists
from telecine_worker.tasks.plan import Argument, OutputPlace, Script
from telecine_worker.tasks.trim import seconds

_FORMATS = ",".join(whitelists.FORMATS)


def concat_list(file_name: str, files: Iterable[tuple[Argument, timedelta | None]]) -> Script:
    """The list *file_name* of *files*, each with its length, where it is sure."""
    lines: list[tuple[Argument, ...]] = [("ffconcat version 1.0",)]
    for file, length in files:
        lines += [("file ", file), (f"option format_whitelist {_FORMATS}",)]
        lines += [] if length is None else [(f"duration {seconds(length)}",)]
    return Script(file_name=file_name, lines=tuple(lines))


def list_input(file_name: str) -> Sequence[Argument]:
    """The input that *file_name* lists."""
    before = tuple(f"concat,{each}" if each == _FORMATS else each for each in whitelists.BEFORE_INPUT)
    return (*before, "-safe", "0", "-f", "concat", "-i", OutputPlace(file_name))
