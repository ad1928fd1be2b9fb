"""Wake-ups on a real server: whoever said that he would serve a class hears of work in it, whatever made it ready."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from support.store_bench import Bench, a_job
from telecine_scheduler.domain.job import FailureKind
from telecine_scheduler.store.keys import prefix

SECOND = timedelta(seconds=1)


def woken(bench: Bench, scheduler: str = "a") -> list[bytes]:
    """The tokens in a scheduler's list, which is emptied."""
    key = f"{prefix()}wake:{scheduler}"
    tokens: list[bytes] = bench.client.lrange(key, 0, -1)
    bench.client.delete(key)
    return tokens


async def idle(bench: Bench) -> None:
    """A dispatch that finds nothing; what it notes is the only thing noted."""
    assert [] == await bench.dispatch()
    woken(bench)


async def _submit(bench: Bench) -> None:
    await idle(bench)
    await bench.submit("second")


async def _promote(bench: Bench) -> None:
    lease = await bench.start()
    await bench.fail(lease, FailureKind.RETRYABLE)
    bench.advance(11 * SECOND)
    await idle(bench)
    await bench.store.sweep()


async def _refused(bench: Bench) -> None:
    await bench.submit()
    lease = await bench.lease()
    await idle(bench)
    await bench.store.accept(lease, refusal="NO_SLOT")


async def _given_back(bench: Bench) -> None:
    lease = await bench.start()
    await idle(bench)
    await bench.give_back(lease)


async def _lost(bench: Bench) -> None:
    await bench.start()
    bench.advance(bench.times.ttl + SECOND)
    await idle(bench)
    await bench.store.sweep()


@pytest.mark.parametrize("make_ready", [_submit, _promote, _refused, _given_back, _lost])
async def test_work_that_becomes_ready_wakes_an_idle_scheduler(
    bench: Bench, make_ready: Callable[[Bench], Awaitable[None]]
) -> None:
    """Each way for a job to become ready goes through the one place that wakes."""
    await bench.submit("first")
    await bench.store.cancel(a_job("first").name, reason="")

    await make_ready(bench)

    assert 1 == len(woken(bench))


async def test_a_scheduler_that_is_busy_is_not_woken(bench: Bench) -> None:
    """Nobody noted itself as idle, so nobody is told."""
    await bench.submit("first")
    woken(bench)
    await bench.submit("second")

    assert [] == woken(bench)


async def test_a_burst_wakes_once(bench: Bench) -> None:
    """The note is used up by the first job; the dispatch that follows takes them all."""
    await bench.start("first")
    await idle(bench)
    for number in range(4):
        await bench.submit(f"job{number}")

    assert 1 == len(woken(bench))


async def test_two_of_many_are_woken(bench: Bench) -> None:
    """One dead scheduler costs nothing, and a thousand idle ones are no storm."""
    await bench.start("first")
    await idle(bench)
    [class_id] = (await _classes(bench)).keys()
    bench.client.zadd(f"{prefix()}idle:{class_id}", dict.fromkeys("abcde", 2**52))
    await bench.submit("second")

    assert 2 == sum(len(woken(bench, scheduler)) for scheduler in "abcde")


async def test_a_scheduler_that_dispatches_by_itself_is_not_woken(bench: Bench) -> None:
    """Its dispatch rides behind the submit in the same round trip."""
    await bench.start("first")
    await idle(bench)
    await bench.store.submit(a_job("second"), dispatches=True)

    assert [] == woken(bench)


async def test_a_class_that_nobody_knew_wakes_every_scheduler(bench: Bench) -> None:
    """Nobody can have said that he would serve it."""
    await bench.submit("first")

    assert 1 == len(woken(bench))


async def _classes(bench: Bench) -> dict[str, int]:
    await bench.classes.refresh()
    return bench.classes.served_by(queues=frozenset({"default"}), capabilities=frozenset(), slots=1)
