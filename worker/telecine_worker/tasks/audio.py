"""AudioTask: a transcode of the sound alone, and a picture of its waveform."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import replace
from datetime import timedelta

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.expected import Expected, ExpectedVideo
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.probe import MAX_DURATION
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY
from telecine_worker.ffmpeg.values import MAX_PICTURE_PX
from telecine_worker.tasks import audio_encoding, transcode
from telecine_worker.tasks.encoders import check_encoder
from telecine_worker.tasks.plan import Argument, OutputPlace, Plan, Step

DEFAULT_WAVEFORM_PX = (1280, 240)
WAVEFORM_FILE = "waveform.png"
# Drawn twice as fast as encoded, or faster.
WAVEFORM_WEIGHT = 0.3
# showwavespic keeps all samples, of two bytes and as much again for their keeping, until the end.
MOST_SAMPLES = 20_000_000
LEAST_RATE_HZ = 500
# Of a sound that is so short that it has fewer samples than the picture columns.
_SAMPLES_A_COLUMN = 2
_MOST_RATE_HZ = 1_000_000
COLOUR = "0x2f6fb0"
FILTERS = frozenset({"aformat", "aeval", "aresample", "apad", "showwavespic"})


def input_names(task: media_pb2.AudioTask) -> frozenset[str]:
    """The inputs that *task* uses."""
    return frozenset({task.input})


def plan(task: media_pb2.AudioTask, inputs: Mapping[str, MediaInfo], encoders: Set[str]) -> Plan:
    """What to run for *task*. Raises AttemptFailed naming the field and what would be right."""
    if not task.HasField("audio"):
        raise permanent("OPTION_INVALID", "an audio task needs audio")
    sound = transcode.plan(_as_transcode(task), inputs, encoders)
    if not task.waveform_path:
        _check_no_size(task)
        return sound
    check_encoder("png", encoders)
    size_px = _size(task)
    (made,) = sound.artifacts
    return replace(
        sound,
        steps=(*sound.steps, _draw(made, inputs[task.input], size_px)),
        artifacts=(made, _expected(task.waveform_path, size_px)),
    )


def _as_transcode(task: media_pb2.AudioTask) -> media_pb2.TranscodeTask:
    same = media_pb2.TranscodeTask(input=task.input, path=task.path, audio=task.audio)
    if task.HasField("trim"):
        same.trim.CopyFrom(task.trim)
    return same


def _check_no_size(task: media_pb2.AudioTask) -> None:
    for field in ("waveform_width_px", "waveform_height_px"):
        if getattr(task, field):
            raise permanent("OPTION_INVALID", f"{field} is the size of a picture that waveform_path does not ask for")


def _size(task: media_pb2.AudioTask) -> tuple[int, int]:
    wide, high = DEFAULT_WAVEFORM_PX
    wide, high = task.waveform_width_px or wide, task.waveform_height_px or high
    if wide * high > MAX_PICTURE_PX:
        raise permanent(
            "OPTION_INVALID",
            f"a waveform of {wide}x{high} px; at most {MAX_PICTURE_PX} pixels would be right",
        )
    return wide, high


def _draw(sound: Expected, source: MediaInfo, size_px: tuple[int, int]) -> Step:
    """From the file that was made: what is seen is what is heard, cut and made louder as it is."""
    wide, high = size_px
    duration = sound.duration or source.duration
    # In whole numbers: of floating-point channels the sum is as loud as all together, and is cut off.
    filters = [
        "aformat=sample_fmts=s16:channel_layouts=mono",
        *_thinned(source, duration),
        *_stretched(sound, source, wide),
    ]
    filters.append(f"showwavespic=s={wide}x{high}:colors={COLOUR}")
    argv: list[Argument] = [*ABORT_WHEN_EMPTY, *whitelists.BEFORE_INPUT, "-i", OutputPlace(sound.file_name)]
    argv += ["-filter_complex", f"[0:a:0]{','.join(filters)}[picture]", "-map", "[picture]", "-frames:v", "1"]
    argv += ["-fps_mode", "passthrough", "-map_metadata", "-1", "-c:v", "png", "-update", "1", "-f", "image2"]
    return Step(argv=(*argv, OutputPlace(WAVEFORM_FILE)), phase=Phase.ENCODING, weight=WAVEFORM_WEIGHT, frame_count=1)


def _thinned(source: MediaInfo, duration: timedelta | None) -> list[str]:
    """So that long sounds need no more memory. A column's height is the mean of what its samples are without their sign,
    which fewer samples of that have as well.
    """
    seconds = (duration or MAX_DURATION).total_seconds()
    # The file that is drawn may have a higher one than the source: Opus has no other than this.
    rate = max(source.audio[0].sample_rate_hz or 0, audio_encoding.DEFAULT_RATE_HZ)
    if seconds * rate <= MOST_SAMPLES:
        return []
    return ["aeval=abs(val(0)):c=same", f"aresample={max(LEAST_RATE_HZ, int(MOST_SAMPLES / seconds))}"]


def _stretched(sound: Expected, source: MediaInfo, wide: int) -> list[str]:
    """So that a short sound has samples for each column: showwavespic draws nothing without."""
    duration = sound.duration or source.duration
    wanted = _SAMPLES_A_COLUMN * wide / duration.total_seconds() if duration else 0
    made = sound.audio.sample_rate_hz if sound.audio is not None else None
    there = made or source.audio[0].sample_rate_hz or audio_encoding.DEFAULT_RATE_HZ
    resampled = [f"aresample={min(math.ceil(wanted), _MOST_RATE_HZ)}"] if wanted > there else []
    return [*resampled, f"apad=whole_len={wide}"]


def _expected(path: str, size_px: tuple[int, int]) -> Expected:
    wide, high = size_px
    return Expected(
        path=path,
        file_name=WAVEFORM_FILE,
        media_type="image/png",
        formats=("png_pipe",),
        exact_streams=True,
        video=ExpectedVideo(codec="png", width_px=wide, height_px=high),
    )
