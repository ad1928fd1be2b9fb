"""Which planner plans which kind of task."""

from __future__ import annotations

from collections.abc import Mapping, Set

from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed, permanent
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.tasks import probing, raw, thumbnails, transcode
from telecine_worker.tasks.plan import Plan

SUPPORTED = ("ffmpeg", "probe", "thumbnails", "transcode")


def kind_of(task: media_pb2.Task) -> str | None:
    """The word of the contract; None for a kind that this worker does not know."""
    kind = task.WhichOneof("kind")
    return kind if kind in SUPPORTED else None


def check_inputs(spec: media_pb2.JobSpec) -> None:
    """Every input that the task names is there, and every one that is there is used. Raises AttemptFailed."""
    used = input_names(spec.task)
    for name in sorted(used - set(spec.inputs)):
        raise permanent("INPUT_UNKNOWN", f"the task uses input {name!r}, which the spec does not have")
    for name in sorted(set(spec.inputs) - used):
        raise permanent("INPUT_UNUSED", f"the task does not use input {name!r}; leave it out")


def check_output(spec: media_pb2.JobSpec) -> None:
    """A task that writes files has somewhere to write them to, and another one has nowhere. Raises AttemptFailed."""
    writes = kind_of(spec.task) != "probe"
    if writes and not spec.HasField("output"):
        raise permanent("OUTPUT_MISSING", "the task writes files, but the spec has no output")
    if not writes and spec.HasField("output"):
        raise permanent("OPTION_INVALID", "the task writes no file; leave output out of the spec")


def input_names(task: media_pb2.Task) -> frozenset[str]:
    """The inputs that *task* uses. Raises AttemptFailed."""
    match kind_of(task):
        case "ffmpeg":
            return raw.input_names(task.ffmpeg)
        case "probe":
            return probing.input_names(task.probe)
        case "thumbnails":
            return thumbnails.input_names(task.thumbnails)
        case "transcode":
            return transcode.input_names(task.transcode)
        case _:
            raise _unsupported(task)


def plan(task: media_pb2.Task, inputs: Mapping[str, MediaInfo], encoders: Set[str]) -> Plan:
    """What to run for *task* on these inputs with these encoders. Raises AttemptFailed."""
    match kind_of(task):
        case "ffmpeg":
            return raw.plan(task.ffmpeg, inputs, encoders)
        case "probe":
            return probing.plan(task.probe, inputs, encoders)
        case "thumbnails":
            return thumbnails.plan(task.thumbnails, inputs, encoders)
        case "transcode":
            return transcode.plan(task.transcode, inputs, encoders)
        case _:
            raise _unsupported(task)


def _unsupported(task: media_pb2.Task) -> AttemptFailed:
    kind = task.WhichOneof("kind")
    return permanent("UNSUPPORTED_TASK", f"this worker runs {', '.join(SUPPORTED)} tasks, not {kind}")
