"""What a request must be: the rules of the protos, and those that look at more than one field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import protovalidate
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.unknown_fields import UnknownFieldSet

from telecine.v1 import media_pb2, scheduler_service_pb2
from telecine_scheduler.domain.errors import InvalidRequest, NotSupported, Violation
from telecine_scheduler.rpc.task_rules import TASK_KINDS, task_violations
from telecine_scheduler.rpc.time_limits import limit_violations
from telecine_scheduler.rpc.uris import HTTP, uri_violations

MAX_SPEC_BYTES = 64 * 1024
# Options of the contract that this version does not carry out; refused, so that none of them silently does nothing.
_LATER = (
    "task.transcode.filters", "task.transcode.audio.loudness", "task.transcode.video.tone_map_to_sdr",
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

    def submission_violations(self, request: scheduler_service_pb2.SubmitJobRequest) -> list[Violation]:
        """Everything wrong with a submission that can be seen before a worker has it."""
        spec = request.spec
        size = spec.ByteSize()
        if size > MAX_SPEC_BYTES:
            return [Violation(field="spec", description=f"has {size} bytes; at most {MAX_SPEC_BYTES} are allowed")]
        found = [*self.violations(request), *_unknown_fields("spec", spec), *_times("spec", spec)]
        # Of one field the first word counts: what looks further would only say the same in another way.
        fields = {violation.field for violation in found}
        further = [*task_violations(spec), *uri_violations(spec)]
        if not any(field.startswith("spec.limits") for field in fields):
            further += limit_violations(spec.limits)
        return found + [violation for violation in further if violation.field not in fields]

    def check_submission(self, request: scheduler_service_pb2.SubmitJobRequest) -> None:
        """Raises InvalidRequest with every violation, then NotSupported."""
        violations = self.submission_violations(request)
        if violations:
            raise InvalidRequest(violations)
        missing = unsupported(request.spec)
        if missing:
            raise NotSupported(missing)


def unsupported(spec: media_pb2.JobSpec) -> str:
    """Which task kind, option or scheme of a spec without violations is not there yet; empty where all are."""
    kind = spec.task.WhichOneof("kind")
    if kind not in TASK_KINDS:
        return f"the task kind {kind} is not there yet; there are {', '.join(sorted(TASK_KINDS))}"
    for dotted in _LATER:
        if _is_set(spec, dotted):
            return f"spec.{dotted} is not there yet; leave it out"
    inputs = {urlsplit(source.uri).scheme for source in spec.inputs.values()}
    for scheme in sorted(inputs - HTTP | {urlsplit(spec.output.uri).scheme}):
        if scheme not in {"", "file"}:
            return f"{scheme}:// is not there yet; there are file:// and, for inputs, http:// and https://"
    return ""


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
    for name, value in _within(path, message):
        yield from _unknown_fields(name, value)


def _times(path: str, message: Message) -> Iterator[Violation]:
    """Durations and timestamps that are none: parts of unlike sign, or out of range."""
    for name, value in _within(path, message):
        if isinstance(value, Duration | Timestamp):
            try:
                value.ToJsonString()
            except ValueError as error:
                yield Violation(field=name, description=f"is no valid {type(value).__name__}: {error}")
        else:
            yield from _times(name, value)


def _within(path: str, message: Message) -> Iterator[tuple[str, Message]]:
    """The messages right below one, with their paths: in fields, lists and maps."""
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        name = f"{path}.{descriptor.name}"
        if isinstance(value, Message):
            yield name, value
        elif descriptor.message_type.GetOptions().map_entry:
            if descriptor.message_type.fields_by_name["value"].message_type is not None:
                yield from ((f'{name}["{key}"]', value[key]) for key in value)
        else:
            yield from ((f"{name}[{index}]", item) for index, item in enumerate(value))


def _is_set(message: Message, dotted: str) -> bool:
    first, _, rest = dotted.partition(".")
    field = message.DESCRIPTOR.fields_by_name[first]
    if field.has_presence and not message.HasField(first):
        return False
    value = getattr(message, first)
    return _is_set(value, rest) if rest else bool(value) or field.message_type is not None
