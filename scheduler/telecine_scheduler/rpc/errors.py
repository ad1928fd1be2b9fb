"""From our errors to gRPC: one table, and the details of google.rpc."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from telecine_scheduler.domain import errors

DOMAIN = "telecine"

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
    """The same as a google.rpc.Status message."""
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata)]
    if isinstance(error, errors.InvalidRequest):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=v.field, description=v.description)
            for v in error.violations
        ]
        details.append(error_details_pb2.BadRequest(field_violations=violations))
    retry_after = error.retry_after or DEFAULT_RETRY.get(type(error))
    if retry_after:
        info = error_details_pb2.RetryInfo()
        info.retry_delay.FromTimedelta(retry_after)
        details.append(info)
    return _message(STATUS[type(error)], error.message, details)


def masked(error_id: str) -> grpc.Status:
    """What a caller learns of a defect of ours: an id that is in the log."""
    message = f"internal error {error_id}; the scheduler's log has the details under this id"
    info = error_details_pb2.ErrorInfo(reason="INTERNAL", domain=DOMAIN, metadata={"error_id": error_id})
    return cast(grpc.Status, rpc_status.to_status(_message(grpc.StatusCode.INTERNAL, message, [info])))


def _message(code: grpc.StatusCode, text: str, details: list[Message]) -> status_pb2.Status:
    packed = []
    for detail in details:
        any_message = AnyMessage()
        any_message.Pack(detail)
        packed.append(any_message)
    return status_pb2.Status(code=code_pb2.Code.Value(code.name), message=text, details=packed)
