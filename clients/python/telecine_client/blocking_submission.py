"""Many submissions of Client over SubmitJobs streams, each with a result of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice

import grpc

from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import calls
from telecine_client.blocking_schedulers import BlockingSchedulers
from telecine_client.errors import DeadlineExceeded, InvalidRequest, TelecineError, Unavailable, error
from telecine_client.many import Asked, AskedJobs, all_accepted
from telecine_client.submissions import Given, messages, outcomes
from telecine_client.values import Job

Numbered = tuple[service_pb2.SubmitJobRequest, int]
Results = dict[int, Job | TelecineError]


def submit_all(
    schedulers: BlockingSchedulers, jobs: Iterable[Asked], *, timeout: timedelta, in_flight: int
) -> list[Job]:
    """Submit *in_flight* at a time, each of which may take *timeout*.

    Raises SubmitManyError when some failed, after all were tried, or when *jobs* raises, after those before were tried.
    """
    job_ids: list[str] = []
    results: Results = {}
    given = AskedJobs(jobs)
    rest = iter(given)
    while some := list(islice(rest, in_flight)):
        numbered: list[Numbered] = []
        for place, (_, asked) in enumerate(some, len(job_ids)):
            if isinstance(asked, InvalidRequest):
                results[place] = asked
            else:
                numbered.append((asked, place))
        job_ids += [job_id for job_id, _ in some]
        if numbered:
            results |= _submit_some(schedulers, numbered, timeout)
    return all_accepted(job_ids, [results[place] for place in range(len(job_ids))], given.error)


def _submit_some(schedulers: BlockingSchedulers, some: list[Numbered], timeout: timedelta) -> Results:
    """By streams, one after the other while schedulers are away; what no stream takes goes by a call of its own."""
    results: Results = {}

    def attempt(address: str, seconds: float) -> None:
        unanswered = [(request, place) for request, place in some if place not in results]
        again: TelecineError | None = None
        for place, given in _by_stream(schedulers, address, unanswered, seconds):
            if isinstance(given, Unavailable):
                again = given
            else:
                results[place] = given if isinstance(given, TelecineError) else calls.submitted(given)
        if again is not None:
            raise again

    try:
        schedulers.repeat(attempt, timeout=timeout)
    except (Unavailable, DeadlineExceeded) as last:
        return {place: results.get(place, last) for _, place in some}
    except TelecineError:
        # The stream was refused as a whole: the single calls say what is wrong with each, if anything is.
        pass
    return {place: results.get(place) or _single(schedulers, request, timeout) for request, place in some}


def _by_stream(
    schedulers: BlockingSchedulers, address: str, some: list[Numbered], seconds: float
) -> Iterator[tuple[int, Given]]:
    """What each was answered. Raises TelecineError when the stream ends before the last answer."""
    stub = schedulers.stub(address)
    sent = list(messages(some))
    requests = (
        service_pb2.SubmitJobsRequest(sequence=sequence, requests=[request for request, _ in message])
        for sequence, message in enumerate(sent)
    )
    unread = iter(sent)
    with (
        schedulers.translation(),
        schedulers.opened(stub.SubmitJobs(requests, timeout=seconds, metadata=schedulers.metadata())) as answers,
    ):
        for response in answers:
            message = next(unread, [])
            for (_, place), given in zip(message, outcomes(response, len(message)), strict=True):
                yield place, given
    if next(unread, None):
        raise error(grpc.StatusCode.UNAVAILABLE, "the scheduler ended the stream of submissions")


def _single(
    schedulers: BlockingSchedulers, request: service_pb2.SubmitJobRequest, timeout: timedelta
) -> Job | TelecineError:
    try:
        return schedulers.call(calls.submit(request), timeout=timeout)
    except TelecineError as refused:
        return refused
