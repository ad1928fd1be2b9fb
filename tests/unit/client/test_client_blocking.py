"""Client, with grpc_testing's channel for the scheduler and grpc_testing's clock."""

from __future__ import annotations

import os
from datetime import timedelta
from queue import SimpleQueue

import grpc
import pytest
from google.rpc import status_pb2
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

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_client import Client, JobState, SubmitManyError, WaitManyError, errors


def test_unavailable_and_then_ok_is_one_submission(play: Play) -> None:
    """The second send has the job id of the first, and what the caller sees is the job."""
    submitted = play.start(lambda client: client.submit(SPEC))
    first = play.answer("SubmitJob", pb.SubmitJobResponse(), UNAVAILABLE)
    second, call = play.unary("SubmitJob")
    call.terminate(pb.SubmitJobResponse(job=job(1, QUEUED, second.job_id)), (), OK, "")
    got = submitted.result(SECONDS)
    assert (first.job_id, JobState.QUEUED, "films") == (got.job_id, got.state, second.tenant)
    assert first == second


def test_the_scheduler_is_asked_no_sooner_than_it_wants(play: Play) -> None:
    """RetryInfo moves the clock by at least as much."""
    got = play.start(lambda client: client.get("j1"))
    play.answer("GetJob", pb.GetJobResponse(), UNAVAILABLE, retry_after(7))
    play.answer("GetJob", pb.GetJobResponse(job=job(1, QUEUED)))
    assert "j1" == got.result(SECONDS).job_id
    assert 7 <= play.clock.time() < 8


def test_a_call_ends_at_its_deadline(play: Play) -> None:
    """A scheduler that is away all the time: tried again and again, and then Unavailable, not later than the timeout."""
    got = play.start(lambda client: client.get("j1"))
    for _ in range(8):
        play.answer("GetJob", pb.GetJobResponse(), UNAVAILABLE, retry_after(4))
    with pytest.raises(errors.Unavailable, match="the scheduler stops"):
        got.result(SECONDS)
    assert 28 <= play.clock.time() < 30


def test_a_deadline_that_is_exceeded_is_a_timeout(play: Play) -> None:
    """gRPC's own DEADLINE_EXCEEDED, without another attempt."""
    got = play.start(lambda client: client.get("j1"))
    play.answer("GetJob", pb.GetJobResponse(), grpc.StatusCode.DEADLINE_EXCEEDED)
    with pytest.raises(TimeoutError, match="did not answer within 30 s"):
        got.result(SECONDS)


def test_a_watch_that_breaks_after_two_messages_goes_on(play: Play) -> None:
    """The next stream is asked for what is newer; what is not newer is left out; the end ends it."""
    news: SimpleQueue[int] = SimpleQueue()

    def use(client: Client) -> None:
        for snapshot in client.watch("j1"):
            news.put(snapshot.revision)

    watched = play.start(use)
    first, call = play.watch()
    call.send_response(pb.WatchJobResponse(job=job(1, QUEUED)))
    call.send_response(pb.WatchJobResponse(job=job(5, RUNNING)))
    assert [1, 5] == [news.get(timeout=SECONDS) for _ in range(2)]
    call.terminate((), UNAVAILABLE, "the scheduler stops")
    second, call = play.watch()
    # An end without the job's end is a break, too.
    call.terminate((), OK, "")
    third, call = play.watch()
    for snapshot in (job(5, RUNNING), job(7, RUNNING), job(9, SUCCEEDED)):
        call.send_response(pb.WatchJobResponse(job=snapshot))
    watched.result(SECONDS)
    assert [7, 9] == [news.get(timeout=SECONDS) for _ in range(2)]
    assert [0, 5, 5] == [first.after_revision, second.after_revision, third.after_revision]
    assert news.empty()


def test_a_watch_gives_up_after_its_outage_timeout(play: Play) -> None:
    """By the clock it was given."""
    seen = play.start(lambda client: list(client.watch("j1", outage_timeout=timedelta(seconds=20))))
    for _ in range(4):
        _, call = play.watch()
        call.terminate(retry_after(6), UNAVAILABLE, "the scheduler stops")
    with pytest.raises(errors.Unavailable, match="the scheduler stops"):
        seen.result(SECONDS)
    assert 18 <= play.clock.time() < 20


def test_a_long_quiet_watch_is_no_outage(play: Play) -> None:
    """A stream that was open for an hour had a scheduler at its other end, whether it had news or not."""
    seen = play.start(lambda client: list(client.watch("j1", outage_timeout=timedelta(seconds=20))))
    _, call = play.watch()
    play.clock.sleep_for(3600)
    call.terminate((), UNAVAILABLE, "the scheduler stops")
    _, call = play.watch()
    call.send_response(pb.WatchJobResponse(job=job(9, SUCCEEDED)))
    assert [9] == [each.revision for each in seen.result(SECONDS)]


def test_a_wait_ends_at_its_timeout(play: Play) -> None:
    """In the middle of an outage, and it says that the job goes on."""
    ended = play.start(lambda client: client.wait("j1", timedelta(seconds=5)))
    for _ in range(2):
        _, call = play.watch()
        call.terminate(retry_after(3), UNAVAILABLE, "the scheduler stops")
    play.answer("GetJob", pb.GetJobResponse(job=job(5, RUNNING)))
    with pytest.raises(errors.DeadlineExceeded, match="it goes on"):
        ended.result(SECONDS)
    assert 5 == play.clock.time()


def test_a_wait_that_had_no_time_looks_once(play: Play) -> None:
    """A job that had ended before is never said to go on."""
    ended = play.start(lambda client: client.wait("j1", timedelta(seconds=1)))
    _, call = play.watch()
    play.clock.sleep_for(2)
    call.terminate((), UNAVAILABLE, "the scheduler stops")
    play.answer("GetJob", pb.GetJobResponse(job=job(9, SUCCEEDED)))
    assert JobState.SUCCEEDED is ended.result(SECONDS).state


def test_a_wait_gives_the_final_job(play: Play) -> None:
    """It asks for the full view."""
    ended = play.start(lambda client: client.wait("j1"))
    request, call = play.watch()
    call.send_response(pb.WatchJobResponse(job=job(9, SUCCEEDED)))
    assert JobState.SUCCEEDED is ended.result(SECONDS).state
    assert job_pb2.JOB_VIEW_FULL == request.view


def test_many_are_submitted_over_a_stream_that_breaks(play: Play) -> None:
    """What was answered is not sent again; what was refused is told at its place."""
    jobs = [("a", SPEC), ("b", SPEC), ("c", SPEC)]
    submitted = play.start(lambda client: client.submit_many(jobs))
    call = play.stream("SubmitJobs")
    assert ["a", "b", "c"] == [each.job_id for each in soon(call.take_request).requests]
    call.terminate((), UNAVAILABLE, "the scheduler stops")
    call = play.stream("SubmitJobs")
    message = soon(call.take_request)
    taken = status_pb2.Status(code=grpc.StatusCode.ALREADY_EXISTS.value[0], message="the id is taken")
    away = status_pb2.Status(code=UNAVAILABLE.value[0], message="the database is away")
    results = [{"response": {"job": job(1, QUEUED, "a")}}, {"error": taken}, {"error": away}]
    call.send_response(pb.SubmitJobsResponse(sequence=message.sequence, results=results))
    call.terminate((), OK, "")
    call = play.stream("SubmitJobs")
    message = soon(call.take_request)
    assert ["c"] == [each.job_id for each in message.requests]
    call.send_response(
        pb.SubmitJobsResponse(sequence=message.sequence, results=[{"response": {"job": job(1, QUEUED, "c")}}])
    )
    call.terminate((), OK, "")
    with pytest.raises(SubmitManyError, match="1 of 3 jobs were not accepted; the first: the id is taken") as caught:
        submitted.result(SECONDS)
    assert [errors.AlreadyExists] == [
        type(each) for each in caught.value.results if isinstance(each, errors.TelecineError)
    ]


def test_many_are_submitted_one_by_one_to_an_older_scheduler(play: Play) -> None:
    """UNIMPLEMENTED is made up for by single calls."""
    submitted = play.start(lambda client: client.submit_many([("a", SPEC), ("b", SPEC)]))
    play.stream("SubmitJobs").terminate((), grpc.StatusCode.UNIMPLEMENTED, "not yet")
    for job_id in ("a", "b"):
        play.answer("SubmitJob", pb.SubmitJobResponse(job=job(1, QUEUED, job_id)))
    assert ["a", "b"] == [each.job_id for each in submitted.result(SECONDS)]


def test_many_are_waited_for_on_one_stream(play: Play) -> None:
    """It is half-closed once all are named, and resumed for those that have not ended."""
    ended = play.start(lambda client: client.wait_many(["a", "b"]))
    call = play.stream("WatchJobs")
    start, add = soon(call.take_request), soon(call.take_request)
    soon(call.requests_closed)
    assert ("films", ["a", "b"]) == (start.start.tenant, [each.job_id for each in add.add.jobs])
    call.send_response(pb.WatchJobsResponse(jobs=[job(5, RUNNING, "a"), job(9, SUCCEEDED, "b")]))
    call.terminate((), OK, "")
    call = play.stream("WatchJobs")
    soon(call.take_request)
    assert [("a", 5)] == [(each.job_id, each.after_revision) for each in soon(call.take_request).add.jobs]
    call.send_response(pb.WatchJobsResponse(jobs=[job(9, SUCCEEDED, "a")]))
    assert ["a", "b"] == list(ended.result(SECONDS))


def test_many_waits_tell_what_was_not_seen(play: Play) -> None:
    """At the deadline of the stream."""
    ended = play.start(lambda client: client.wait_many(["a", "b"], timedelta(seconds=5)))
    call = play.stream("WatchJobs")
    call.send_response(pb.WatchJobsResponse(jobs=[job(9, SUCCEEDED, "b"), job(5, RUNNING, "a")]))
    call.terminate((), OK, "")
    play.stream("WatchJobs").terminate((), grpc.StatusCode.DEADLINE_EXCEEDED, "late")
    with pytest.raises(WaitManyError) as caught:
        ended.result(SECONDS)
    assert (["b"], ["a"]) == (list(caught.value.jobs), list(caught.value.errors))


def test_a_watch_of_all_stays_open_until_it_is_left(play: Play) -> None:
    """The scheduler sees that it was cancelled."""
    watch = play.client.watch_many(all=True)
    event = play.start(lambda _: next(watch))
    call = play.stream("WatchJobs")
    assert soon(call.take_request).start.all
    call.send_response(pb.WatchJobsResponse(jobs=[job(1, QUEUED, "a")], resume_token="t1"))
    assert ("a", "t1") == (event.result(SECONDS).job_id, event.result().resume_token)
    watch.close()
    soon(call.cancelled)


def test_single_calls_are_those_of_the_contract(play: Play) -> None:
    """Each request has the tenant and the arguments, each answer is a value."""
    done = play.start(
        lambda client: (
            client.submit_batch([("a", SPEC)]),
            client.cancel("a", "no longer wanted"),
            client.retry("a", expected_generation=1),
            client.delete("a"),
            client.queue_stats("fast").worker_count,
            [worker.worker_id for worker in client.workers()],
            [each.job_id for each in client.list(states=[JobState.QUEUED], limit=1)],
            client.list_page(page_token="t").jobs,
        )
    )
    a = job(1, QUEUED, "a")
    batch = play.answer("BatchSubmitJobs", pb.BatchSubmitJobsResponse(responses=[{"job": a}]))
    cancel = play.answer("CancelJob", pb.CancelJobResponse(job=a))
    retry = play.answer("RetryJob", pb.RetryJobResponse(job=a))
    delete = play.answer("DeleteJob", pb.DeleteJobResponse())
    stats = play.answer("GetQueueStats", pb.GetQueueStatsResponse(worker_count=3))
    play.answer("ListWorkers", pb.ListWorkersResponse(workers=[{"worker_id": "w1"}], next_page_token="t"))
    workers = play.answer("ListWorkers", pb.ListWorkersResponse(workers=[{"worker_id": "w2"}]))
    play.answer("ListJobs", pb.ListJobsResponse(jobs=[a, a], next_page_token="t"))
    page = play.answer("ListJobs", pb.ListJobsResponse())
    jobs, cancelled, retried, nothing, count, names, listed, none = done.result(SECONDS)
    assert (["a"], "a", "a", None, 3, ["w1", "w2"], ["a"], ()) == (
        [each.job_id for each in jobs], cancelled.job_id, retried.job_id, nothing, count, names, listed, none,
    )  # fmt: skip
    assert ["films"] * 5 == [batch.requests[0].tenant, cancel.tenant, retry.tenant, delete.tenant, stats.tenant]
    assert ("no longer wanted", 1, "fast", "t", "t") == (
        cancel.reason, retry.expected_generation, stats.queue, workers.page_token, page.page_token,
    )  # fmt: skip


def test_a_client_from_before_a_fork_says_so(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would hang for ever, as connections and threads do not come along."""
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(RuntimeError, match="before a fork"):
        play.client.get("j1")


def test_closing_ends_what_other_threads_watch(play: Play) -> None:
    """They are told that the client was closed; it says so to those who come later, too."""
    seen = play.start(lambda client: list(client.watch("j1")))
    _, call = play.watch()
    play.client.close()
    soon(call.cancelled)
    with pytest.raises(errors.Unavailable, match="the client was closed"):
        seen.result(SECONDS)
    with pytest.raises(RuntimeError, match="this client is closed"):
        play.client.get("j1")
