"""Rules of single fields of tasks that the .proto cannot say: names of inputs, extensions, patterns, frame rates."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import PurePosixPath

from telecine.v1 import media_pb2
from telecine_scheduler.domain.errors import Violation

CONTAINERS = frozenset({"mp4", "mov", "mkv", "webm", "ts", "m4a", "mp3", "ogg", "opus", "flac", "wav"})
PICTURES = frozenset({"jpg", "jpeg", "png", "webp"})
# With the most frames a second that players show of each.
PREVIEWS: Mapping[str, int] = {"gif": 50, "webp": 60, "mp4": 60}
# Of a sheet of sprites, and its default number of columns and width of a tile.
MOST_SHEET_SIDE_PX = 8192
DEFAULT_SIDE = 10
DEFAULT_TILE_WIDTH_PX = 160
SHORTEST_INTERVAL = timedelta(milliseconds=1)
# Of what a caller wrote, in a message to him.
MOST_QUOTED = 80
MOST_FRAMES_A_SECOND = 240
_NUMBER = re.compile(r"%(?:0[1-9])?d")
# As in media.proto. What is no name may be a URI with secrets, and is not repeated.
_INPUT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


def is_input_name(name: str) -> bool:
    """Whether it may be the name of an input."""
    return _INPUT_NAME.fullmatch(name) is not None


def input_name(field: str, name: str) -> Iterator[Violation]:
    """A field that stands for an input."""
    if not is_input_name(name):
        description = (
            "stands for an input, by its name of 1 to 64 letters, digits, '.', '_' or '-'; it is no URI or path"
        )
        yield Violation(field=field, description=description)


def suffix_of(path: str) -> str:
    """What stands after the last dot of a file's name, in small letters; empty where nothing does. Quicker than a PurePath."""
    name = path.rpartition("/")[2]
    if name in ("", "."):
        name = PurePosixPath(path).name
    stem, _, suffix = name.rpartition(".")
    return suffix.lower() if stem else ""


def extension(field: str, path: str, known: Iterable[str], what: str) -> Iterator[Violation]:
    """The end of a path that says what the file is."""
    suffix = suffix_of(path)
    if suffix not in known:
        listed = ", ".join(sorted(known))
        shown = suffix[:MOST_QUOTED]
        yield Violation(field=field, description=f"the {what} follows the extension, and .{shown} is none of {listed}")


def numbered(field: str, path: str) -> Iterator[Violation]:
    """A path that stands for many: one number in the name of the file."""
    folders, _, name = path.rpartition("/")
    if "%" in folders or name.count("%") != 1 or not _NUMBER.search(name):
        description = "must have one %d, or %03d and the like, in the name of the file, and no other %"
        yield Violation(field=field, description=description)


def frame_rate(field: str, video: media_pb2.Video) -> Iterator[Violation]:
    """That of a video, where it is said."""
    if video.HasField("frame_rate") and (
        video.frame_rate.numerator > MOST_FRAMES_A_SECOND * video.frame_rate.denominator > 0
    ):
        yield Violation(field=f"{field}.frame_rate", description=f"must be at most {MOST_FRAMES_A_SECOND}")


def preview_rate(field: str, task: media_pb2.PreviewTask) -> Iterator[Violation]:
    """That of a moving preview, by its format."""
    if not task.HasField("frame_rate"):
        return
    suffix, rate = suffix_of(task.path), task.frame_rate
    most = PREVIEWS.get(suffix)
    if most is not None and rate.numerator > most * rate.denominator > 0:
        yield Violation(field=field, description=f"of a .{suffix} must be at most {most}")


def sheet(field: str, task: media_pb2.SpritesTask) -> Iterator[Violation]:
    """How wide sheets of sprites are, and how often there is a tile. How high they are follows from the film."""
    # Widths are rounded to even ones.
    tile_px, columns = (task.tile_width_px or DEFAULT_TILE_WIDTH_PX) // 2 * 2, task.columns or DEFAULT_SIDE
    if columns * tile_px > MOST_SHEET_SIDE_PX:
        description = (
            f"of {tile_px} px each make sheets of {columns * tile_px} px; at most {MOST_SHEET_SIDE_PX} px are allowed"
        )
        yield Violation(field=f"{field}.columns", description=description)
    nanos = task.interval.seconds * 10**9 + task.interval.nanos
    if 0 < nanos < SHORTEST_INTERVAL.total_seconds() * 10**9:
        yield Violation(field=f"{field}.interval", description="must be at least 1 ms")
