"""What a request must be: the rules of the protos, and those that look at more than one field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import Any, TypeVar, cast
from urllib.parse import unquote, urlsplit

import protovalidate
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from telecine.v1 import media_pb2
from telecine_scheduler.domain.errors import InvalidRequest, NotSupported, Violation

MAX_SPEC_BYTES = 64 * 1024
TASK_KINDS = frozenset({"ffmpeg", "transcode"})
CONTAINERS = frozenset({"mp4", "mov", "mkv", "webm", "ts", "m4a", "mp3", "ogg", "opus", "flac", "wav"})
# Options of the contract that this version does not carry out; refused, so that none of them silently does nothing.
_LATER = (
    "limits", "task.transcode.filters", "task.transcode.audio.loudness", "task.transcode.video.tone_map_to_sdr",
)  # fmt: skip

M = TypeVar("M", bound=Message)


class Validation:
    """Checks requests. Made once: it keeps the compiled rules."""

    def __init__(self) -> None:
        self._validator = protovalidate.Validator()

    def violations(self, message: Message) -> list[Violation]:
        """Where *message* breaks the rules of its .proto."""
        found = self._validator.collect_violations(message)
        return [Violation(field=_path(v.proto.field), description=v.proto.message) for v in found]

    def check(self, message: M) -> M:
        """The message itself; InvalidRequest lists every broken rule."""
        violations = self.violations(message)
        if violations:
            raise InvalidRequest(violations)
        return message

    def check_spec(self, request: Message, spec: media_pb2.JobSpec) -> None:
        """Everything that can be seen of a spec before a worker has it.

        Raises InvalidRequest with every violation, then NotSupported.
        """
        size = spec.ByteSize()
        if size > MAX_SPEC_BYTES:
            raise InvalidRequest(
                [Violation(field="spec", description=f"has {size} bytes; at most {MAX_SPEC_BYTES} are allowed")]
            )
        violations = self.violations(request) + list(_unknown_fields("spec", spec))
        if not violations:
            violations = [*_references(spec), *_uris(spec), *_times("spec", spec)]
        if violations:
            raise InvalidRequest(violations)
        _check_supported(spec)


def _path(field: object) -> str:
    """spec.inputs["a"].uri, spec.task.ffmpeg.args[3]: as protovalidate's path has it."""
    text = ""
    for element in getattr(field, "elements", ()):
        text += f".{element.field_name}" if text else element.field_name
        subscript = element.subscript
        if subscript is not None:
            value = f'"{subscript.value}"' if isinstance(subscript.value, str) else subscript.value
            text += f"[{value}]"
    return text


def _unknown_fields(path: str, message: Message) -> Iterator[Violation]:
    # The stubs do not know that it can be iterated.
    for field in cast("Iterable[Any]", UnknownFieldSet(message)):
        yield Violation(field=path, description=f"has an unknown field with the number {field.field_number}; remove it")
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        name = f"{path}.{descriptor.name}"
        if isinstance(value, Message):
            yield from _unknown_fields(name, value)
        elif descriptor.message_type.GetOptions().map_entry:
            if descriptor.message_type.fields_by_name["value"].message_type is not None:
                for key in value:
                    yield from _unknown_fields(f'{name}["{key}"]', value[key])
        else:
            for index, item in enumerate(value):
                yield from _unknown_fields(f"{name}[{index}]", item)


def _references(spec: media_pb2.JobSpec) -> Iterator[Violation]:
    """Inputs that are named and not there, there and not named, and outputs without a place."""
    kind = spec.task.WhichOneof("kind")
    if kind not in TASK_KINDS:
        return
    if not spec.HasField("output"):
        yield Violation(field="spec.output", description=f"is needed by {kind}: where the files go")
    named: set[str] = set()
    if kind == "transcode":
        named.add(spec.task.transcode.input)
        suffix = PurePosixPath(spec.task.transcode.path).suffix.removeprefix(".").lower()
        if suffix not in CONTAINERS:
            known = ", ".join(sorted(CONTAINERS))
            yield Violation(
                field="spec.task.transcode.path",
                description=f"the container follows the extension, and .{suffix} is none of {known}",
            )
    else:
        named |= {
            name for flag, name in zip(spec.task.ffmpeg.args, spec.task.ffmpeg.args[1:], strict=False) if flag == "-i"
        }
        named |= {name for name in spec.inputs if any(f"{{in:{name}}}" in arg for arg in spec.task.ffmpeg.args)}
        for index, output in enumerate(spec.task.ffmpeg.outputs):
            if output not in spec.task.ffmpeg.args:
                yield Violation(
                    field=f"spec.task.ffmpeg.outputs[{index}]",
                    description=f"{output!r} does not stand in args, so nothing would write it",
                )
    for name in sorted(named - spec.inputs.keys()):
        yield Violation(field="spec.inputs", description=f"has no input {name!r}, which the task names")
    for name in sorted(spec.inputs.keys() - named):
        yield Violation(field=f'spec.inputs["{name}"]', description="is not used by the task; remove it")


def _uris(spec: media_pb2.JobSpec) -> Iterator[Violation]:
    uris = [(f'spec.inputs["{name}"].uri', source.uri) for name, source in spec.inputs.items()]
    if spec.HasField("output"):
        uris.append(("spec.output.uri", spec.output.uri))
    for field, uri in uris:
        try:
            parts = urlsplit(uri)
            path = unquote(parts.path, errors="strict")
        except ValueError:
            yield Violation(field=field, description="is no valid URI, or its path is not UTF-8")
            continue
        if parts.scheme != "file":
            continue
        if parts.query or parts.fragment:
            yield Violation(
                field=field, description="a file:// URI has no query or fragment; write ? as %3F and # as %23"
            )
        elif "\0" in path or ".." in path.split("/"):
            yield Violation(field=field, description="a file:// path has no '..' part and no NUL character")


def _times(path: str, message: Message) -> Iterator[Violation]:
    """Durations and timestamps that are none: parts of unlike sign, or out of range."""
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None or not isinstance(value, Message):
            continue
        name = f"{path}.{descriptor.name}"
        if isinstance(value, Duration | Timestamp):
            try:
                value.ToJsonString()
            except ValueError as error:
                yield Violation(field=name, description=f"is no valid {type(value).__name__}: {error}")
        else:
            yield from _times(name, value)


def _check_supported(spec: media_pb2.JobSpec) -> None:
    kind = spec.task.WhichOneof("kind")
    if kind not in TASK_KINDS:
        known = " and ".join(sorted(TASK_KINDS))
        raise NotSupported(f"the task kind {kind} is not there yet; there are {known}")
    for dotted in _LATER:
        if _is_set(spec, dotted):
            raise NotSupported(f"spec.{dotted} is not there yet; leave it out")
    uris = [source.uri for source in spec.inputs.values()] + [spec.output.uri]
    for scheme in sorted({urlsplit(uri).scheme for uri in uris}):
        if scheme != "file":
            raise NotSupported(f"{scheme}:// is not there yet; use file://")


def _is_set(message: Message, dotted: str) -> bool:
    first, _, rest = dotted.partition(".")
    field = message.DESCRIPTOR.fields_by_name[first]
    if field.has_presence and not message.HasField(first):
        return False
    value = getattr(message, first)
    return _is_set(value, rest) if rest else bool(value) or field.message_type is not None
