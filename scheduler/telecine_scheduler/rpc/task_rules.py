"""Rules of tasks that look at more than one field: inputs, outputs, and paths that are patterns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set

from telecine.v1 import media_pb2
from telecine_scheduler.domain.errors import Violation
from telecine_scheduler.rpc import field_rules, stream_rules
from telecine_scheduler.rpc.packaging_rules import packaging_violations

# The inputs that a task names, and what else is wrong with it.
_Found = tuple[Set[str], list[Violation]]
_Rules = Callable[[media_pb2.JobSpec], _Found]


def task_violations(spec: media_pb2.JobSpec) -> Iterator[Violation]:
    """What is wrong with the task, and with the inputs and the output beside it."""
    kind = str(spec.task.WhichOneof("kind"))
    if kind not in _RULES:
        return
    if kind in FILELESS and spec.HasField("output"):
        yield Violation(field="spec.output", description=f"is not needed by {kind}, which writes no file; leave it out")
    if kind not in FILELESS and not spec.HasField("output"):
        yield Violation(field="spec.output", description=f"is needed by {kind}: where the files go")
    named, violations = _RULES[kind](spec)
    yield from violations
    given = set(spec.inputs)
    if named == given:
        return
    for name in sorted(filter(field_rules.is_input_name, named - given)):
        yield Violation(field="spec.inputs", description=f"has no input {name!r}, which the task names")
    for name in sorted(given - named):
        yield Violation(field=f'spec.inputs["{name}"]', description="is not used by the task; remove it")


def _transcode(spec: media_pb2.JobSpec) -> _Found:
    task, field = spec.task.transcode, "spec.task.transcode"
    named, violations = _filters(field, task)
    if task.HasField("filters") and (not task.HasField("video") or task.video.codec == "copy"):
        violations.append(Violation(field=f"{field}.filters", description="need video that is encoded"))
    return {task.input} | named, [
        *field_rules.input_name(f"{field}.input", task.input),
        *field_rules.extension(f"{field}.path", task.path, field_rules.CONTAINERS, "container"),
        *field_rules.frame_rate(f"{field}.video", task.video), *stream_rules.video(f"{field}.video", task.video),
        *stream_rules.audio(f"{field}.audio", task.audio), *stream_rules.container(field, task), *violations,
    ]  # fmt: skip


def _packaging(spec: media_pb2.JobSpec) -> _Found:
    task, field = spec.task.packaging, "spec.task.packaging"
    named, violations = _filters(field, task)
    return {task.input} | named, [
        *field_rules.input_name(f"{field}.input", task.input), *packaging_violations(task),
        *stream_rules.audio(f"{field}.audio", task.audio), *violations,
    ]  # fmt: skip


def _filters(field: str, task: media_pb2.TranscodeTask | media_pb2.PackagingTask) -> _Found:
    """Watermark and subtitles are inputs of their own."""
    named: set[str] = set()
    violations: list[Violation] = []
    if not task.HasField("filters"):
        return named, violations
    field, filters = f"{field}.filters", task.filters
    if filters.HasField("watermark"):
        named.add(filters.watermark.input)
        violations += field_rules.input_name(f"{field}.watermark.input", filters.watermark.input)
    if filters.burn_subtitles:
        named.add(filters.burn_subtitles)
        violations += field_rules.input_name(f"{field}.burn_subtitles", filters.burn_subtitles)
    return named, violations


def _thumbnails(spec: media_pb2.JobSpec) -> _Found:
    task, field = spec.task.thumbnails, "spec.task.thumbnails"
    violations = [
        *field_rules.input_name(f"{field}.input", task.input),
        *field_rules.extension(f"{field}.path", task.path, field_rules.PICTURES, "format"),
        *field_rules.numbered(f"{field}.path", task.path),
    ]
    if task.WhichOneof("selection") is None:
        violations.append(
            Violation(field=f"{field}.selection", description="one of count, interval, offsets and best must be set")
        )
    return {task.input}, violations


def _sprites(spec: media_pb2.JobSpec) -> _Found:
    task, field = spec.task.sprites, "spec.task.sprites"
    return {task.input}, [
        *field_rules.input_name(f"{field}.input", task.input),
        *field_rules.extension(f"{field}.path", task.path, field_rules.PICTURES, "format"),
        *field_rules.numbered(f"{field}.path", task.path),
        *field_rules.extension(f"{field}.index_path", task.index_path, {"vtt"}, "index's format"),
        *field_rules.sheet(field, task),
    ]  # fmt: skip


def _audio(spec: media_pb2.JobSpec) -> _Found:
    task, field = spec.task.audio, "spec.task.audio"
    sizes = () if task.waveform_path else ("waveform_width_px", "waveform_height_px")
    description = "is of the waveform's picture, and waveform_path names none; set it or leave this out"
    return {task.input}, [
        *field_rules.input_name(f"{field}.input", task.input),
        *field_rules.extension(f"{field}.path", task.path, field_rules.CONTAINERS, "container"),
        *(Violation(field=f"{field}.{name}", description=description) for name in sizes if getattr(task, name)),
        *stream_rules.audio(f"{field}.audio", task.audio), *stream_rules.container(field, task),
    ]  # fmt: skip


def _concat(spec: media_pb2.JobSpec) -> _Found:
    task, field = spec.task.concat, "spec.task.concat"
    copies = not task.HasField("video") and not task.HasField("audio")
    wrong = {
        f"{name}.codec": "leave out video and audio to copy, or encode both"
        for name in ("video", "audio")
        if getattr(task, name).codec == stream_rules.COPY
    }
    for index, clip in enumerate(task.clips):
        if copies and clip.trim != media_pb2.Trim():
            wrong[f"clips[{index}].trim"] = "what is copied is copied whole; set video or audio, and all is encoded"
    if task.video.hardware:
        wrong["video.hardware"] = "clips are encoded by software; leave it out"
    names = (
        each
        for index, clip in enumerate(task.clips)
        for each in field_rules.input_name(f"{field}.clips[{index}].input", clip.input)
    )
    return {clip.input for clip in task.clips}, [
        *names,
        *field_rules.extension(f"{field}.path", task.path, field_rules.CONTAINERS, "container"),
        *field_rules.frame_rate(f"{field}.video", task.video), *stream_rules.video(f"{field}.video", task.video),
        *stream_rules.audio(f"{field}.audio", task.audio), *stream_rules.container(field, task),
        *(Violation(field=f"{field}.{name}", description=description) for name, description in wrong.items()),
    ]  # fmt: skip


def _preview(spec: media_pb2.JobSpec) -> _Found:
    task, field = spec.task.preview, "spec.task.preview"
    return {task.input}, [
        *field_rules.input_name(f"{field}.input", task.input),
        *field_rules.extension(f"{field}.path", task.path, field_rules.PREVIEWS, "format"),
        *field_rules.preview_rate(f"{field}.frame_rate", task),
    ]  # fmt: skip


def _probe(spec: media_pb2.JobSpec) -> _Found:
    name = spec.task.probe.input
    return {name}, list(field_rules.input_name("spec.task.probe.input", name))


def _quality(spec: media_pb2.JobSpec) -> _Found:
    task, field = spec.task.quality, "spec.task.quality"
    violations = [
        *field_rules.input_name(f"{field}.reference", task.reference),
        *field_rules.input_name(f"{field}.distorted", task.distorted),
    ]
    if task.reference == task.distorted:
        violations.append(
            Violation(field=f"{field}.distorted", description="is the reference itself; name another input")
        )
    return {task.reference, task.distorted}, violations


def _ffmpeg(spec: media_pb2.JobSpec) -> _Found:
    task, field = spec.task.ffmpeg, "spec.task.ffmpeg"
    args = list(task.args)
    named = {place: args[place] for place in range(1, len(args)) if args[place - 1] == "-i"}
    violations = [
        each for place, name in named.items() for each in field_rules.input_name(f"{field}.args[{place}]", name)
    ]
    violations += [
        Violation(
            field=f"{field}.outputs[{index}]",
            description=f"{output[: field_rules.MOST_QUOTED]!r} does not stand in args, so nothing would write it",
        )
        for index, output in enumerate(task.outputs)
        if output not in args
    ]
    replacing = [arg for arg in args if "{in:" in arg]
    replaced = {name for name in spec.inputs if any(f"{{in:{name}}}" in arg for arg in replacing)}
    return replaced | set(named.values()), violations


_RULES: Mapping[str, _Rules] = {
    "audio": _audio, "concat": _concat, "ffmpeg": _ffmpeg, "packaging": _packaging, "preview": _preview, "probe": _probe,
    "quality": _quality, "sprites": _sprites, "thumbnails": _thumbnails, "transcode": _transcode,
}  # fmt: skip
# The kinds of task that are run here.
TASK_KINDS = frozenset(_RULES)
# Those that write no file.
FILELESS = frozenset({"probe", "quality"})
