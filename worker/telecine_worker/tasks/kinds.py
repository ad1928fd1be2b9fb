"""Which planner plans which kind of task."""

from __future__ import annotations

from collections.abc import Mapping, Set

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.tasks import raw, transcode
from telecine_worker.tasks.plan import Plan

SUPPORTED = ("ffmpeg", "transcode")


def check_inputs(spec: media_pb2.JobSpec) -> None:
    """Every input that the task names is there, and every one that is there is used. Raises AttemptFailed."""
    used = input_names(spec.task)
    for name in sorted(used - set(spec.inputs)):
        raise permanent("INPUT_UNKNOWN", f"the task uses input {name!r}, which the spec does not have")
    for name in sorted(set(spec.inputs) - used):
        raise permanent("INPUT_UNUSED", f"the task does not use input {name!r}; leave it out")


def input_names(task: media_pb2.Task) -> frozenset[str]:
    """The inputs that *task* uses. Raises AttemptFailed."""
    match _kind(task):
        case "ffmpeg":
            return raw.input_names(task.ffmpeg)
        case _:
            return transcode.input_names(task.transcode)


def plan(task: media_pb2.Task, inputs: Mapping[str, MediaInfo], encoders: Set[str]) -> Plan:
    """What to run for *task* on these inputs with these encoders. Raises AttemptFailed."""
    match _kind(task):
        case "ffmpeg":
            return raw.plan(task.ffmpeg, inputs, encoders)
        case _:
            return transcode.plan(task.transcode, inputs, encoders)


def _kind(task: media_pb2.Task) -> str:
    kind = task.WhichOneof("kind")
    if kind not in SUPPORTED:
        raise permanent("UNSUPPORTED_TASK", f"this worker runs {' and '.join(SUPPORTED)} tasks, not {kind}")
    return kind
