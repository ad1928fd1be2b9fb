"""The scheduler refuses at submit the store URIs that a worker would refuse when it runs the job, and no others."""

from __future__ import annotations

import pytest

from telecine.v1 import media_pb2
from telecine_scheduler.rpc.uris import uri_violations
from telecine_worker.failure import AttemptFailed
from telecine_worker.storage.store_places import OUTPUT, parse_place

RIGHT = [
    "s3://bucket/a/b.mp4",
    "gs://a.b_c-d/x%20y",
    "az://container",
    "s3://bucket/%3F%23%25",
    "s3://b1/caf%C3%A9",
]
WRONG = [
    "s3://user@bucket/x", "s3://bucket:80/x", "s3://Bucket/x", "s3://b/x", "gs://bucket/a?b=c", "gs://bucket/a#b",
    "az://bucket/a//b", "az://bucket/../x", "s3://bucket/%2e%2e/x", "s3://bucket/a%2F..%2Fb", "s3://bucket/%FF",
    "s3://bucket/a%00b", "s3://bucket/a%0Ab", "s3://[bucket/x", "s3://./x",
    "s3://bucket//a", "s3://bucket/a/", "s3://bucket/%2Fa", "s3://bucket/a\nb", "s3://bucket/a\tb", "s3://bucket/a\rb",
    "s3://bucket/.telecine/t~job~1~7/x", "gs://bucket/out/%2Etelecine/x", "s3://bucket/out/.telecine",
]  # fmt: skip


def both(uri: str, what: str = "input in") -> tuple[bool, bool]:
    """Whether the scheduler and the worker take it."""
    spec = media_pb2.JobSpec(inputs={"in": media_pb2.Input(uri=uri)})
    if what == OUTPUT:
        spec = media_pb2.JobSpec(output=media_pb2.Output(uri=uri))
    try:
        parse_place(uri, what)
    except AttemptFailed as error:
        assert "PATH_NOT_ALLOWED" == error.failure.reason
        return not list(uri_violations(spec)), False
    return not list(uri_violations(spec)), True


@pytest.mark.parametrize("uri", RIGHT)
def test_what_is_right_is_taken_by_both(uri: str) -> None:
    """Keys may hold anything that a URI can say, percent-encoded."""
    assert (True, True) == both(uri)


@pytest.mark.parametrize("uri", WRONG)
def test_what_is_wrong_is_refused_by_both(uri: str) -> None:
    """Users, ports, queries, fragments, dotted and empty parts, staging folders, control characters, what is no UTF-8."""
    assert (False, False) == both(uri)


@pytest.mark.parametrize(
    ("uri", "right"),
    [
        *(("s3://bucket/", True), ("s3://bucket/a/", True), ("s3://bucket/a", True), ("s3://bucket//", False)),
        *(("s3://bucket/a//", False), ("s3://bucket//a", False), ("s3://bucket/out/.telecine/t~job~1~7", False)),
    ],
)
def test_an_output_may_end_with_one_slash(uri: str, *, right: bool) -> None:
    """It is a prefix; an input with a slash more is the key of another object, which is not read in its place."""
    assert (right, right) == both(uri, OUTPUT)
