"""From gRPC's errors to ours: the one place that reads google.rpc details."""

from __future__ import annotations

from types import MappingProxyType

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from telecine_client.errors import Details, TelecineError, Violation, error

DOMAIN = "telecine"
DETAILS_KEY = "grpc-status-details-bin"


def from_rpc_error(raw: grpc.aio.AioRpcError) -> TelecineError:
    """Our error for *raw*. Details that cannot be read are left out: the code and the message still stand."""
    return error(raw.code(), raw.details() or raw.code().name.lower().replace("_", " "), _details(raw))


def _details(raw: grpc.aio.AioRpcError) -> Details:
    trailers = raw.trailing_metadata() or ()
    packed = next((value for key, value in trailers if key == DETAILS_KEY and isinstance(value, bytes)), b"")
    try:
        return read_details(status_pb2.Status.FromString(packed))
    except DecodeError:
        return Details()


def read_details(status: status_pb2.Status) -> Details:
    """ErrorInfo of our domain, every field violation, and how long to wait."""
    info, request, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    for part in status.details:
        for message in (info, request, retry):
            part.Unpack(message)
    ours = info.domain == DOMAIN
    return Details(
        reason=info.reason if ours else "",
        metadata=MappingProxyType(dict(info.metadata) if ours else {}),
        violations=tuple(Violation(field=at.field, description=at.description) for at in request.field_violations),
        retry_after=retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None,
    )
