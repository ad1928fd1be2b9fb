"""When calls and watches are made again and when they are given up, on a clock of numbers."""

from __future__ import annotations

import random
from datetime import timedelta

import grpc
import pytest

from telecine_client import errors
from telecine_client.addresses import Rotation
from telecine_client.attempts import Attempts
from telecine_client.backoff import Backoff
from telecine_client.channels import OPTIONS
from telecine_client.errors import Details, TelecineError, error
from telecine_client.resumption import MOST_STRANGE_BREAKS, Breaks

AT_ONCE = Backoff(first=timedelta(), ceiling=timedelta())
AWAY = error(grpc.StatusCode.UNAVAILABLE, "gone")
LATE = error(grpc.StatusCode.DEADLINE_EXCEEDED, "late")
STRANGE = error(grpc.StatusCode.INTERNAL, "RST_STREAM")


def attempts(*addresses: str, seconds: float = 30) -> Attempts:
    return Attempts(timedelta(seconds=seconds), 0, backoff=AT_ONCE, rotation=Rotation(addresses))


def breaks(*addresses: str, outage_timeout: timedelta | None = None) -> Breaks:
    return Breaks(0, backoff=AT_ONCE, rotation=Rotation(addresses or ("a:1",)), outage_timeout=outage_timeout)


def again(watch: Breaks, cause: TelecineError, now: float = 0) -> None:
    """One more stream that ends with this."""
    watch.begin(now)
    watch.wait(cause, now)


def test_a_scheduler_that_hangs_gets_its_share_of_the_time() -> None:
    """A third each, and then the next one is tried at once; the last one has all that is left."""
    call = attempts("a:1", "b:1", "c:1")
    assert ("a:1", 10) == call.begin(0)
    assert 0 == call.wait(LATE, 10)
    assert ("b:1", 10) == call.begin(10)
    call.wait(AWAY, 11)
    assert ("c:1", 19) == call.begin(11)
    with pytest.raises(errors.Unavailable, match="the scheduler at a:1, b:1 cannot be reached"):
        call.wait(LATE, 30)


def test_when_all_hang_the_call_ends_with_its_deadline() -> None:
    """It names them all; a single one is not asked twice."""
    both, one = attempts("a:1", "b:1"), attempts("a:1")
    both.begin(0)
    both.wait(LATE, 15)
    both.begin(15)
    with pytest.raises(errors.DeadlineExceeded, match="the scheduler at a:1, b:1 did not answer within 30 s"):
        both.wait(LATE, 30)
    assert ("a:1", 30) == one.begin(0)
    with pytest.raises(errors.DeadlineExceeded, match="the scheduler at a:1 did not answer"):
        one.wait(LATE, 1)


def test_the_next_call_does_not_begin_where_one_hung() -> None:
    """The turn is everybody's."""
    rotation = Rotation(("a:1", "b:1"))
    first = Attempts(timedelta(seconds=30), 0, backoff=AT_ONCE, rotation=rotation)
    first.begin(0)
    first.wait(LATE, 15)
    assert ("b:1", 15) == Attempts(timedelta(seconds=30), 0, backoff=AT_ONCE, rotation=rotation).begin(0)


def test_an_address_is_tried_before_another_is_tried_twice() -> None:
    """Whatever other calls do to the turn meanwhile."""
    rotation = Rotation(("a:1", "b:1", "c:1"))
    call = Attempts(timedelta(seconds=30), 0, backoff=AT_ONCE, rotation=rotation)
    call.begin(0)
    call.wait(LATE, 10)
    rotation.turn_from("b:1")
    rotation.turn_from("c:1")
    assert "b:1" == call.begin(10)[0]


def test_an_answer_turns_nothing() -> None:
    """A refusal is of the request, not of the scheduler."""
    rotation = Rotation(("a:1", "b:1"))
    call = Attempts(timedelta(seconds=30), 0, backoff=AT_ONCE, rotation=rotation)
    call.begin(0)
    with pytest.raises(errors.NotFound):
        call.wait(error(grpc.StatusCode.NOT_FOUND, "no"), 1)
    assert "a:1" == rotation.current


def test_strange_breaks_in_a_row_end_a_watch() -> None:
    """One more than may be."""
    watch = breaks()
    for _ in range(MOST_STRANGE_BREAKS):
        again(watch, STRANGE)
    with pytest.raises(errors.InternalError, match="RST_STREAM"):
        again(watch, STRANGE)


@pytest.mark.parametrize("between", ["an ordinary break", "an answer", "a stream that stood long"])
def test_strange_breaks_with_something_else_between_them_do_not(between: str) -> None:
    """A quiet watch may live for weeks, with a break now and then."""
    watch = breaks()
    for day in range(3 * MOST_STRANGE_BREAKS):
        now = day * 86_400
        if between == "an ordinary break":
            again(watch, AWAY, now)
        watch.begin(now)
        if between == "an answer":
            watch.contact(now)
        watch.wait(STRANGE, now + (30 if between == "a stream that stood long" else 0))


def test_that_a_stream_was_taken_does_not_excuse_how_it_ended() -> None:
    """Some answer that there is a stream, and end it: every time."""
    watch = breaks()
    with pytest.raises(errors.InternalError):  # noqa: PT012 - any of them
        for _ in range(MOST_STRANGE_BREAKS + 1):
            watch.begin(0)
            watch.taken(0)
            watch.wait(STRANGE, 0)


def test_a_limit_is_a_break_when_the_scheduler_says_how_long() -> None:
    """With RetryInfo it passes; without it is an answer."""
    full = error(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many", Details(retry_after=timedelta(seconds=3)))
    watch = breaks()
    watch.begin(0)
    assert 3 == watch.wait(full, 0)
    with pytest.raises(errors.LimitReached):
        again(watch, error(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many"))


def test_a_watch_names_those_it_tried_since_it_last_heard_of_one() -> None:
    """Not the whole list, and nobody who answered an hour ago."""
    watch = breaks("a:1", "b:1", "c:1", outage_timeout=timedelta(seconds=60))
    again(watch, AWAY)
    watch.begin(0)
    watch.contact(0)
    watch.wait(AWAY, 0)
    watch.begin(59)
    with pytest.raises(errors.Unavailable, match="the scheduler at b:1, c:1 cannot be reached"):
        watch.wait(AWAY, 60)


def test_news_begin_the_pauses_afresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """They grow while nothing comes."""
    monkeypatch.setattr(random, "random", lambda: 1.0)
    watch = Breaks(0, backoff=Backoff(), rotation=Rotation(("a:1",)), outage_timeout=None)
    assert [0.1, 0.2, 0.4] == [watch.wait(AWAY, 0) for _ in range(3)]
    watch.news()
    assert 0.1 == watch.wait(AWAY, 0)


def test_what_the_transport_is_told() -> None:
    """A peer that is gone is noticed within 15 s, no call is repeated behind our back, and an error's details have room."""
    options = dict(OPTIONS)
    assert 15_000 >= options["grpc.keepalive_time_ms"] + options["grpc.keepalive_timeout_ms"]
    assert (1, 0) == (options["grpc.keepalive_permit_without_calls"], options["grpc.http2.max_pings_without_data"])
    assert (0, 65_536, 65_536) == (
        options["grpc.enable_retries"],
        options["grpc.max_metadata_size"],
        options["grpc.absolute_max_metadata_size"],
    )
