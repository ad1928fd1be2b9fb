"""Messages of the SubmitJobs stream: how submissions are gathered into one, and how each one's result is read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

from grpc import StatusCode

from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client.errors import TelecineError, error
from telecine_client.rpc_errors import from_status

MOST_ITEMS = 500
"""In one message, by the contract."""
MOST_BYTES = 2 * 1024 * 1024
"""In one message: half of what the contract allows, for the schedulers' sake."""

Item = TypeVar("Item")
Given = service_pb2.SubmitJobResponse | TelecineError


def next_message(
    waiting: deque[tuple[service_pb2.SubmitJobRequest, Item]],
) -> list[tuple[service_pb2.SubmitJobRequest, Item]]:
    """Take from the front what goes into one message; at least one, where there is any."""
    taken: list[tuple[service_pb2.SubmitJobRequest, Item]] = []
    room = MOST_BYTES
    while waiting and len(taken) < MOST_ITEMS:
        room -= waiting[0][0].ByteSize()
        if room < 0 and taken:
            break
        taken.append(waiting.popleft())
    return taken


def messages(
    requests: Iterable[tuple[service_pb2.SubmitJobRequest, Item]],
) -> Iterator[list[tuple[service_pb2.SubmitJobRequest, Item]]]:
    """All of them, a message's worth at a time."""
    waiting = deque(requests)
    while waiting:
        yield next_message(waiting)


def outcomes(response: service_pb2.SubmitJobsResponse, count: int) -> list[Given]:
    """What the unary call of each of the *count* jobs of the message would have given, or raised.

    Raises InternalError when the response does not answer that message.
    """
    if len(response.results) != count:
        given = len(response.results)
        raise error(
            StatusCode.INTERNAL, f"the scheduler gave {given} results to message {response.sequence} of {count} jobs"
        )
    return [
        result.response if result.HasField("response") else from_status(result.error) for result in response.results
    ]
