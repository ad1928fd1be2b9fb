"""From gRPC's errors to ours: the one place that reads google.rpc details."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import cast

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from telecine_client.errors import Details, TelecineError, Violation, error
from telecine_client.read_only import ReadOnly

DOMAIN = "telecine"
DETAILS_KEY = "grpc-status-details-bin"

# OK is no error: whoever says so in an error's place has not said what is wrong.
_CODES = {code.value[0]: code for code in grpc.StatusCode if code is not grpc.StatusCode.OK}


def from_rpc_error(raw: grpc.RpcError) -> TelecineError:
    """Our error for *raw*, of either of gRPC's two APIs; raise it from *raw*.

    Details that cannot be read are left out: the code and the message still stand.
    """
    # What the blocking API raises is a grpc.Call too; only its type does not say so.
    call = cast("grpc.Call | grpc.aio.AioRpcError", raw)
    code = call.code()
    return error(code, _message(call.details(), code), _details(call.trailing_metadata()))


def from_status(status: status_pb2.Status) -> TelecineError:
    """Our error for one item of a stream, as a call of its own would have raised it."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    return error(code, _message(status.message, code), read_details(status))


def _message(text: str | None, code: grpc.StatusCode) -> str:
    return text or code.name.lower().replace("_", " ")


def _details(trailers: Iterable[tuple[str, str | bytes]] | None) -> Details:
    packed = next((value for key, value in trailers or () if key == DETAILS_KEY and isinstance(value, bytes)), b"")
    try:
        return read_details(status_pb2.Status.FromString(packed))
    except DecodeError:
        return Details()


def read_details(status: status_pb2.Status) -> Details:
    """ErrorInfo of our domain, every field violation, and how long to wait; what cannot be read is left out."""
    info, request, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    for part in status.details:
        for message in (info, request, retry):
            _unpack(part, message)
    ours = info.domain == DOMAIN
    return Details(
        reason=info.reason if ours else "",
        metadata=ReadOnly(info.metadata if ours else {}),
        violations=tuple(Violation(field=at.field, description=at.description) for at in request.field_violations),
        retry_after=_delay(retry),
    )


def _unpack(part: Any, message: Message) -> None:
    try:
        part.Unpack(message)
    except DecodeError:
        message.Clear()


def _delay(retry: error_details_pb2.RetryInfo) -> timedelta | None:
    """None for one that no clock reaches."""
    try:
        return retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None
    except (OverflowError, ValueError):
        return None
