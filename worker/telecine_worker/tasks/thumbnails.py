"""ThumbnailsTask: still pictures of a video. A still at a time is the picture that is shown at that time.

Two ways lead to the same pictures. One pass decodes everything once, and the filter fps hands on what is shown at evenly
spaced moments. Or each picture has an input of its own, sought to a key frame before the moment, several to a process.
The first costs by the length of the input, the second by the number of pictures. A seek may land too late (no key frame is
near, or the decoder shows nothing of the first ones): then nothing comes out, and the same pictures are made by decoding
from the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.expected import Expected, ExpectedVideo
from telecine_worker.ffmpeg.media_info import MediaInfo, VideoStream
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY
from telecine_worker.tasks import last_moment, picture, shown
from telecine_worker.tasks.first_video import first_video
from telecine_worker.tasks.inputs_per_run import inputs_per_run
from telecine_worker.tasks.last_moment import LastMoment
from telecine_worker.tasks.moments import CANDIDATES, Evenly, begin_of, selection_of
from telecine_worker.tasks.picture_files import PictureFile, numbered, numbered_file_of, staged_pattern
from telecine_worker.tasks.plan import Argument, InputPlace, OutputPlace, Plan, Step
from telecine_worker.tasks.seeking import INDEXED

# From this distance on seeking is cheaper than decoding what lies between. Measured on four minutes of 720p with a key frame
# every 5 s: 10 s apart, seeking took 1.0 s of CPU and one pass 7.4; 5 s apart 6.7 and 7.6; 2.5 s apart 11.7 and 7.9.
SEEK_FROM_SECONDS = 10
# The index of a container has the times of decoding, which are up to this much before those of showing.
INDEXED_LEAD_SECONDS = 1
# In others a seek begins so much earlier, and lands between key frames: only where decoders show nothing before the next
# one. That of MPEG-2, for one, begins with any picture, on a grey ground.
LEAD_SECONDS = 30
BEGINS_CLEANLY = frozenset({"h264", "hevc"})
# Candidates further apart than this are taken from key frames alone, where there are enough.
KEY_FRAMES_FROM_SECONDS = 5

_ABORT_WHEN_ANY_EMPTY = ("-abort_on", "empty_output_stream")
# The moment is 0 there. Any rate would do: with a high one the picture is repeated, perhaps millions of times, until the next
# one of the film is due, and with a low one FFmpeg 9, which stops at the second picture, waits for long where it is held on.
_FIRST = shown.first_shown("1/60")
# Where a seek landed after the moment, every picture is put after all time, and the first one ends it: nothing comes out.
_NEVER_SECONDS = 1_000_000
_NOT_LATE = f"trim=end={_NEVER_SECONDS // 2}"
FILTERS = shown.FILTERS | last_moment.FILTERS | {"trim", "thumbnail", "scale", "setsar", "format"}


def input_names(task: media_pb2.ThumbnailsTask) -> frozenset[str]:
    """The inputs that *task* uses."""
    return frozenset({task.input})


def plan(task: media_pb2.ThumbnailsTask, inputs: Mapping[str, MediaInfo], encoders: Set[str]) -> Plan:
    """What to run for *task*. Raises AttemptFailed naming the field and what would be right."""
    return _Thumbnails(task, inputs[task.input], encoders).plan()


class _Thumbnails:
    """One task on the way to its plan."""

    def __init__(self, task: media_pb2.ThumbnailsTask, info: MediaInfo, encoders: Set[str]) -> None:
        self._task = task
        self._info = info
        self._file = numbered_file_of(task.path, encoders)
        self._video = first_video(task.input, info, wanted_for="stills")
        self._deinterlacing = picture.deinterlacing(self._video)
        self._size = size(task.width_px, self._video)
        _check_size(self._size, self._file)
        self._begin = begin_of(info)
        self._rebased = shown.rebased(info)
        self._hold = shown.hold(info)
        self._pattern = staged_pattern(task.path)
        self._selection = selection_of(task, info)

    def plan(self) -> Plan:
        evenly = self._selection.evenly
        if evenly is not None and self._selection.best:
            steps: Sequence[Step] = [self._best(evenly)]
        elif evenly is not None and evenly.count > 1 and not self._is_far(evenly.spacing):
            steps = [self._pass(evenly)]
        else:
            moments = self._selection.offsets if evenly is None else evenly.moments()
            steps = [self._picks(batch) for batch in _batches(moments, self._video)]
        artifacts = tuple(self._expected(number) for number in range(1, self._selection.count + 1))
        return Plan(steps=tuple(steps), artifacts=artifacts, sequence=self._pattern)

    def _is_far(self, spacing: Fraction) -> bool:
        lead = self._lead()
        return lead is not None and spacing >= SEEK_FROM_SECONDS + 2 * lead

    def _lead(self) -> int | None:
        """How many seconds before a moment to seek; None: do not seek."""
        if self._info.duration is None:
            return None
        if self._info.format in INDEXED:
            return INDEXED_LEAD_SECONDS
        return LEAD_SECONDS if self._video.codec in BEGINS_CLEANLY else None

    def _best(self, evenly: Evenly) -> Step:
        """From key frames alone, where the candidates lie far apart: it takes a hundredth of the time."""
        whole = self._pass(evenly, (f"thumbnail=n={CANDIDATES}",))
        if evenly.spacing <= KEY_FRAMES_FROM_SECONDS:
            return whole
        # Shown on for a second only: that too few come out is how it is known that there are too few key frames.
        filters = self._evenly(evenly, shown.HOLD, (f"thumbnail=n={CANDIDATES}",))
        quick = self._numbered(filters, evenly, "-skip_frame", "nokey")
        return replace(quick, least_frames=self._selection.count, otherwise=whole)

    def _pass(self, evenly: Evenly, chosen: Sequence[str] = ()) -> Step:
        """All pictures by one decoding."""
        last = LastMoment(self._task.input, self._info, evenly.moments()[-1])
        step = self._numbered([*last.marking(), *self._evenly(evenly, self._hold, chosen)], evenly)
        return replace(step, argv=(*step.argv, *last.listening()), arrivals=last.arrivals())

    def _evenly(self, evenly: Evenly, hold: str, chosen: Sequence[str]) -> list[str]:
        conversion = self._file.conversion(*self._size)
        return [*self._deinterlacing, *shown.evenly_shown(evenly, self._info, hold), *chosen, conversion]

    def _numbered(self, filters: Sequence[str], evenly: Evenly, *before: str) -> Step:
        """All pictures, numbered by FFmpeg; *before* are options of the input."""
        count = self._selection.count
        argv: list[Argument] = [*ABORT_WHEN_EMPTY, *before, *self._input()]
        argv += [*self._output(0, filters, count), "-start_number", "1", "-f", "image2", OutputPlace(self._pattern)]
        return Step(argv=tuple(argv), frame_count=count, duration=_last(evenly), partial=True)

    def _picks(self, batch: Sequence[tuple[int, Fraction]]) -> Step:
        """A few pictures, each with an input of its own; or all from one that is read from its start."""
        lead = self._lead()
        starts = [None if lead is None else _start(moment - lead, self._begin) for _, moment in batch]
        from_start = self._read_through(batch)
        if not any(starts):
            return from_start
        inputs: list[Argument] = []
        outputs: list[Argument] = []
        for place, ((number, moment), start) in enumerate(zip(batch, starts, strict=True)):
            inputs += ["-noaccurate_seek", "-ss", f"{float(start):.6f}"] if start else []
            inputs += self._input()
            shift = [_shift_unless_late(moment - start), _NOT_LATE] if start else [shown.shift(moment - self._rebased)]
            outputs += self._pick(place, number, shift)
        argv = (*_ABORT_WHEN_ANY_EMPTY, *inputs, *outputs)
        return replace(from_start, argv=argv, arrivals=(), otherwise=from_start)

    def _read_through(self, batch: Sequence[tuple[int, Fraction]]) -> Step:
        argv: list[Argument] = [*_ABORT_WHEN_ANY_EMPTY, *self._input()]
        at = max(moment for _, moment in batch)
        last = LastMoment(self._task.input, self._info, at)
        for number, moment in batch:
            argv += self._pick(0, number, [shown.shift(moment - self._rebased)], last.marking() if moment == at else ())
        argv += last.listening()
        return Step(argv=tuple(argv), weight=len(batch), frame_count=len(batch), partial=True, arrivals=last.arrivals())

    def _input(self) -> list[Argument]:
        return [*whitelists.BEFORE_INPUT, "-i", InputPlace(self._task.input)]

    def _pick(self, place: int, number: int, shift: Sequence[str], before: Sequence[str] = ()) -> list[Argument]:
        """The output of one picture, which is shown at 0 after *shift*; *before* are its first filters."""
        conversion = self._file.conversion(*self._size)
        filters = [*before, *self._deinterlacing, shown.CLOCK, self._hold, *shift, _FIRST, conversion]
        output = self._output(place, filters, 1)
        return [*output, "-update", "1", "-f", "image2", OutputPlace(self._pattern % number)]

    def _output(self, place: int, filters: Sequence[str], count: int) -> list[str]:
        return [
            *("-map", f"{place}:{self._video.index}", "-vf", ",".join(filters), "-frames:v", str(count)),
            *("-fps_mode", "passthrough", "-map_metadata", "-1", "-c:v", self._file.encoder, *self._file.options),
        ]

    def _expected(self, number: int) -> Expected:
        wide, high = self._size
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


def size(width_px: int, source: VideoStream) -> tuple[int, int]:
    """Width and height of the stills: as shown, never larger than the source, not necessarily even."""
    wide = min(width_px, source.width_px) or source.width_px
    return wide, max(1, round(Fraction(wide * source.height_px, source.width_px)))


def _check_size(size_px: tuple[int, int], file: PictureFile) -> None:
    wide, high = size_px
    if max(size_px) > file.max_side_px:
        right = max(1, wide * file.max_side_px // max(size_px))
        raise permanent(
            "OPTION_INVALID",
            f"width_px: the stills would have {wide}x{high} px, and {file.codec} takes at most {file.max_side_px} on a side; "
            f"{right} or less would be right",
        )


def _start(wanted: Fraction, begin: Fraction) -> Fraction | None:
    """Where to seek to. Before the first picture FFmpeg 9 would count the time from there."""
    return wanted if wanted > begin else None


def _shift_unless_late(moment: Fraction) -> str:
    """The same where the first picture is not after *moment*."""
    at = shown.microseconds(moment)
    return f"setpts='PTS-({at})+if(gt(STARTPTS,{at}),{_NEVER_SECONDS}/TB,0)'"


def _last(evenly: Evenly) -> timedelta:
    return timedelta(seconds=float(evenly.spacing * evenly.count))


def _batches(moments: Sequence[Fraction], video: VideoStream) -> list[Sequence[tuple[int, Fraction]]]:
    """Numbered from 1, as many together as one process may have inputs."""
    numbered_moments = list(enumerate(moments, 1))
    most = inputs_per_run([video])
    return [numbered_moments[at : at + most] for at in range(0, len(numbered_moments), most)]
