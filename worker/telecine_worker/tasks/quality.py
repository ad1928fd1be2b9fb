"""QualityTask: how close a copy is to its original, compared picture by picture at the times of the original.

Both begin with their first picture and are compared for as long as both last, whatever the rate or the size of the copy: it is
shown at the original's rate and brought to the original's size. Two pictures that are the same have a PSNR that is no number;
as much is said of them as of very close ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.findings import Wanted
from telecine_worker.ffmpeg.media_info import MediaInfo, VideoStream
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY
from telecine_worker.tasks.arrivals import TOLERANCE_SECONDS
from telecine_worker.tasks.filter_text import chain, filter_text
from telecine_worker.tasks.first_video import first_video
from telecine_worker.tasks.moments import exact_seconds
from telecine_worker.tasks.plan import Argument, InputPlace, Plan, Step

# The filter of each metric.
METRICS = {"ssim": "ssim", "psnr": "psnr", "vmaf": "libvmaf"}
LIBRARY_FILTERS = frozenset({"libvmaf"})
FILTERS = frozenset({"settb", "setpts", "fps", "scale", "format", "split", *METRICS.values()}) - LIBRARY_FILTERS
DEFAULT_RATE = Fraction(25)
# What all three compare; whatever else comes is the first one.
_PIXEL_FORMATS = ("yuv420p", "yuv422p", "yuv444p")


def input_names(task: media_pb2.QualityTask) -> frozenset[str]:
    """The inputs that *task* uses."""
    return frozenset({task.reference, task.distorted})


def plan(task: media_pb2.QualityTask, inputs: Mapping[str, MediaInfo], _encoders: Set[str]) -> Plan:
    """What to run for *task*. Raises AttemptFailed naming the field and what would be right."""
    _check_metrics(task)
    reference = first_video(task.reference, inputs[task.reference], wanted_for="a comparison")
    distorted = first_video(task.distorted, inputs[task.distorted], wanted_for="a comparison")
    durations = [inputs[name].duration for name in (task.reference, task.distorted)]
    compared = min((each for each in durations if each is not None), default=None)
    argv: list[Argument] = ["-loglevel", "repeat+level+info", *ABORT_WHEN_EMPTY]
    for name in (task.distorted, task.reference):
        argv += [*whitelists.BEFORE_INPUT, "-i", InputPlace(name)]
    argv += ["-filter_complex", _graph(task, reference, distorted)]
    for metric in task.metrics:
        argv += ["-map", f"[{metric}]"]
    # Without tags and chapters of the files: what FFmpeg repeats of them could read as a finding.
    argv += ["-map_metadata", "-1", "-map_chapters", "-1", "-fps_mode", "passthrough", "-f", "null", "-"]
    step = Step(
        argv=tuple(argv),
        phase=Phase.ANALYZING,
        duration=compared,
        least_pictures=_least_pictures(reference, distorted),
    )
    return Plan(
        steps=(step,),
        wanted=Wanted(quality=True, compared_rate=_rate(reference)),
        filters={METRICS[metric]: f"metrics {metric}" for metric in task.metrics if METRICS[metric] in LIBRARY_FILTERS},
    )


def _rate(reference: VideoStream) -> Fraction:
    """At which pictures are compared."""
    return reference.frame_rate or DEFAULT_RATE


def _least_pictures(reference: VideoStream, distorted: VideoStream) -> int:
    """Of what has fewer to compare one ends before its own length; 0 where they do not say it themselves."""
    ends = [exact_seconds(each.duration) for each in (reference, distorted) if each.duration is not None]
    return max(0, math.floor((min(ends) - TOLERANCE_SECONDS) * _rate(reference))) if len(ends) == 2 else 0


def _check_metrics(task: media_pb2.QualityTask) -> None:
    unknown = [metric for metric in task.metrics if metric not in METRICS]
    if unknown or not task.metrics or len(set(task.metrics)) < len(task.metrics):
        raise permanent("OPTION_INVALID", f"metrics needs some of {', '.join(METRICS)}, each once")


def _graph(task: media_pb2.QualityTask, reference: VideoStream, distorted: VideoStream) -> str:
    """From both inputs, the copy first, to [ssim], [psnr] and [vmaf]."""
    chains = []
    count = len(task.metrics)
    for place, (stream, side) in enumerate(((distorted, "d"), (reference, "r"))):
        labels = "".join(f"[{side}{number}]" for number in range(count))
        prepared = chain([*_prepared(reference), filter_text("split", count)])
        chains.append(f"[{place}:{stream.index}]{prepared}{labels}")
    for number, metric in enumerate(task.metrics):
        # Without it the last picture of the shorter one is compared again and again.
        compared = filter_text(METRICS[metric], shortest=1)
        chains.append(f"[d{number}][r{number}]{compared}[{metric}]")
    return ";".join(chains)


def _prepared(reference: VideoStream) -> list[str]:
    """From the first picture on, at the times and in the size of the original. A time that a container has rounded would make
    neighbours of pictures that belong together.
    """
    wide, high = reference.coded_width_px, reference.coded_height_px
    if reference.rotation_degrees in (90, 270):
        wide, high = high, wide
    return [
        filter_text("settb", "AVTB"),
        filter_text("setpts", "PTS-STARTPTS"),
        filter_text("fps", fps=_rate(reference)),
        filter_text("scale", wide, high, flags="bicubic", out_range="tv"),
        filter_text("format", _pixel_format(reference)),
    ]


def _pixel_format(reference: VideoStream) -> str:
    name = reference.pixel_format.replace("yuvj", "yuv")
    for known in _PIXEL_FORMATS:
        if name == known:
            return known
        if name.startswith((f"{known}10", f"{known}12")):
            return f"{known}10le"
    return _PIXEL_FORMATS[0]
