"""What was asked of a job, in words for people."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from telecine.v1 import media_pb2
from telecine_client.cli.locations import shown
from telecine_client.cli.text import plain

USUAL_PRIORITY = 50


def spec_facts(spec: media_pb2.JobSpec) -> Iterator[tuple[str, str]]:
    """What each fact is called, and the fact; labels are the job's own."""
    kind = spec.task.WhichOneof("kind")
    if kind:
        yield "task", f"{kind} {_task(getattr(spec.task, kind))}"
    for name, source in sorted(spec.inputs.items()):
        yield "input", f"{name}  {_input(source)}"
    if spec.HasField("output"):
        yield "output", " ".join([plain(shown(spec.output.uri)), *_fields(spec.output, without={"uri"})])
    yield "queue", spec.queue or "default"
    yield "priority", str(spec.priority if spec.HasField("priority") else USUAL_PRIORITY)
    if spec.requirements:
        yield "requirements", ", ".join(map(plain, spec.requirements))
    yield "units", str(spec.units or 1)
    for name in ("limits", "retry_policy"):
        if words := " ".join(_fields(getattr(spec, name))):
            yield name.replace("_", " "), words
    if spec.HasField("retention_duration"):
        yield "retention", _value(spec.retention_duration)


def _task(task: Message) -> str:
    if isinstance(task, media_pb2.FfmpegTask):
        return plain(shlex.join(task.args))
    return " ".join(_fields(task))


def _input(source: media_pb2.Input) -> str:
    headers = f"headers={','.join(sorted(source.headers))}"
    parts = [shown(source.uri), *_fields(source, without={"uri", "headers"}), *([headers] if source.headers else [])]
    return plain(" ".join(parts))


def _fields(message: Message, *, without: Iterable[str] = ()) -> Iterator[str]:
    """What is set, by the contract's names."""
    for field, value in message.ListFields():
        if field.name not in without:
            yield f"{field.name}={_field(field, value)}"


def _field(field: FieldDescriptor, value: object) -> str:
    if field.enum_type is not None and isinstance(value, int):
        return field.enum_type.values_by_number[value].name if value in field.enum_type.values_by_number else str(value)
    if field.is_repeated and isinstance(value, Iterable) and not isinstance(value, Mapping):
        return f"[{', '.join(map(_value, value))}]"
    return _value(value)


def _value(value: object) -> str:
    if isinstance(value, Duration | Timestamp):
        return value.ToJsonString()
    if isinstance(value, media_pb2.Rational):
        return f"{value.numerator}/{value.denominator}"
    if isinstance(value, Message):
        return f"({' '.join(_fields(value))})"
    return str(value).lower() if isinstance(value, bool) else plain(str(value))
