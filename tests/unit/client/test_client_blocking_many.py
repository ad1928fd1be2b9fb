"""Client's submissions and waits of many, with what goes wrong among them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from tests.unit.client.conftest import (
    OK,
    QUEUED,
    RUNNING,
    SECONDS,
    SPEC,
    SUCCEEDED,
    UNAVAILABLE,
    Play,
    job,
    retry_after,
    soon,
)

from telecine.v1 import scheduler_service_pb2 as pb
from telecine_client import Job, SubmitManyError, WaitManyError, blocking_waits, errors

UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED


def accept(call: Any, *job_ids: str) -> None:
    """Answer the stream's next message, and end it."""
    message = soon(call.take_request)
    assert list(job_ids) == [each.job_id for each in message.requests]
    results = [{"response": {"job": job(1, QUEUED, job_id)}} for job_id in job_ids]
    call.send_response(pb.SubmitJobsResponse(sequence=message.sequence, results=results))
    call.terminate((), OK, "")


def told(failed: SubmitManyError) -> list[tuple[str, str]]:
    """Each id with its result."""
    names = [result.state.value if isinstance(result, Job) else type(result).__name__ for result in failed.results]
    return list(zip(failed.job_ids, names, strict=True))


def test_a_wrong_job_among_many_is_an_error_at_its_place(play: Play) -> None:
    """The others are submitted; neither a spec nor an id that cannot be is sent."""
    jobs = [("a", SPEC), ("b", {"nope": 1}), ("", SPEC), ("d", SPEC)]
    submitted = play.start(lambda client: client.submit_many(jobs))
    accept(play.stream("SubmitJobs"), "a", "d")
    with pytest.raises(SubmitManyError, match="2 of 4 jobs") as caught:
        submitted.result(SECONDS)
    assert [("a", "queued"), ("b", "InvalidRequest"), ("", "InvalidRequest"), ("d", "queued")] == told(caught.value)


def test_only_wrong_jobs_open_no_stream(play: Play) -> None:
    """There is nothing to send."""
    with pytest.raises(SubmitManyError, match="1 of 1 jobs"):
        play.client.submit_many([{"nope": 1}])


def test_what_the_iterable_gave_before_it_raised_is_submitted(play: Play) -> None:
    """The caller learns what was accepted, and its own error is the cause."""

    def broken() -> Iterator[Any]:
        yield "a", SPEC
        raise KeyError("no more films")

    submitted = play.start(lambda client: client.submit_many(broken()))
    accept(play.stream("SubmitJobs"), "a")
    with pytest.raises(SubmitManyError, match="raised an error; of those before, 0 of 1 jobs") as caught:
        submitted.result(SECONDS)
    assert ([("a", "queued")], True) == (told(caught.value), caught.value.broken_off)
    assert isinstance(caught.value.__cause__, KeyError)


def test_what_was_accepted_before_an_outage_is_told(play: Play) -> None:
    """The rest are Unavailable at their places."""
    submitted = play.start(lambda client: client.submit_many([("a", SPEC), ("b", SPEC)]))
    call = play.stream("SubmitJobs")
    message = soon(call.take_request)
    away = {"code": UNAVAILABLE.value[0], "message": "the database is away"}
    results: list[Any] = [{"response": {"job": job(1, QUEUED, "a")}}, {"error": away}]
    call.send_response(pb.SubmitJobsResponse(sequence=message.sequence, results=results))
    call.terminate((), OK, "")
    play.stream("SubmitJobs").terminate(retry_after(60), UNAVAILABLE, "the scheduler stops")
    with pytest.raises(SubmitManyError) as caught:
        submitted.result(SECONDS)
    assert [("a", "queued"), ("b", "Unavailable")] == told(caught.value)


def test_what_was_accepted_before_the_client_was_closed_is_told(play: Play) -> None:
    """Whoever closes it from another thread takes no result away."""
    submitted = play.start(lambda client: client.submit_many([("a", SPEC), ("b", SPEC)], in_flight=1))
    accept(play.stream("SubmitJobs"), "a")
    second = play.stream("SubmitJobs")
    play.client.close()
    soon(second.cancelled)
    with pytest.raises(SubmitManyError, match="the client was closed") as caught:
        submitted.result(SECONDS)
    assert [("a", "queued"), ("b", "Unavailable")] == told(caught.value)


def test_a_retry_is_for_the_generation_that_the_job_is_at(play: Play) -> None:
    """It is asked for first, so that a retry whose answer is lost is not refused as one of a job that runs."""
    retried = play.start(lambda client: client.retry("a"))
    seen = job(9, SUCCEEDED, "a")
    seen.generation = 4
    play.answer("GetJob", pb.GetJobResponse(job=seen))
    first = play.answer("RetryJob", pb.RetryJobResponse(), UNAVAILABLE)
    second = play.answer("RetryJob", pb.RetryJobResponse(job=job(12, QUEUED, "a")))
    assert (12, 4, 4) == (retried.result(SECONDS).revision, first.expected_generation, second.expected_generation)


def test_an_error_among_waits_keeps_the_ends_that_were_seen(play: Play) -> None:
    """A token that runs out, and an id that is none: each job that remains has its error."""
    ended = play.start(lambda client: client.wait_many(["a", "../x", "b"]))
    call = play.stream("WatchJobs")
    call.send_response(pb.WatchJobsResponse(jobs=[job(9, SUCCEEDED, "a")]))
    call.terminate((), OK, "")
    play.stream("WatchJobs").terminate((), grpc.StatusCode.UNAUTHENTICATED, "the token has run out")
    with pytest.raises(WaitManyError) as caught:
        ended.result(SECONDS)
    errors_of = {job_id: type(each) for job_id, each in caught.value.errors.items()}
    assert (["a"], {"../x": errors.InvalidRequest, "b": errors.Unauthenticated}) == (
        list(caught.value.jobs), errors_of,
    )  # fmt: skip


def test_jobs_beyond_one_stream_are_looked_at_after_the_deadline(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first stream took all the time: what has ended is told all the same, what has not is not waited for."""
    monkeypatch.setattr(blocking_waits, "MOST_JOBS", 2)
    ended = play.start(lambda client: client.wait_many(["slow", "other", "done", "runs"], timedelta(seconds=5)))
    call = play.stream("WatchJobs")
    call.send_response(pb.WatchJobsResponse(jobs=[job(5, RUNNING, "slow"), job(5, RUNNING, "other")]))
    call.terminate((), OK, "")
    call = play.stream("WatchJobs")
    play.clock.sleep_for(5)
    call.terminate((), grpc.StatusCode.DEADLINE_EXCEEDED, "late")
    play.stream("WatchJobs").terminate((), grpc.StatusCode.DEADLINE_EXCEEDED, "late")
    call = play.stream("WatchJobs")
    call.send_response(pb.WatchJobsResponse(jobs=[job(5, RUNNING, "runs"), job(9, SUCCEEDED, "done")]))
    with pytest.raises(WaitManyError) as caught:
        ended.result(SECONDS)
    assert (["done"], ["slow", "other", "runs"]) == (list(caught.value.jobs), list(caught.value.errors))
    soon(call.cancelled)


def test_an_older_schedulers_jobs_are_looked_at_after_the_deadline(play: Play) -> None:
    """One after the other: the first takes all the time, the second has ended, the third runs, the fourth is not there."""
    ended = play.start(lambda client: client.wait_many(["slow", "done", "runs", "gone"], timedelta(seconds=5)))
    play.stream("WatchJobs").terminate((), UNIMPLEMENTED, "not yet")
    _, call = play.watch()
    call.send_response(pb.WatchJobResponse(job=job(5, RUNNING, "slow")))
    call.terminate((), OK, "")
    _, call = play.watch()
    play.clock.sleep_for(5)
    call.terminate((), grpc.StatusCode.DEADLINE_EXCEEDED, "late")
    for _ in range(3):
        _, call = play.watch()
        call.terminate((), grpc.StatusCode.DEADLINE_EXCEEDED, "late")
    play.stream("WatchJobs").terminate((), UNIMPLEMENTED, "not yet")
    for state, job_id in ((SUCCEEDED, "done"), (RUNNING, "runs")):
        request, call = play.watch()
        assert job_id == request.job_id
        call.send_response(pb.WatchJobResponse(job=job(9, state, job_id)))
    _, call = play.watch()
    call.terminate((), grpc.StatusCode.NOT_FOUND, "no such job")
    with pytest.raises(WaitManyError) as caught:
        ended.result(SECONDS)
    kinds = {job_id: type(each) for job_id, each in caught.value.errors.items()}
    late = errors.DeadlineExceeded
    assert (["done"], {"slow": late, "runs": late, "gone": errors.NotFound}) == (list(caught.value.jobs), kinds)
