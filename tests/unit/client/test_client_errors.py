"""The tree of errors and its one table."""

from __future__ import annotations

import copy
import pickle
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

import telecine_client
from telecine_client import errors
from telecine_client.read_only import ReadOnly
from telecine_client.rpc_errors import DETAILS_KEY, from_rpc_error, from_status, read_details


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


def test_what_has_no_class_is_an_internal_error() -> None:
    """An item of a stream that has neither an answer nor an error, say: its code is OK."""
    assert errors.InternalError is type(errors.error(grpc.StatusCode.OK, "?"))
    assert errors.InternalError is type(from_status(status_pb2.Status()))
    assert errors.InternalError is type(from_status(status_pb2.Status(code=4711)))


def test_one_detail_that_cannot_be_read_hides_no_other() -> None:
    """A broken one, and a delay beyond every clock."""
    info = error_details_pb2.ErrorInfo(reason="QUEUE_FULL", domain="telecine")
    status = status_pb2.Status.FromString(pack(error_details_pb2.RetryInfo(retry_delay={"seconds": 2**62}), info))
    status.details.add(type_url="type.googleapis.com/google.rpc.BadRequest", value=b"\xff\xff")
    assert errors.Details(reason="QUEUE_FULL") == read_details(status)


DETAILS = errors.Details(
    reason="JOB_EXISTS", metadata=ReadOnly({"a": "b"}), violations=(errors.Violation(field="f", description="d"),)
)
TAKEN = errors.error(grpc.StatusCode.ALREADY_EXISTS, "taken", DETAILS)


@pytest.mark.parametrize("copied", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
@pytest.mark.parametrize(
    "error",
    [
        TAKEN,
        errors.closed(),
        errors.SubmitManyError(["j1"], [TAKEN], broken_off=False),
        errors.WaitManyError({}, {"j1": TAKEN}),
    ],
)
def test_an_error_can_be_passed_on(error: errors.TelecineError, copied: Any) -> None:
    """To another process, as process pools do."""
    got = copied(error)
    assert (type(error), str(error), error.code, error.details) == (type(got), str(got), got.code, got.details)
    assert vars(error).keys() == vars(got).keys()


def test_no_details_are_no_retry() -> None:
    """A status without RetryInfo asks for nothing."""
    assert errors.Details() == read_details(status_pb2.Status())
