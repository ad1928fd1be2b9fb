"""Which planner plans which kind of task."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any, Protocol

from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed, permanent
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.tasks import (
    audio,
    concat,
    packaging,
    preview,
    probing,
    quality,
    raw,
    sprites,
    thumbnails,
    transcode,
)
from telecine_worker.tasks.plan import Plan


class Planner(Protocol):
    """What the module of a kind has. *task* is the message of that kind."""

    def input_names(self, task: Any, /) -> frozenset[str]:
        """The inputs that *task* uses. Raises AttemptFailed."""

    def plan(self, task: Any, inputs: Mapping[str, MediaInfo], encoders: Set[str], /) -> Plan:
        """What to run for *task* on these inputs with these encoders. Raises AttemptFailed."""


PLANNERS: Mapping[str, Planner] = {
    "audio": audio,
    "concat": concat,
    "ffmpeg": raw,
    "packaging": packaging,
    "preview": preview,
    "probe": probing,
    "quality": quality,
    "sprites": sprites,
    "thumbnails": thumbnails,
    "transcode": transcode,
}
SUPPORTED = tuple(sorted(PLANNERS))
FILELESS = frozenset({"probe", "quality"})
"""Those that write no file."""


def kind_of(task: media_pb2.Task) -> str | None:
    """The word of the contract; None for a kind that this worker does not know."""
    kind = task.WhichOneof("kind")
    return kind if kind in PLANNERS else None


def check_inputs(spec: media_pb2.JobSpec) -> None:
    """Every input that the task names is there, and every one that is there is used. Raises AttemptFailed."""
    used = input_names(spec.task)
    for name in sorted(used - set(spec.inputs)):
        raise permanent("INPUT_UNKNOWN", f"the task uses input {name!r}, which the spec does not have")
    for name in sorted(set(spec.inputs) - used):
        raise permanent("INPUT_UNUSED", f"the task does not use input {name!r}; leave it out")


def check_output(spec: media_pb2.JobSpec) -> None:
    """A task that writes files has somewhere to write them to, and another one has nowhere. Raises AttemptFailed."""
    writes = kind_of(spec.task) not in FILELESS
    if writes and not spec.HasField("output"):
        raise permanent("OUTPUT_MISSING", "the task writes files, but the spec has no output")
    if not writes and spec.HasField("output"):
        raise permanent("OPTION_INVALID", "the task writes no file; leave output out of the spec")


def input_names(task: media_pb2.Task) -> frozenset[str]:
    """The inputs that *task* uses. Raises AttemptFailed."""
    planner, message = _planner(task)
    return planner.input_names(message)


def plan(task: media_pb2.Task, inputs: Mapping[str, MediaInfo], encoders: Set[str]) -> Plan:
    """What to run for *task* on these inputs with these encoders. Raises AttemptFailed."""
    planner, message = _planner(task)
    return planner.plan(message, inputs, encoders)


def _planner(task: media_pb2.Task) -> tuple[Planner, Any]:
    """For *task*, and the message it reads. Raises AttemptFailed UNSUPPORTED_TASK."""
    kind = kind_of(task)
    if kind is None:
        raise _unsupported(task)
    return PLANNERS[kind], getattr(task, kind)


def _unsupported(task: media_pb2.Task) -> AttemptFailed:
    kind = task.WhichOneof("kind")
    return permanent("UNSUPPORTED_TASK", f"this worker runs {', '.join(SUPPORTED)} tasks, not {kind}")
