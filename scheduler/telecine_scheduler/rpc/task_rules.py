"""Rules of tasks that look at more than one field: inputs, outputs, and paths that are patterns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Set
from pathlib import PurePosixPath

from telecine.v1 import media_pb2
from telecine_scheduler.domain.errors import Violation

CONTAINERS = frozenset({"mp4", "mov", "mkv", "webm", "ts", "m4a", "mp3", "ogg", "opus", "flac", "wav"})
PICTURES = frozenset({"jpg", "jpeg", "png", "webp"})
_NUMBER = re.compile(r"%(?:0[1-9])?d")

# The inputs that a task names, and what else is wrong with it.
_Rules = Callable[[media_pb2.JobSpec], tuple[Set[str], list[Violation]]]


def task_violations(spec: media_pb2.JobSpec) -> Iterator[Violation]:
    """What is wrong with the task of a kind that is run here, and with the inputs and the output beside it."""
    kind = str(spec.task.WhichOneof("kind"))
    if kind not in _RULES:
        return
    if kind in FILELESS and spec.HasField("output"):
        yield Violation(field="spec.output", description=f"is not needed by {kind}, which writes no file; leave it out")
    if kind not in FILELESS and not spec.HasField("output"):
        yield Violation(field="spec.output", description=f"is needed by {kind}: where the files go")
    named, violations = _RULES[kind](spec)
    yield from violations
    for name in sorted(named - spec.inputs.keys()):
        yield Violation(field="spec.inputs", description=f"has no input {name!r}, which the task names")
    for name in sorted(spec.inputs.keys() - named):
        yield Violation(field=f'spec.inputs["{name}"]', description="is not used by the task; remove it")


def _transcode(spec: media_pb2.JobSpec) -> tuple[Set[str], list[Violation]]:
    task = spec.task.transcode
    return {task.input}, list(_extension("spec.task.transcode.path", task.path, CONTAINERS, "container"))


def _thumbnails(spec: media_pb2.JobSpec) -> tuple[Set[str], list[Violation]]:
    task, field = spec.task.thumbnails, "spec.task.thumbnails"
    violations = list(_extension(f"{field}.path", task.path, PICTURES, "format"))
    folders, _, name = task.path.rpartition("/")
    if "%" in folders or name.count("%") != 1 or not _NUMBER.search(name):
        violations.append(
            Violation(
                field=f"{field}.path",
                description="must have one %d, or %03d and the like, in the name of the file, and no other %",
            )
        )
    if task.WhichOneof("selection") is None:
        violations.append(
            Violation(field=f"{field}.selection", description="one of count, interval, offsets and best must be set")
        )
    return {task.input}, violations


def _probe(spec: media_pb2.JobSpec) -> tuple[Set[str], list[Violation]]:
    return {spec.task.probe.input}, []


def _ffmpeg(spec: media_pb2.JobSpec) -> tuple[Set[str], list[Violation]]:
    task = spec.task.ffmpeg
    named = {name for flag, name in zip(task.args, task.args[1:], strict=False) if flag == "-i"}
    named |= {name for name in spec.inputs if any(f"{{in:{name}}}" in arg for arg in task.args)}
    return named, [
        Violation(
            field=f"spec.task.ffmpeg.outputs[{index}]",
            description=f"{output!r} does not stand in args, so nothing would write it",
        )
        for index, output in enumerate(task.outputs)
        if output not in task.args
    ]


def _extension(field: str, path: str, known: Set[str], what: str) -> Iterator[Violation]:
    suffix = PurePosixPath(path).suffix.removeprefix(".").lower()
    if suffix not in known:
        listed = ", ".join(sorted(known))
        yield Violation(field=field, description=f"the {what} follows the extension, and .{suffix} is none of {listed}")


_RULES: Mapping[str, _Rules] = {
    "ffmpeg": _ffmpeg, "probe": _probe, "thumbnails": _thumbnails, "transcode": _transcode,
}  # fmt: skip
# The kinds of task that are run here.
TASK_KINDS = frozenset(_RULES)
# Those that write no file.
FILELESS = frozenset({"probe"})
