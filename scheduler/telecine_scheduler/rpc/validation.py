"""What a request must be: the rules of the protos, and those that look at more than one field."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TypeVar

import protovalidate
from google.protobuf.message import Message

from telecine.v1 import media_pb2, scheduler_service_pb2
from telecine_scheduler.domain.errors import InvalidRequest, NotSupported, Violation
from telecine_scheduler.rpc.task_rules import TASK_KINDS, task_violations
from telecine_scheduler.rpc.time_limits import limit_violations
from telecine_scheduler.rpc.uris import uri_violations
from telecine_scheduler.rpc.walks import bad_times, has_unknown_fields, overfull, unknown_fields, unknown_numbers

MAX_SPEC_BYTES = 64 * 1024
# Nobody mends more at a time, and an answer has no room for more.
MOST_VIOLATIONS = 50

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
        further = itertools.chain(task_violations(spec), uri_violations(spec))
        if not any(field.startswith("spec.limits") for field in fields):
            further = itertools.chain(further, limit_violations(spec.limits))
        return found + _first(violation for violation in further if violation.field not in fields)

    def check_submission(self, request: scheduler_service_pb2.SubmitJobRequest) -> None:
        """Raises NotSupported, then InvalidRequest with what is wrong."""
        newer = newer_kind(request.spec)
        if newer:
            raise NotSupported(newer)
        violations = self.submission_violations(request)
        if violations:
            raise InvalidRequest(violations)


def newer_kind(spec: media_pb2.JobSpec) -> str:
    """What is to be said of a task whose kind only a newer contract has; empty for all others."""
    number = next(unknown_numbers(spec.task), None)
    if number is None or spec.task.WhichOneof("kind") is not None:
        return ""
    return f"the task kind with the number {number} is not there yet; there are {', '.join(sorted(TASK_KINDS))}"


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
