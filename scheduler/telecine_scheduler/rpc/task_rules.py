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
# As in media.proto. What is no name may be a URI with secrets, and is not repeated.
_INPUT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)

# Of what a caller wrote, in a message to him.
MOST_QUOTED = 80

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
    for name in sorted(filter(_INPUT_NAME.fullmatch, named - spec.inputs.keys())):
        yield Violation(field="spec.inputs", description=f"has no input {name!r}, which the task names")
    for name in sorted(spec.inputs.keys() - named):
        yield Violation(field=f'spec.inputs["{name}"]', description="is not used by the task; remove it")


def _transcode(spec: media_pb2.JobSpec) -> tuple[Set[str], list[Violation]]:
    task, field = spec.task.transcode, "spec.task.transcode"
    return {task.input}, [
        *_no_name(f"{field}.input", task.input), *_extension(f"{field}.path", task.path, CONTAINERS, "container"),
    ]  # fmt: skip


def _thumbnails(spec: media_pb2.JobSpec) -> tuple[Set[str], list[Violation]]:
    task, field = spec.task.thumbnails, "spec.task.thumbnails"
    violations = [
        *_no_name(f"{field}.input", task.input), *_extension(f"{field}.path", task.path, PICTURES, "format"),
    ]  # fmt: skip
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
    name = spec.task.probe.input
    return {name}, list(_no_name("spec.task.probe.input", name))


def _ffmpeg(spec: media_pb2.JobSpec) -> tuple[Set[str], list[Violation]]:
    task, field = spec.task.ffmpeg, "spec.task.ffmpeg"
    named = {place + 1: name for place, name in enumerate(task.args[1:]) if task.args[place] == "-i"}
    violations = [each for place, name in named.items() for each in _no_name(f"{field}.args[{place}]", name)]
    violations += [
        Violation(
            field=f"{field}.outputs[{index}]",
            description=f"{output[:MOST_QUOTED]!r} does not stand in args, so nothing would write it",
        )
        for index, output in enumerate(task.outputs)
        if output not in task.args
    ]
    replaced = {name for name in spec.inputs if any(f"{{in:{name}}}" in arg for arg in task.args)}
    return replaced | set(named.values()), violations


def _no_name(field: str, name: str) -> Iterator[Violation]:
    if not _INPUT_NAME.fullmatch(name):
        description = (
            "stands for an input, by its name of 1 to 64 letters, digits, '.', '_' or '-'; it is no URI or path"
        )
        yield Violation(field=field, description=description)


def _extension(field: str, path: str, known: Set[str], what: str) -> Iterator[Violation]:
    suffix = PurePosixPath(path).suffix.removeprefix(".").lower()
    if suffix not in known:
        listed = ", ".join(sorted(known))
        shown = suffix[:MOST_QUOTED]
        yield Violation(field=field, description=f"the {what} follows the extension, and .{shown} is none of {listed}")


_RULES: Mapping[str, _Rules] = {
    "ffmpeg": _ffmpeg, "probe": _probe, "thumbnails": _thumbnails, "transcode": _transcode,
}  # fmt: skip
# The kinds of task that are run here.
TASK_KINDS = frozenset(_RULES)
# Those that write no file.
FILELESS = frozenset({"probe"})
