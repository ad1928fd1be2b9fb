"""ProbeTask: what a file is. Whatever is to be measured or detected is found in one decode."""

from __future__ import annotations

from collections.abc import Mapping, Set

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.findings import Wanted
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.tasks.least_length import least_length
from telecine_worker.tasks.plan import Argument, InputPlace, Plan, Step

# All of these are said, though they are or were the defaults of some FFmpeg: the answer must not depend on the build.
SCENE_THRESHOLD = 10
"""In hundredths: what FFmpeg's scdet has by itself. Each change is told with its score, for whoever wants fewer."""
SHORTEST_BLACK_SECONDS = 0.5
SHORTEST_SILENCE_SECONDS = 0.5
SILENCE_DB = -60

_SCENES = f"scdet=threshold={SCENE_THRESHOLD}"
_BLACK = f"blackdetect=d={SHORTEST_BLACK_SECONDS}:pic_th=0.98:pix_th=0.10"
_SILENCE = f"silencedetect=noise={SILENCE_DB}dB:d={SHORTEST_SILENCE_SECONDS}:mono=0"
# The first pass of a normalization (reference 2.3, R6), so that what is told here and what is used there are the same.
_LOUDNESS = "loudnorm=print_format=json"

FILTERS = frozenset({"scdet", "blackdetect", "silencedetect", "loudnorm"})


def input_names(task: media_pb2.ProbeTask) -> frozenset[str]:
    """The inputs that *task* uses."""
    return frozenset({task.input})


def plan(task: media_pb2.ProbeTask, inputs: Mapping[str, MediaInfo], _encoders: Set[str]) -> Plan:
    """What to run for *task*: nothing, where what the file says of itself is enough.

    Raises AttemptFailed INPUT_MISSING_STREAM.
    """
    wanted = Wanted(
        decode=task.decode,
        loudness=task.measure_loudness,
        scenes=task.detect_scenes,
        black=task.detect_black,
        silence=task.detect_silence,
    )
    if wanted == Wanted():
        return Plan(steps=())
    info = inputs[task.input]
    _check_streams(task, info)
    step = Step(
        argv=tuple(_argv(task, info)),
        phase=Phase.ANALYZING,
        duration=info.duration,
        frame_count=(info.video[0].frame_count or None) if info.video else None,
        measures_damage=task.decode,
        tells_damage=True,
        least_duration=least_length(info, (*info.video, *info.audio)) if task.decode else None,
    )
    return Plan(steps=(step,), wanted=wanted)


def _check_streams(task: media_pb2.ProbeTask, info: MediaInfo) -> None:
    for field, is_set, needed, found in (
        ("measure_loudness", task.measure_loudness, "sound", info.audio),
        ("detect_silence", task.detect_silence, "sound", info.audio),
        ("detect_scenes", task.detect_scenes, "pictures", info.video),
        ("detect_black", task.detect_black, "pictures", info.video),
        ("decode", task.decode, "sound and no pictures", (*info.video, *info.audio)),
    ):
        if is_set and not found:
            raise permanent(
                "INPUT_MISSING_STREAM", f"{field} is asked for, but input {task.input} has no {needed}; leave it out"
            )


def _argv(task: media_pb2.ProbeTask, info: MediaInfo) -> list[Argument]:
    # How much was decoded is said at verbose, what was detected at info. No line may be folded into "repeated 3 times".
    level = "verbose" if task.decode else "info"
    argv: list[Argument] = ["-loglevel", f"repeat+level+{level}", "-max_error_rate", "1"]
    argv += [*whitelists.BEFORE_INPUT, "-i", InputPlace(task.input)]
    of_video = [text for text, is_set in ((_SCENES, task.detect_scenes), (_BLACK, task.detect_black)) if is_set]
    # loudnorm last: it is the one that changes what passes through it.
    of_audio = [
        text for text, is_set in ((_SILENCE, task.detect_silence), (_LOUDNESS, task.measure_loudness)) if is_set
    ]
    for streams, filters, kind in ((info.video, of_video, "v"), (info.audio, of_audio, "a")):
        used = streams if task.decode else streams[:1] if filters else ()
        argv += [token for stream in used for token in ("-map", f"0:{stream.index}")]
        argv += [f"-filter:{kind}:0", ",".join(filters)] if filters else []
    # Without tags and chapters of the file: what FFmpeg repeats of them could read as a finding.
    argv += ["-map_metadata", "-1", "-map_chapters", "-1"]
    return [*argv, "-fps_mode", "passthrough", "-f", "null", "-"]
