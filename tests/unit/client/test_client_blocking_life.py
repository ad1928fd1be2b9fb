"""The end of a Client, of its calls and of what they hold."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from tests.unit.client.conftest import (
    OK,
    QUEUED,
    RUNNING,
    SECONDS,
    SUCCEEDED,
    UNAVAILABLE,
    Play,
    job,
    retry_after,
    soon,
)

from telecine.v1 import scheduler_service_pb2 as pb
from telecine_client import errors

CLOSED = "the client was closed"


def test_closing_ends_a_call_over_a_channel_of_the_callers(play: Play) -> None:
    """The channel stays open, so the call itself is ended."""
    got = play.start(lambda client: client.get("j1"))
    _, call = play.unary("GetJob")
    play.client.close()
    soon(call.cancelled)
    with pytest.raises(errors.Unavailable, match=CLOSED):
        got.result(SECONDS)


def test_closing_ends_a_pause() -> None:
    """Whoever waits for the next attempt is told at once, not after the minute that the scheduler asked for."""
    play = Play(real_time=True)
    got = play.start(lambda client: client.watch("j1").__next__())
    _, call = play.watch()
    schedulers, pausing = play.client._schedulers, threading.Event()
    sleep = schedulers._sleep
    schedulers._sleep = lambda seconds: (pausing.set(), sleep(seconds))
    call.terminate(retry_after(60), UNAVAILABLE, "the scheduler stops")
    assert pausing.wait(SECONDS)
    play.client.close()
    with pytest.raises(errors.Unavailable, match=CLOSED):
        got.result(SECONDS)


def test_a_client_that_is_closed_between_attempts_does_not_say_it_was_misused(play: Play) -> None:
    """Unavailable is for calls that were under way, RuntimeError for those that begin after."""
    play.client.close()
    with pytest.raises(errors.Unavailable, match=CLOSED):
        play.client._schedulers.stub(play.client.addresses[0])
    with pytest.raises(RuntimeError, match="this client is closed"):
        play.client.get("j1")
    with pytest.raises(RuntimeError, match="this client is closed"):
        next(play.client.watch("j1"))


def test_a_break_after_the_deadline_of_a_wait_is_its_deadline(play: Play) -> None:
    """The pause before the next stream is never a negative one."""
    slept: list[float] = []
    play.client._schedulers._sleep = slept.append
    ended = play.start(lambda client: client.wait("j1", timedelta(seconds=5)))
    _, call = play.watch()
    play.clock.sleep_for(6)
    call.terminate((), UNAVAILABLE, "the scheduler stops")
    play.answer("GetJob", pb.GetJobResponse(job=job(5, RUNNING)))
    with pytest.raises(errors.DeadlineExceeded, match="it goes on"):
        ended.result(SECONDS)
    assert [0] == slept


def test_a_stream_that_is_left_leaves_nothing_behind(play: Play) -> None:
    """Neither the thread that would tell it more nor its place among those that closing ends."""
    before = set(threading.enumerate())
    watch = play.client.watch_many(all=True)
    event = play.start(lambda _: next(watch))
    call = play.stream("WatchJobs")
    call.send_response(pb.WatchJobsResponse(jobs=[job(1, QUEUED, "a")], resume_token="t1"))
    assert "a" == event.result(SECONDS).job_id
    assert 1 == len(play.client._schedulers._open)
    watch.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(SECONDS)
        assert not thread.is_alive()
    assert set() == play.client._schedulers._open


def test_an_end_with_an_older_revision_is_the_end(play: Play) -> None:
    """A database that lost its last moments counts from before; the watch must not ask for ever."""
    seen = play.start(lambda client: [each.revision for each in client.watch("j1")])
    _, call = play.watch()
    call.send_response(pb.WatchJobResponse(job=job(100, QUEUED)))
    call.terminate((), OK, "")
    _, call = play.watch()
    call.send_response(pb.WatchJobResponse(job=job(50, SUCCEEDED)))
    assert [100, 50] == seen.result(SECONDS)
