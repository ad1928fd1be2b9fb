"""What a request must be: the rules of the protos, and those that look at more than one field."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TypeVar
from urllib.parse import urlsplit

import protovalidate
from google.protobuf.message import Message

from telecine.v1 import media_pb2, scheduler_service_pb2
from telecine_scheduler.domain.errors import InvalidRequest, NotSupported, Violation
from telecine_scheduler.rpc.task_rules import TASK_KINDS, task_violations
from telecine_scheduler.rpc.time_limits import limit_violations
from telecine_scheduler.rpc.uris import HTTP, uri_violations
from telecine_scheduler.rpc.walks import bad_times, has_unknown_fields, overfull, unknown_fields

MAX_SPEC_BYTES = 64 * 1024
# Nobody mends more at a time, and an answer has no room for more.
MOST_VIOLATIONS = 50
# Options of the contract that this version does not carry out, by kind of task; refused, so that none silently does nothing.
_LATER = {"transcode": ("filters", "audio.loudness", "video.tone_map_to_sdr", "video.hardware")}
_LATER_OF_ALL = ("damage_policy", "verification")

M = TypeVar("M", bound=Message)


class Validation:
    """Checks requests. Made once: it keeps the compiled rules."""

    def __init__(self) -> None:
        self._validator = protovalidate.Validator()

    def violations(self, message: Message) -> list[Violation]:
        """Where *message* breaks the rules of its .proto. Where there is too much of something, only that."""
        if not self._validator.collect_violations(message, fail_fast=True):
            return []
        return _first(overfull("", message)) or [
            Violation(field=_path(v.proto.field), description=v.proto.message)
            for v in self._validator.collect_violations(message)
        ]

    def check(self, message: M) -> M:
        """The message itself. Raises InvalidRequest with the rules it breaks."""
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
        found = self.violations(request)
        if found and _first(overfull("spec", spec)):
            return found
        if has_unknown_fields(spec):
            found += _first(unknown_fields("spec", spec))
        found += bad_times("spec", spec)
        # Of one field the first word counts: what looks further would only say the same in another way.
        fields = {violation.field for violation in found}
        further = [*task_violations(spec), *uri_violations(spec)]
        if not any(field.startswith("spec.limits") for field in fields):
            further += limit_violations(spec.limits)
        return found + [violation for violation in further if violation.field not in fields]

    def check_submission(self, request: scheduler_service_pb2.SubmitJobRequest) -> None:
        """Raises InvalidRequest with what is wrong, then NotSupported."""
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
    for dotted in _LATER.get(kind, ()):
        if _is_set(getattr(spec.task, kind), dotted):
            return f"spec.task.{kind}.{dotted} is not there yet; leave it out"
    for name in _LATER_OF_ALL:
        if _is_set(spec, name):
            return f"spec.{name} is not there yet; leave it out"
    inputs = {urlsplit(source.uri).scheme for source in spec.inputs.values()}
    for scheme in sorted(inputs - HTTP | {urlsplit(spec.output.uri).scheme}):
        if scheme not in {"", "file"}:
            return f"{scheme}:// is not there yet; there are file:// and, for inputs, http:// and https://"
    return ""


def _first(violations: Iterator[Violation]) -> list[Violation]:
    return list(itertools.islice(violations, MOST_VIOLATIONS))


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


def _is_set(message: Message, dotted: str) -> bool:
    first, _, rest = dotted.partition(".")
    field = message.DESCRIPTOR.fields_by_name[first]
    if field.has_presence and not message.HasField(first):
        return False
    value = getattr(message, first)
    return _is_set(value, rest) if rest else bool(value) or field.message_type is not None
