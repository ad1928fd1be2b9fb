"""ThumbnailsTask: still pictures of a video. A still at a time is the picture that is shown at that time.

Two ways lead to the same pictures. One pass decodes everything once, and the filter fps hands on what is shown at evenly
spaced moments. Or each picture has an input of its own, sought to the key frame before the moment, several to a process.
The first costs by the length of the input, the second by the number of pictures.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from datetime import timedelta
from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.expected import Expected, ExpectedVideo
from telecine_worker.ffmpeg.media_info import MediaInfo, VideoStream
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY
from telecine_worker.tasks.moments import CANDIDATES, Evenly, selection_of
from telecine_worker.tasks.picture_files import picture_file_of
from telecine_worker.tasks.plan import Argument, InputPlace, OutputPlace, Plan, Step

# From this distance on seeking is cheaper than decoding what lies between. Measured on four minutes of 720p with a key frame
# every 5 s: 10 s apart, seeking took 1.0 s of CPU and one pass 7.4; 5 s apart 6.7 and 7.6; 2.5 s apart 11.7 and 7.9.
SEEK_FROM_SECONDS = 10
# Inputs of one process when seeking: each has a decoder with its own memory.
PICKS_PER_RUN = 8
# Where a container has no index that leads to key frames, a seek begins this much earlier.
LEAD_SECONDS = 30
# Candidates further apart than this are taken from key frames alone.
KEY_FRAMES_FROM_SECONDS = 5
# Containers with an index of key frames.
INDEXED = frozenset({"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"})

# A stated duration may be a little longer than the pictures are shown: the last one is shown on so long.
_HOLD = "tpad=stop_mode=clone:stop_duration=1"
# Frames get the number of the moment at or after them; at each moment the last one with its number or a lower one goes
# on. So it is the one shown, where "near" would take the next one too early.
_SHOWN_AT = "fps=fps={rate}:round=up:start_time=0"
# The moment of a seek is 0 there; a thousandth of a second is less than any picture is shown.
_FIRST = _SHOWN_AT.format(rate=1000)
FILTERS = frozenset({"tpad", "setpts", "fps", "thumbnail", "scale", "setsar", "format"})

_NUMBER = re.compile(r"%(?:0[1-9])?d")


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
        self._file = picture_file_of(task.path)
        _check_pattern(task.path)
        if self._file.encoder not in encoders:
            raise permanent("ENCODER_MISSING", f"FFmpeg on this worker has no encoder {self._file.encoder}")
        self._video = _first_video(task, info)
        self._size = size(task.width_px, self._video)
        self._pattern = f"out-%d.{task.path.rpartition('.')[2].lower()}"
        self._selection = selection_of(task, info)

    def plan(self) -> Plan:
        evenly = self._selection.evenly
        if evenly is not None and (self._selection.best or not self._is_far(evenly.spacing)):
            steps: Sequence[Step] = [self._pass(evenly)]
        else:
            moments = self._selection.offsets if evenly is None else evenly.moments()
            numbered = list(enumerate(moments, 1))
            steps = [self._picks(batch) for batch in _batches(numbered)]
        artifacts = tuple(self._expected(number) for number in range(1, self._selection.count + 1))
        return Plan(steps=tuple(steps), artifacts=artifacts, sequence=self._pattern)

    def _is_far(self, spacing: Fraction) -> bool:
        lead = self._lead()
        return lead is not None and spacing >= SEEK_FROM_SECONDS + 2 * lead

    def _lead(self) -> Fraction | None:
        """How much before a moment to seek; None: do not seek."""
        if self._info.duration is None:
            return None
        return Fraction(0 if self._info.format in INDEXED else LEAD_SECONDS)

    def _pass(self, evenly: Evenly) -> Step:
        """All pictures, numbered by FFmpeg."""
        best, count = self._selection.best, self._selection.count
        rate = 1 / evenly.spacing
        filters = [
            _HOLD,
            *_shifted(evenly.first),
            _SHOWN_AT.format(rate=f"{rate.numerator}/{rate.denominator}"),
            *([f"thumbnail=n={CANDIDATES}"] if best else []),
            self._file.conversion(*self._size),
        ]
        argv: list[Argument] = [*ABORT_WHEN_EMPTY]
        argv += ["-skip_frame", "nokey"] if best and evenly.spacing > KEY_FRAMES_FROM_SECONDS else []
        argv += [*whitelists.BEFORE_INPUT, "-i", InputPlace(self._task.input), *self._output(0, filters, count)]
        argv += ["-start_number", "1", "-f", "image2", OutputPlace(self._pattern)]
        return Step(argv=tuple(argv), frame_count=count, duration=_last(evenly))

    def _picks(self, batch: Sequence[tuple[int, Fraction]]) -> Step:
        """A few pictures, each with an input of its own."""
        argv: list[Argument] = [*ABORT_WHEN_EMPTY]
        outputs: list[Argument] = []
        lead = self._lead()
        for place, (number, moment) in enumerate(batch):
            start = Fraction(0) if lead is None else max(Fraction(0), moment - lead)
            argv += ["-noaccurate_seek", "-ss", _decimal(start)] if start else []
            argv += [*whitelists.BEFORE_INPUT, "-i", InputPlace(self._task.input)]
            filters = [_HOLD, *_shifted(moment - start), _FIRST, self._file.conversion(*self._size)]
            outputs += [*self._output(place, filters, 1), "-update", "1", "-f", "image2"]
            outputs += [OutputPlace(self._pattern % number)]
        return Step(argv=(*argv, *outputs), weight=len(batch), frame_count=len(batch))

    def _output(self, place: int, filters: Sequence[str], count: int) -> list[str]:
        return [
            *("-map", f"{place}:{self._video.index}", "-vf", ",".join(filters), "-frames:v", str(count)),
            *("-fps_mode", "passthrough", "-map_metadata", "-1", "-c:v", self._file.encoder, *self._file.options),
        ]

    def _expected(self, number: int) -> Expected:
        wide, high = self._size
        return Expected(
            path=_NUMBER.sub(lambda match: match[0] % number, self._task.path),
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


def _check_pattern(path: str) -> None:
    folders, _, name = path.rpartition("/")
    if "%" in folders or name.count("%") != 1 or not _NUMBER.search(name):
        raise permanent(
            "OPTION_INVALID",
            f"path {path!r} needs one %d, or %03d and the like, in the name of the file, and no other %",
        )


def _first_video(task: media_pb2.ThumbnailsTask, info: MediaInfo) -> VideoStream:
    if not info.video:
        raise permanent("INPUT_MISSING_STREAM", f"stills are asked for, but input {task.input} has no video")
    if not info.video[0].width_px or not info.video[0].height_px:
        raise permanent("INPUT_INVALID", f"the size of the video of input {task.input} cannot be told")
    return info.video[0]


def _shifted(moment: Fraction) -> list[str]:
    """So that *moment* becomes 0."""
    return [f"setpts=PTS-{_decimal(moment)}/TB"] if moment else []


def _decimal(time: Fraction) -> str:
    """Seconds, to the microsecond."""
    return f"{float(time):.6f}"


def _last(evenly: Evenly) -> timedelta:
    return timedelta(seconds=float(evenly.spacing * evenly.count))


def _batches(numbered: Sequence[tuple[int, Fraction]]) -> list[Sequence[tuple[int, Fraction]]]:
    return [numbered[at : at + PICKS_PER_RUN] for at in range(0, len(numbered), PICKS_PER_RUN)]
