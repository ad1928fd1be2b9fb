"""PreviewTask: a short moving preview, of parts of a film that are spread over it.

The film is taken as so many equal parts as there are clips, and of each the middle is shown; a film that is shorter than the
preview is shown as a whole.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.expected import Expected, ExpectedVideo
from telecine_worker.ffmpeg.media_info import MediaInfo, VideoStream
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY
from telecine_worker.tasks import colors, picture, preview_clips
from telecine_worker.tasks.concat_list import concat_list, list_input
from telecine_worker.tasks.filter_text import chain
from telecine_worker.tasks.first_video import first_video
from telecine_worker.tasks.inputs_per_run import inputs_per_run
from telecine_worker.tasks.moments import exact_seconds, span_of
from telecine_worker.tasks.plan import Argument, OutputPlace, Plan, Script, Step
from telecine_worker.tasks.preview_clips import PreviewClip, PreviewClips, Reading
from telecine_worker.tasks.preview_files import ANIMATION_ENCODER, PreviewFile, preview_file_of

DEFAULT_DURATION = Fraction(3)
LONGEST = Fraction(60)
DEFAULT_WIDTH_PX = 320
MOST_WIDTH_PX = 1920
MOST_CLIPS = 60
DEFAULT_RATE = Fraction(10)
TOLERANCE = timedelta(milliseconds=100)
PARTS_LIST = "parts.txt"
FILTERS = preview_clips.FILTERS | {"split", "palettegen", "paletteuse"}
# Of what has to be decoded.
LAST_WEIGHT = 0.2


def input_names(task: media_pb2.PreviewTask) -> frozenset[str]:
    """The inputs that *task* uses."""
    return frozenset({task.input})


def plan(task: media_pb2.PreviewTask, inputs: Mapping[str, MediaInfo], encoders: Set[str]) -> Plan:
    """What to run for *task*. Raises AttemptFailed naming the field and what would be right."""
    return _Preview(task, inputs[task.input], encoders).plan()


class _Preview:
    """One task on the way to its plan."""

    def __init__(self, task: media_pb2.PreviewTask, info: MediaInfo, encoders: Set[str]) -> None:
        self._task = task
        self._file = preview_file_of(task.path)
        self._encoder = self._file.encoder(encoders)
        self._video = first_video(task.input, info, wanted_for="a preview")
        self._rate = _rate(task, self._file)
        self._clips = _clips(task, info, self._rate)
        self._frames = sum(clip.frames for clip in self._clips)
        self._size = _size(task, self._video)
        self._file.check_size(*self._size, self._frames)
        self._matrix = self._file.matrix_of(self._video)
        self._reader = PreviewClips(task.input, info, self._rate, self._size, self._file.pixel_format, self._matrix)
        self._file_name = f"out-0.{task.path.rpartition('.')[2].lower()}"

    def plan(self) -> Plan:
        most = inputs_per_run([self._video])
        if len(self._clips) <= most or self._reader.are_quicker_at_once(self._clips):
            return Plan(steps=(self._step(),), artifacts=(self._expected(),))
        parts = [self._clips[at : at + most] for at in range(0, len(self._clips), most)]
        steps = [self._part(number, part) for number, part in enumerate(parts)]
        return Plan(steps=(*steps, self._last()), artifacts=(self._expected(),), scripts=(self._list(parts),))

    def _step(self) -> Step:
        """All in one run."""

        def made(reading: Reading) -> Step:
            graph = f"{reading.graph};[film]{self._file.graph}[preview]"
            return self._made([*reading.inputs, "-filter_complex", graph, *self._output()])

        return self._read(self._clips, "[film]", made)

    def _part(self, number: int, clips: Sequence[PreviewClip]) -> Step:
        """A few clips, small and without loss."""
        frames = sum(clip.frames for clip in clips)

        def made(reading: Reading) -> Step:
            argv: list[Argument] = [*ABORT_WHEN_EMPTY, *reading.inputs]
            argv += ["-filter_complex", reading.graph, "-map", "[part]"]
            argv += ["-fps_mode", "passthrough", "-map_metadata", "-1", "-c:v", "ffv1", "-f", "nut"]
            return Step(
                argv=(*argv, OutputPlace(_part_file(number))),
                weight=frames / self._frames,
                frame_count=frames,
                least_pictures=frames,
            )

        return self._read(clips, "[part]", made)

    def _read(self, clips: Sequence[PreviewClip], label: str, made: Callable[[Reading], Step]) -> Step:
        """Where a clip has no picture that is decoded on the way to it, all is read from the start."""
        at_once, apart = (read(clips, label) for read in (self._reader.at_once, self._reader.apart))
        step = replace(made(at_once), arrivals=at_once.arrivals)
        if self._reader.are_quicker_at_once(clips):
            return step
        return replace(made(apart), arrivals=apart.arrivals, otherwise=step)

    def _last(self) -> Step:
        """From the parts."""
        # Between the parts and this, nothing says it.
        filters = [*self._reader.even(self._clips), *colors.said(self._matrix)]
        graph = f"[0:v:0]{chain(filters)}[film];[film]{self._file.graph}[preview]"
        return self._made([*list_input(PARTS_LIST), "-filter_complex", graph, *self._output()], LAST_WEIGHT)

    def _made(self, argv: Sequence[Argument], weight: float = 1.0) -> Step:
        # That encoder makes one packet of all pictures.
        least = 0 if self._encoder == ANIMATION_ENCODER else self._frames
        return Step(
            argv=(*ABORT_WHEN_EMPTY, *argv),
            weight=weight,
            duration=self._duration,
            frame_count=self._frames,
            least_pictures=least,
        )

    def _list(self, parts: Sequence[Sequence[PreviewClip]]) -> Script:
        files: list[tuple[Argument, timedelta | None]] = []
        for number, part in enumerate(parts):
            length = sum(clip.frames for clip in part) / self._rate
            files.append((OutputPlace(_part_file(number)), timedelta(seconds=float(length))))
        return concat_list(PARTS_LIST, files)

    def _output(self) -> list[Argument]:
        options = ["-map", "[preview]", "-fps_mode", "passthrough", "-map_metadata", "-1", "-map_chapters", "-1"]
        return [*options, "-c:v", self._encoder, *self._file.options, OutputPlace(self._file_name)]

    def _expected(self) -> Expected:
        wide, high = self._size
        return Expected(
            path=self._task.path,
            file_name=self._file_name,
            media_type=self._file.media_type,
            formats=self._file.formats,
            exact_streams=True,
            video=ExpectedVideo(
                codec=self._file.codec,
                width_px=wide,
                height_px=high,
                frame_count=self._frames,
            ),
            duration=self._duration,
            tolerance=TOLERANCE,
            moov_first=self._file.moov_first,
        )

    @property
    def _duration(self) -> timedelta:
        return _length(self._frames / self._rate)


def _rate(task: media_pb2.PreviewTask, file: PreviewFile) -> Fraction:
    rate = DEFAULT_RATE
    if task.HasField("frame_rate"):
        if task.frame_rate.numerator <= 0 or task.frame_rate.denominator <= 0:
            raise permanent("OPTION_INVALID", "frame_rate is not above 0")
        rate = Fraction(task.frame_rate.numerator, task.frame_rate.denominator)
    if rate > file.most_rate:
        raise permanent("OPTION_INVALID", f"frame_rate is {float(rate):g}; at most {file.most_rate} would be right")
    return rate


def _clips(task: media_pb2.PreviewTask, info: MediaInfo, rate: Fraction) -> list[PreviewClip]:
    """The middle of each of so many equal parts; none without a picture."""
    span = span_of(info)
    if span.end is None:
        raise permanent("INPUT_INVALID", f"how long input {task.input} is cannot be told, so nothing of it is chosen")
    if not 0 <= task.clip_count <= MOST_CLIPS:
        raise permanent("OPTION_INVALID", f"clip_count is {task.clip_count}; 1 to {MOST_CLIPS} would be right")
    wanted = exact_seconds(task.duration.ToTimedelta()) if task.HasField("duration") else DEFAULT_DURATION
    if not 0 < wanted <= LONGEST:
        raise permanent("OPTION_INVALID", f"duration is {float(wanted):g} s; above 0 to {LONGEST} s would be right")
    whole = span.end - span.begin
    length = min(wanted, whole)
    frames = max(1, round(length * rate))
    count = 1 if length == whole else min(task.clip_count or 1, frames)
    part = whole / count
    ends = [round(Fraction(number * frames, count)) for number in range(count + 1)]
    clips: list[PreviewClip] = []
    for number, (first, last) in enumerate(itertools.pairwise(ends)):
        nearest = math.floor((span.begin + part * number + (part - length / count) / 2) * rate + Fraction(1, 2))
        start = max(nearest, clips[-1].start + clips[-1].frames if clips else 0)
        shown = max(Fraction(0), min(length / count, span.end - start / rate))
        clips.append(PreviewClip(start=start, shown=shown, frames=last - first))
    return clips


def _size(task: media_pb2.PreviewTask, video: VideoStream) -> tuple[int, int]:
    """Even, and never larger than the source."""
    if not 0 <= task.width_px <= MOST_WIDTH_PX:
        raise permanent("OPTION_INVALID", f"width_px is {task.width_px}; 1 to {MOST_WIDTH_PX} would be right")
    wide = min(task.width_px or DEFAULT_WIDTH_PX, video.width_px)
    return picture.even(wide), picture.even(Fraction(wide * video.height_px, video.width_px))


def _length(value: Fraction) -> timedelta:
    return timedelta(microseconds=round(value * 10**6))


def _part_file(number: int) -> str:
    return f"part-{number}.nut"
