"""What an error of gRPC says, details included."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True, kw_only=True)
class Refusal:
    code: grpc.StatusCode
    message: str
    reason: str
    metadata: Mapping[str, str]
    fields: Sequence[str]
    descriptions: Sequence[str]
    retry_seconds: float | None


async def refusal(call: Awaitable[object]) -> Refusal:
    """The error that *call* ends with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return read(caught.value)


def read(error: grpc.aio.AioRpcError) -> Refusal:
    message = rpc_status.from_call(error)
    if message is None:
        message = status_pb2.Status(code=error.code().value[0], message=error.details() or "")
    return of_status(message)


def of_status(message: status_pb2.Status) -> Refusal:
    """What a google.rpc.Status says."""
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    has_retry = False
    for detail in message.details:
        assert any([detail.Unpack(info), detail.Unpack(bad), detail.Unpack(retry)])
        has_retry = has_retry or detail.Is(retry.DESCRIPTOR)
    return Refusal(
        code=CODES[message.code], message=message.message, reason=info.reason, metadata=dict(info.metadata),
        fields=[v.field for v in bad.field_violations], descriptions=[v.description for v in bad.field_violations],
        retry_seconds=retry.retry_delay.ToTimedelta().total_seconds() if has_retry else None,
    )  # fmt: skip
