"""What an error of gRPC says, details included."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status


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
    info, bad, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    has_retry = False
    message = rpc_status.from_call(error)
    for detail in message.details if message else ():
        assert any([detail.Unpack(info), detail.Unpack(bad), detail.Unpack(retry)])
        has_retry = has_retry or detail.Is(retry.DESCRIPTOR)
    return Refusal(
        code=error.code(), message=error.details() or "", reason=info.reason, metadata=dict(info.metadata),
        fields=[v.field for v in bad.field_violations], descriptions=[v.description for v in bad.field_violations],
        retry_seconds=retry.retry_delay.ToTimedelta().total_seconds() if has_retry else None,
    )  # fmt: skip
