"""May files be made visible? Asked over a real stream: which answer counts, and from when its window runs."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import grpc
import pytest

from support.scripted_scheduler import ScriptedStream
from support.worker_bench import Bench, lease
from telecine.v1 import lease_service_pb2 as pb
from telecine_worker import publish_question
from telecine_worker.attempt import Permission
from telecine_worker.outcome import StopReason

ALLOWED, CANCEL, STALE, TRY_AGAIN = (
    pb.PublishDecision.DECISION_ALLOWED, pb.PublishDecision.DECISION_CANCEL,
    pb.PublishDecision.DECISION_STALE, pb.PublishDecision.DECISION_TRY_AGAIN,
)  # fmt: skip
MARGIN = publish_question.MARGIN_SECONDS
MINUTE = timedelta(minutes=1)


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


async def begun(bench: Bench) -> ScriptedStream:
    """A stream with one attempt."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    return stream


def ask(bench: Bench) -> asyncio.Future[Permission]:
    return asyncio.ensure_future(bench.attempts[1].ask_to_publish())


async def test_the_window_counts_from_the_question(bench: Bench) -> None:
    """Not from the answer, however late; less a margin."""
    stream = await begun(bench)
    before = now()
    asking = ask(bench)
    request = await stream.publish_request()
    after = now()
    answered = after + 0.1
    await bench.until(lambda: now() > answered)
    stream.decide(lease(), ALLOWED, MINUTE)
    permission = await asyncio.wait_for(asking, 10)
    assert (lease(), True) == (request.lease, permission.allowed)
    assert before + 60 - MARGIN <= permission.deadline <= after + 60 - MARGIN


async def test_a_stream_is_asked_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """It loses nothing while it lives: asking again would only make answers that nobody expects."""
    monkeypatch.setattr(publish_question, "ASK_AGAIN_SECONDS", 0.0)
    stream = await begun(bench)
    asking = ask(bench)
    await stream.publish_request()
    # Later messages of this stream show that none was on the way.
    for token in (2, 3, 4):
        stream.grant(lease(f"job{token}", token))
        await stream.accept()
    assert 1 == stream.count("publish_requests")
    stream.decide(lease(), ALLOWED)
    assert (await asyncio.wait_for(asking, 10)).allowed


async def test_a_late_answer_opens_no_second_window(bench: Bench) -> None:
    """An answer that is not due is passed over: the next window opens by the answer to the next question only."""
    stream = await begun(bench)
    asking = ask(bench)
    await stream.publish_request()
    stream.decide(lease(), ALLOWED, timedelta(seconds=3))
    await asyncio.wait_for(asking, 10)
    stream.decide(lease(), ALLOWED, MINUTE)
    # The grant comes after the late answer.
    stream.grant(lease("other", 2))
    await stream.accept()
    again = ask(bench)
    await stream.publish_request()
    stream.decide(lease(), CANCEL)
    permission = await asyncio.wait_for(again, 10)
    assert (False, StopReason.CANCELLED) == (permission.allowed, permission.refusal)


async def test_what_cannot_be_decided_is_asked_again(bench: Bench) -> None:
    """TRY_AGAIN: the store is away. The window counts from the question that was answered."""
    stream = await begun(bench)
    asking = ask(bench)
    for _ in range(2):
        await stream.publish_request()
        stream.decide(lease(), TRY_AGAIN)
    await stream.publish_request()
    asked = now()
    stream.decide(lease(), ALLOWED, MINUTE)
    permission = await asyncio.wait_for(asking, 10)
    assert asked - publish_question.ASK_AGAIN_SECONDS < permission.deadline - 60 + MARGIN <= asked
    assert 3 == stream.count("publish_requests")


async def test_a_lost_question_is_asked_on_the_next_stream(bench: Bench) -> None:
    """Question or answer went down with the stream: the new one is asked, and its window counts from there."""
    stream = await begun(bench)
    asking = ask(bench)
    await stream.publish_request()
    await stream.fail(grpc.StatusCode.UNAVAILABLE)
    broken = now()
    again = await bench.scheduler.welcomed()
    assert lease() == (await again.publish_request()).lease
    again.decide(lease(), ALLOWED, MINUTE)
    permission = await asyncio.wait_for(asking, 10)
    assert permission.deadline >= broken + 60 - MARGIN
    assert 1 == again.count("publish_requests")


async def test_a_question_without_a_stream_waits_for_one(bench: Bench) -> None:
    """Asked between two streams it is asked once on the next."""
    stream = await begun(bench)
    await stream.fail(grpc.StatusCode.UNAVAILABLE)
    again = await bench.scheduler.stream()
    asking = ask(bench)
    await asyncio.sleep(0)  # it asks into the void
    again.welcome()
    await again.publish_request()
    again.decide(lease(), ALLOWED)
    assert (await asyncio.wait_for(asking, 10)).allowed
    assert 1 == again.count("publish_requests")


async def test_an_answer_to_the_older_of_two_questions_does_not_count(bench: Bench) -> None:
    """Two questions of one stream are open: only when both are answered is the newer one. What came unasked does not count."""
    stream = await begun(bench)
    stream.decide(lease(), ALLOWED, timedelta(days=1))
    stream.grant(lease("between", 3))
    await stream.accept()
    first = ask(bench)
    await stream.publish_request()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    second = ask(bench)
    await stream.publish_request()
    stream.decide(lease(), ALLOWED, timedelta(days=1))
    stream.grant(lease("other", 2))
    await stream.accept()
    assert not second.done()
    stream.decide(lease(), ALLOWED, MINUTE)
    assert (await asyncio.wait_for(second, 10)).deadline <= now() + 60


async def test_stale_ends_the_lease(bench: Bench) -> None:
    """The permission is refused, the attempt stopped, and nothing more is said."""
    stream = await begun(bench)
    asking = ask(bench)
    await stream.publish_request()
    stream.decide(lease(), STALE)
    permission = await asyncio.wait_for(asking, 10)
    assert (False, StopReason.LEASE_LOST) == (permission.allowed, permission.refusal)
    assert 5 == await stream.credit()
    assert ([StopReason.LEASE_LOST], 0) == (bench.attempts[1].stops, stream.count("outcomes"))
