"""SpritesTask: sheets of small pictures, and a WebVTT index that says which one is of which time.

Each picture is the one shown when its interval begins. A sheet that the last pictures do not fill is black where they end.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction
from urllib.parse import quote

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.expected import Expected, ExpectedVideo
from telecine_worker.ffmpeg.media_info import MediaInfo, VideoStream
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY
from telecine_worker.ffmpeg.values import MAX_PICTURE_PX, MAX_SIDE_PX
from telecine_worker.tasks import last_moment, shown
from telecine_worker.tasks.first_video import first_video
from telecine_worker.tasks.last_moment import LastMoment
from telecine_worker.tasks.moments import Evenly, exact_seconds, span_of
from telecine_worker.tasks.picture import even
from telecine_worker.tasks.picture_files import numbered, numbered_file_of, staged_pattern
from telecine_worker.tasks.plan import Argument, InputPlace, OutputPlace, Plan, Script, Step

DEFAULT_TILE_WIDTH_PX = 160
DEFAULT_SIDE = 10
MOST_SIDE = 20
DEFAULT_INTERVAL = timedelta(seconds=10)
SHORTEST_INTERVAL = timedelta(milliseconds=1)
MOST_CUES = 20_000
MOST_SHEETS = 1000
# A tile is at most so many times as high as wide; pictures that are taller have black at their sides.
TALLEST = 2
INDEX_EXTENSION = "vtt"
INDEX_FILE = "index.vtt"
FILTERS = shown.FILTERS | last_moment.FILTERS | {"trim", "scale", "setsar", "pad", "format", "split", "tile"}


def input_names(task: media_pb2.SpritesTask) -> frozenset[str]:
    """The inputs that *task* uses."""
    return frozenset({task.input})


def plan(task: media_pb2.SpritesTask, inputs: Mapping[str, MediaInfo], encoders: Set[str]) -> Plan:
    """What to run for *task*. Raises AttemptFailed naming the field and what would be right."""
    return _Sprites(task, inputs[task.input], encoders).plan()


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """How tiles lie in a sheet: row by row. All sizes in pixels."""

    columns: int
    rows: int
    tile_width_px: int
    tile_height_px: int

    @property
    def tiles(self) -> int:
        """Of one sheet."""
        return self.columns * self.rows

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of a sheet."""
        return self.columns * self.tile_width_px, self.rows * self.tile_height_px

    def place(self, tile: int) -> tuple[int, int, int, int]:
        """x, y, width and height of the tile with this number, from 0, within its sheet."""
        row, column = divmod(tile % self.tiles, self.columns)
        wide, high = self.tile_width_px, self.tile_height_px
        return column * wide, row * high, wide, high


class _Sprites:
    """One task on the way to its plan."""

    def __init__(self, task: media_pb2.SpritesTask, info: MediaInfo, encoders: Set[str]) -> None:
        self._task = task
        self._info = info
        self._file = numbered_file_of(task.path, encoders)
        _check_index(task.index_path)
        self._video = first_video(task.input, info, wanted_for="sprites")
        self._end = _end_of(task, info)
        self._interval = _interval(task)
        self._cues = _count(self._end, self._interval)
        self._last = LastMoment(task.input, info, (self._cues - 1) * self._interval)
        self._picture, self._grid = _grid(task, self._video, self._cues)
        self._sheets = math.ceil(self._cues / self._grid.tiles)
        if self._sheets > MOST_SHEETS:
            raise permanent(
                "OPTION_INVALID",
                f"{self._sheets} sheets would be made, at most {MOST_SHEETS} are; more columns or rows, or a longer "
                "interval, would be right",
            )
        self._pattern = staged_pattern(task.path)

    def plan(self, most: int = MOST_CUES) -> Plan:
        """With at most so many cues: those of a film that ends early, in sheets that are as large."""
        cues = min(self._cues, most)
        sheets = tuple(self._sheet(number) for number in range(1, math.ceil(cues / self._grid.tiles) + 1))
        index = Expected(
            path=self._task.index_path, file_name=INDEX_FILE, media_type="text/vtt", formats=(), decodable=False
        )
        script = Script(file_name=INDEX_FILE, lines=tuple((line,) for line in self._index(cues)))
        return Plan(
            steps=(self._step(),),
            artifacts=(*sheets, index),
            sequence=self._pattern,
            scripts=(script,),
            fewer=self.plan,
        )

    def _step(self) -> Step:
        return Step(
            argv=tuple(self._argv()),
            duration=timedelta(seconds=float(self._end)),
            frame_count=self._cues,
            least_pictures=self._cues,
            partial=True,
            arrivals=self._last.arrivals(),
        )

    def _argv(self) -> list[Argument]:
        """The first output writes nothing: its pictures are those that are counted, before they lie in sheets, of which a film
        that ends early would have as many.
        """
        argv: list[Argument] = [*ABORT_WHEN_EMPTY, *whitelists.BEFORE_INPUT, "-i", InputPlace(self._task.input)]
        tile = f"tile={self._grid.columns}x{self._grid.rows}"
        graph = f"[0:{self._video.index}]{','.join(self._filters())},split[tiles][counted];[tiles]{tile}[sheets]"
        argv += ["-filter_complex", graph, "-map", "[counted]", "-fps_mode", "passthrough", "-f", "null", "-"]
        argv += ["-map", "[sheets]", "-frames:v", str(self._sheets), "-fps_mode", "passthrough", "-map_metadata", "-1"]
        argv += ["-c:v", self._file.encoder, *self._file.options, "-start_number", "1", "-f", "image2"]
        return [*argv, OutputPlace(self._pattern), *self._last.listening()]

    def _filters(self) -> list[str]:
        evenly = Evenly(first=Fraction(0), spacing=self._interval, count=self._cues)
        grid = self._grid
        return [
            *self._last.marking(),
            *shown.evenly_shown(evenly, self._info, shown.hold(self._info)),
            f"trim=end_frame={self._cues}",
            self._file.conversion(*self._picture),
            f"pad={grid.tile_width_px}:{grid.tile_height_px}:(ow-iw)/2:(oh-ih)/2",
        ]

    def _sheet(self, number: int) -> Expected:
        wide, high = self._grid.size_px
        return Expected(
            path=numbered(self._task.path, number),
            file_name=self._pattern % number,
            media_type=self._file.media_type,
            formats=self._file.formats,
            exact_streams=True,
            video=ExpectedVideo(
                codec=self._file.codec, width_px=wide, height_px=high, pixel_format=self._file.pixel_format
            ),
        )

    def _index(self, cues: int) -> Iterator[str]:
        """Of what is in it. The sheets are named as seen from the folder of the index."""
        folder = posixpath.dirname(self._task.index_path)
        yield "WEBVTT"
        for cue in range(cues):
            sheet = posixpath.relpath(numbered(self._task.path, cue // self._grid.tiles + 1), folder or ".")
            place = ",".join(map(str, self._grid.place(cue)))
            yield ""
            yield f"{_clock(cue * self._interval)} --> {_clock(self._end_of_cue(cue))}"
            yield f"{quote(sheet)}#xywh={place}"

    def _end_of_cue(self, cue: int) -> Fraction:
        """That of the last one is the end of the film; a cue has a length, however short it is."""
        begin = math.floor(cue * self._interval * 1000)
        return max(min((cue + 1) * self._interval, self._end), Fraction(begin + 1, 1000))


def _check_index(path: str) -> None:
    if path.rpartition("/")[2].rpartition(".")[2].lower() != INDEX_EXTENSION:
        raise permanent("UNSUPPORTED_CONTAINER", f"index_path {path!r} is not a .{INDEX_EXTENSION}, which is right")


def _end_of(task: media_pb2.SpritesTask, info: MediaInfo) -> Fraction:
    end = span_of(info).end
    if end is None:
        raise permanent(
            "INPUT_INVALID",
            f"how long input {task.input} is cannot be told, so there is no index of its times; use thumbnails",
        )
    return end


def _interval(task: media_pb2.SpritesTask) -> Fraction:
    interval = task.interval.ToTimedelta() if task.HasField("interval") else DEFAULT_INTERVAL
    if interval < SHORTEST_INTERVAL:
        raise permanent("OPTION_INVALID", f"interval is {interval}; {SHORTEST_INTERVAL} or more would be right")
    return exact_seconds(interval)


def _count(end: Fraction, interval: Fraction) -> int:
    cues = math.ceil(end / interval)
    if cues > MOST_CUES:
        least = math.ceil(end / MOST_CUES * 1000) / 1000
        raise permanent(
            "OPTION_INVALID",
            f"interval of {float(interval):g} s makes {cues} pictures, at most {MOST_CUES} are made; {least:g} s or "
            "more would be right",
        )
    return cues


def _grid(task: media_pb2.SpritesTask, video: VideoStream, cues: int) -> tuple[tuple[int, int], Grid]:
    """The size of a picture, and how its tiles lie; no larger than what there is to show."""
    wide = even(task.tile_width_px or DEFAULT_TILE_WIDTH_PX)
    aspect = Fraction(video.width_px, video.height_px)
    high = even(min(wide / aspect, Fraction(wide * TALLEST)))
    picture = (min(wide, even(high * aspect)), high)
    columns = min(_side(task.columns, "columns"), cues)
    rows = min(_side(task.rows, "rows"), math.ceil(cues / columns))
    grid = Grid(columns=columns, rows=rows, tile_width_px=wide, tile_height_px=high)
    sheet_wide, sheet_high = grid.size_px
    if max(grid.size_px) > MAX_SIDE_PX or sheet_wide * sheet_high > MAX_PICTURE_PX:
        raise permanent(
            "OPTION_INVALID",
            f"{columns} columns and {rows} rows of {wide}x{high} px make sheets of {sheet_wide}x{sheet_high} px; at most "
            f"{MAX_SIDE_PX} px on a side and {MAX_PICTURE_PX} pixels would be right: fewer columns or rows, or a smaller "
            "tile_width_px",
        )
    return picture, grid


def _side(wanted: int, field: str) -> int:
    if not 0 <= wanted <= MOST_SIDE:
        raise permanent("OPTION_INVALID", f"{field} is {wanted}; 1 to {MOST_SIDE} would be right")
    return wanted or DEFAULT_SIDE


def _clock(seconds: Fraction) -> str:
    """As WebVTT has it, in whole milliseconds, downwards."""
    minutes, milliseconds = divmod(math.floor(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"
