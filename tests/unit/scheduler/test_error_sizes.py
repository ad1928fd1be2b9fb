"""Errors as messages: what fits into the trailers of a call, whatever is wrong."""

from __future__ import annotations

import urllib.parse

import pytest

from support.rpc_errors import of_status
from telecine_scheduler.domain.errors import InvalidRequest, JobExists, StoreUnavailable, Violation
from telecine_scheduler.rpc.errors import MAX_STATUS_BYTES, to_message


def invalid(count: int, *, field: str = "spec.task", description: str = "is wrong") -> InvalidRequest:
    return InvalidRequest([Violation(field=f"{field}[{place}]", description=description) for place in range(count)])


def test_few_violations_are_all_told() -> None:
    """In the text and in the details alike."""
    told = of_status(to_message(invalid(3)))

    assert [f"spec.task[{place}]" for place in range(3)] == list(told.fields)
    assert "the request is not valid: " + "; ".join(f"spec.task[{n}]: is wrong" for n in range(3)) == told.message


@pytest.mark.parametrize(
    "description", ["is wrong", "is wrong " * 15, "ist völlig falsch " * 15, "映画%" * 60, "x" * 9000]
)
@pytest.mark.parametrize("field", ["spec.task", "spec.labels" + "y" * 60_000, "spec.labels" + "ö" * 500])
def test_many_violations_fit_into_trailers(field: str, description: str) -> None:
    """As many as fit, at least one, and how many more there are; each cut to its size."""
    message = to_message(invalid(500, field=field, description=description))
    told = of_status(message)

    # As gRPC sends them: the text percent-encoded, the status in base64.
    trailers = len(urllib.parse.quote(message.message, safe="".join(map(chr, range(32, 127))).replace("%", "")))
    trailers += message.ByteSize() * 4 // 3
    assert (True, True) == (message.ByteSize() <= MAX_STATUS_BYTES, trailers < 8192 - 512)
    assert 1 <= len(told.fields) < 500
    assert told.message.endswith(f"; and {500 - len(told.fields)} more")
    assert max(len(text) for text in (*told.fields, *told.descriptions)) <= 200


def test_other_errors_are_cut_as_well() -> None:
    """A long text is cut; reason, metadata and the time to wait stay."""
    told = of_status(to_message(JobExists("ü" * 5000, metadata={"state": "QUEUED"})))
    away = of_status(to_message(StoreUnavailable("x" * 5000)))

    assert (True, True) == (told.message.endswith("ü..."), len(told.message) < 1000)
    assert ("JOB_EXISTS", {"state": "QUEUED"}, 0.5) == (told.reason, told.metadata, away.retry_seconds)
    assert 1000 == len(away.message)
