"""What has gathered while a stream stood still goes out in messages that a scheduler takes."""

from __future__ import annotations

import pytest

from telecine.v1 import job_pb2
from telecine.v1 import lease_service_pb2 as pb
from telecine_worker import outbox
from telecine_worker.outbox import pieces


def ref(token: int) -> pb.LeaseRef:
    return pb.LeaseRef(tenant="a", job_id="job", token=token)


def outcome(token: int, size: int) -> pb.Outcome:
    failure = job_pb2.Failure(kind=job_pb2.Failure.KIND_UNKNOWN, reason="R", log_tail="x" * size)
    return pb.Outcome(lease=ref(token), failed=failure)


def whole(count: int, size: int = 0) -> pb.StreamLeasesRequest:
    return pb.StreamLeasesRequest(
        credit=pb.Credit(limit=7),
        accepts=[pb.Accept(lease=ref(token)) for token in range(count)],
        renewals=[pb.Renewal(lease=ref(token), sequence=3) for token in range(count)],
        publish_requests=[pb.PublishRequest(lease=ref(token)) for token in range(count)],
        outcomes=[outcome(token, size) for token in range(count)],
        bye=pb.Bye(),
    )


def test_what_fits_is_one_message() -> None:
    """The same one; and nothing is none."""
    message = whole(10)
    assert [message] == list(pieces(message))
    assert [] == list(pieces(pb.StreamLeasesRequest()))


@pytest.mark.parametrize(("count", "size"), [(2600, 0), (130, 100_000)])
def test_what_does_not_fit_is_several(count: int, size: int) -> None:
    """Nothing is lost or said twice, credit is in the first, bye in the last, and each is small enough."""
    message, together = whole(count, size), pb.StreamLeasesRequest()
    sent = list(pieces(message))
    for piece in sent:
        together.MergeFrom(piece)
        entries = len(piece.accepts) + len(piece.renewals) + len(piece.publish_requests) + len(piece.outcomes)
        assert 0 < entries <= outbox.MOST_ENTRIES
        assert piece.ByteSize() <= outbox.MOST_BYTES + 10_000
    assert message == together
    assert (True, True) == (sent[0].HasField("credit"), sent[-1].HasField("bye"))
    assert {False} == {piece.HasField("bye") for piece in sent[:-1]}


def test_one_that_is_too_large_goes_alone() -> None:
    """It is the scheduler's to judge."""
    message = pb.StreamLeasesRequest(outcomes=[outcome(1, 10), outcome(2, 2 << 20), outcome(3, 10)])
    assert [[1], [2], [3]] == [[each.lease.token for each in piece.outcomes] for piece in pieces(message)]
