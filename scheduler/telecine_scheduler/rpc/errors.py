"""From our errors to gRPC: one table, and the details of google.rpc."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from telecine_scheduler.domain import errors

DOMAIN = "telecine"
# By default a caller takes 8 KiB of trailers. A status is among them twice: its text percent-encoded, and all of it in base64.
# A full message of a submitting stream, too, keeps within 4 MiB by this.
MAX_STATUS_BYTES = 4096
MAX_TRAILER_BYTES = 7168
# Of an error's own text, and of one violation's field and description.
MAX_TEXT = 1000
MAX_PART = 200

# Every error of the domain, and nothing else; a test compares it with the tree.
STATUS: dict[type[errors.TelecineError], grpc.StatusCode] = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotSupported: grpc.StatusCode.UNIMPLEMENTED,
    errors.JobNotFound: grpc.StatusCode.NOT_FOUND,
    errors.JobDeleted: grpc.StatusCode.NOT_FOUND,
    errors.JobExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.JobIdSpent: grpc.StatusCode.ALREADY_EXISTS,
    errors.JobFinished: grpc.StatusCode.FAILED_PRECONDITION,
    errors.JobPublishing: grpc.StatusCode.FAILED_PRECONDITION,
    errors.JobNotFinished: grpc.StatusCode.FAILED_PRECONDITION,
    errors.JobSucceeded: grpc.StatusCode.FAILED_PRECONDITION,
    errors.GenerationMismatch: grpc.StatusCode.FAILED_PRECONDITION,
    errors.QueueFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.TooManyClasses: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.AlreadyConnected: grpc.StatusCode.ALREADY_EXISTS,
    errors.TooManyHellos: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.StreamFenced: grpc.StatusCode.FAILED_PRECONDITION,
    errors.ProtocolViolation: grpc.StatusCode.INVALID_ARGUMENT,
    errors.UnsupportedProtocol: grpc.StatusCode.FAILED_PRECONDITION,
    errors.StoreUnavailable: grpc.StatusCode.UNAVAILABLE,
    errors.StoreFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
}

# How long to wait where waiting helps and the error does not say it.
DEFAULT_RETRY: dict[type[errors.TelecineError], timedelta] = {
    errors.StoreUnavailable: timedelta(milliseconds=500),
    errors.StoreFull: timedelta(seconds=5),
    errors.JobPublishing: timedelta(seconds=1),
}


def to_status(error: errors.TelecineError) -> grpc.Status:
    """The status of *error*, with ErrorInfo, BadRequest and RetryInfo as far as they apply."""
    return cast(grpc.Status, rpc_status.to_status(to_message(error)))


def to_message(error: errors.TelecineError) -> status_pb2.Status:
    """The same as a google.rpc.Status message. Of violations it has as many as fit, and says how many more there are."""
    if not isinstance(error, errors.InvalidRequest):
        return _with_details(error, shortened(error.message, MAX_TEXT), [])
    best = _with_details(error, f"the request is not valid in {len(error.violations)} places", [])
    for count, shown in enumerate(_growing(error.violations), start=1):
        more = len(error.violations) - count
        text = errors.InvalidRequest(shown).message + (f"; and {more} more" if more else "")
        message = _with_details(error, text, shown)
        if not _fits(message):
            break
        best = message
    return best


def _growing(violations: Sequence[errors.Violation]) -> Iterator[list[errors.Violation]]:
    """The first violation, the first two, and so on, each cut to its size."""
    shown: list[errors.Violation] = []
    for each in violations:
        shown.append(
            replace(each, field=shortened(each.field, MAX_PART), description=shortened(each.description, MAX_PART))
        )
        yield shown


def _with_details(error: errors.TelecineError, text: str, violations: Sequence[errors.Violation]) -> status_pb2.Status:
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    if violations:
        fields = [
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description) for v in violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=fields))
    retry_after = error.retry_after or DEFAULT_RETRY.get(type(error))
    if retry_after:
        info = error_details_pb2.RetryInfo()
        info.retry_delay.FromTimedelta(retry_after)
        details.append(info)
    return _message(STATUS[type(error)], text, details)


def _fits(message: status_pb2.Status) -> bool:
    size: int = message.ByteSize()
    return size <= MAX_STATUS_BYTES and size * 4 // 3 + sum(map(_encoded, message.message)) <= MAX_TRAILER_BYTES


def shortened(text: str, most: int) -> str:
    """*text*, cut where it would take more than *most* bytes of a header."""
    if len(text) * 12 <= most or sum(map(_encoded, text)) <= most:
        return text
    sizes = itertools.accumulate(map(_encoded, text))
    return text[: sum(1 for _ in itertools.takewhile(lambda size: size <= most - 3, sizes))] + "..."


def _encoded(character: str) -> int:
    """How many bytes a character takes in grpc-message."""
    return 1 if " " <= character <= "~" and character != "%" else 3 * len(character.encode())


def masked(error_id: str) -> grpc.Status:
    """What a caller learns of a defect of ours: an id that is in the log."""
    return cast(grpc.Status, rpc_status.to_status(masked_message(error_id)))


def masked_message(error_id: str) -> status_pb2.Status:
    """The same as a google.rpc.Status message."""
    message = f"internal error {error_id}; the scheduler's log has the details under this id"
    info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"error_id": error_id})
    return _message(grpc.StatusCode.INTERNAL, message, [info])


def _message(code: grpc.StatusCode, text: str, details: list[Message]) -> status_pb2.Status:
    packed = []
    for detail in details:
        any_message = AnyMessage()
        any_message.Pack(detail)
        packed.append(any_message)
    return status_pb2.Status(code=code_pb2.Code.Value(code.name), message=text, details=packed)
