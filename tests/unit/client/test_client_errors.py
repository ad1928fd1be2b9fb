"""The tree of errors and its one table."""

from __future__ import annotations

from datetime import timedelta

import grpc
import grpc.aio
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

import telecine_client
from telecine_client import errors
from telecine_client.rpc_errors import DETAILS_KEY, from_rpc_error, read_details


def subclasses(kind: type[errors.TelecineError]) -> set[type[errors.TelecineError]]:
    """All below *kind*."""
    direct = set(kind.__subclasses__())
    return direct.union(*(subclasses(one) for one in direct))


def test_every_code_but_ok_has_a_class() -> None:
    """There is no status that the client cannot raise."""
    assert set(grpc.StatusCode) - {grpc.StatusCode.OK} == {code for code, reason in errors.CLASSES if not reason}


def test_every_class_is_in_the_table_and_in_the_tree_of_the_docstring() -> None:
    """No class is unreachable or undocumented; only those for many are not a scheduler's answer."""
    many = {errors.ManyError, errors.SubmitManyError, errors.WaitManyError}
    assert subclasses(errors.TelecineError) == set(errors.CLASSES.values()) | many
    assert errors.__doc__ is not None
    assert all(kind.__name__ in errors.__doc__ for kind in subclasses(errors.TelecineError))


def test_every_class_is_exported() -> None:
    """Users catch what they import from the package."""
    assert {kind.__name__ for kind in subclasses(errors.TelecineError)} <= set(telecine_client.__all__)


def test_every_exported_name_exists() -> None:
    """The lazy table of the package has no slip."""
    assert all(hasattr(telecine_client, name) for name in telecine_client.__all__)


def test_a_reason_of_the_future_is_its_codes_class() -> None:
    """A reason that is not known here falls back to the code."""
    details = errors.Details(reason="NEVER_HEARD_OF")
    assert errors.NotFound is type(errors.error(grpc.StatusCode.NOT_FOUND, "?", details))


def raw(code: grpc.StatusCode, *details: bytes) -> grpc.aio.AioRpcError:
    """An error as gRPC raises it."""
    trailers = grpc.aio.Metadata(*((DETAILS_KEY, packed) for packed in details))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, details="the message")


def pack(*messages: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo | error_details_pb2.BadRequest) -> bytes:
    """Details as they travel."""
    status = status_pb2.Status()
    for message in messages:
        part = any_pb2.Any()
        part.Pack(message)
        status.details.append(part)
    return status.SerializeToString()


def test_details_are_read() -> None:
    """Reason, metadata and delay arrive."""
    retry = error_details_pb2.RetryInfo()
    retry.retry_delay.FromMilliseconds(1500)
    info = error_details_pb2.ErrorInfo(reason="QUEUE_FULL", domain="telecine", metadata={"limit": "5"})
    error = from_rpc_error(raw(grpc.StatusCode.RESOURCE_EXHAUSTED, pack(info, retry)))
    assert (errors.QueueFull, "QUEUE_FULL", {"limit": "5"}, timedelta(seconds=1.5), "the message") == (
        type(error),
        error.reason,
        dict(error.metadata),
        error.retry_after,
        error.message,
    )


def test_another_domains_reason_is_not_taken_for_ours() -> None:
    """A proxy's ErrorInfo chooses no class."""
    info = error_details_pb2.ErrorInfo(reason="JOB_NOT_FOUND", domain="proxy.example", metadata={"a": "b"})
    error = from_rpc_error(raw(grpc.StatusCode.NOT_FOUND, pack(info)))
    assert (errors.NotFound, "", {}) == (type(error), error.reason, dict(error.metadata))


@pytest.mark.parametrize("details", [(), (b"\xff\xff no protobuf",)])
def test_without_readable_details_code_and_message_stand(details: tuple[bytes, ...]) -> None:
    """Broken details are no second error."""
    error = from_rpc_error(raw(grpc.StatusCode.UNAVAILABLE, *details))
    assert (errors.Unavailable, "the message", None) == (type(error), str(error), error.retry_after)


def test_no_details_are_no_retry() -> None:
    """A status without RetryInfo asks for nothing."""
    assert errors.Details() == read_details(status_pb2.Status())
