"""Redis' TIME is set back and right again, on a real server: whatever is said in between, nothing ends early, or lives on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from support.store_bench import Bench
from telecine_scheduler.domain.job import FailureKind, JobState
from telecine_scheduler.domain.lease import Verdict
from telecine_scheduler.domain.reply import CancelReply
from telecine_scheduler.domain.submission import Limits
from telecine_scheduler.store.codec import microseconds
from telecine_scheduler.store.keys import prefix

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
META = f"{prefix()}meta"


def jump(bench: Bench, by: timedelta) -> None:
    """Redis' TIME is set, and nobody is told."""
    bench.client.hincrby(META, "test_shift_us", microseconds(by))


def redis_time(bench: Bench) -> int:
    """In the store's numbers."""
    seconds, rest = bench.client.time()
    return int(seconds) * 1_000_000 + int(rest) - 1_704_067_200_000_000


async def set_back_and_right(bench: Bench) -> None:
    """By an hour; a sweep has noticed the first, and none the second."""
    jump(bench, -HOUR)
    await bench.store.sweep()
    jump(bench, HOUR)


async def silent_until_lost(bench: Bench) -> timedelta:
    """How long leases live that nobody renews."""
    gone = timedelta()
    while not (await bench.store.sweep()).lost:
        bench.advance(SECOND)
        gone += SECOND
        assert gone < 5 * MINUTE
    return gone


async def test_a_renewal_after_the_clock_was_set_right(bench: Bench) -> None:
    """It is no hour later: the limit of half an hour is not over, and the lease has a TTL from now, not an hour and that."""
    lease = await bench.start(limits=Limits(total=HOUR / 2))
    await set_back_and_right(bench)

    assert Verdict.KEEP is (await bench.store.renew(lease, sequence=1, progress=b"")).verdict
    assert await silent_until_lost(bench) <= 2 * bench.times.ttl + 10 * SECOND


async def test_a_cancel_after_the_clock_was_set_right(bench: Bench) -> None:
    """What publishes is not cancelled within its window; what runs has its grace, and no more."""
    publishing, running = await bench.start("publishing"), await bench.start("running")
    await bench.store.publish(publishing)
    await set_back_and_right(bench)

    assert CancelReply.PUBLISHING is (await bench.store.cancel(publishing.name, reason=""))[0]
    assert CancelReply.OK is (await bench.store.cancel(running.name, reason=""))[0]
    for _ in range(5):
        bench.advance(10 * SECOND)
        await bench.store.renew(publishing, sequence=1, progress=b"")
        await bench.store.sweep()
    assert (JobState.RUNNING, JobState.CANCELLED) == (await bench.state("publishing"), await bench.state("running"))


async def test_a_submit_after_the_clock_was_set_right(bench: Bench) -> None:
    """Its queue limit of a minute is over after a minute."""
    await bench.start()
    await set_back_and_right(bench)
    job = await bench.submit("later", limits=Limits(queue=MINUTE))
    ended = []
    for _ in range(8):
        bench.advance(10 * SECOND)
        await bench.store.sweep()
        ended.append(await bench.state("later") is JobState.FAILED)

    assert (JobState.QUEUED, False, True) == (job.state, ended[4], ended[-1])


@pytest.mark.parametrize("between", [Bench.submit, lambda bench: bench.store.sweep()])
async def test_what_is_left_to_catch_up_is_seconds(bench: Bench, between: Callable[[Bench], Awaitable[object]]) -> None:
    """And it is caught up like anything else."""
    await set_back_and_right(bench)
    await between(bench)
    await bench.store.sweep()

    assert 0 <= int(bench.client.hget(META, "ahead") or 0) <= 2_000_000
    for _ in range(30):
        jump(bench, SECOND)
        await bench.store.sweep()
    assert 0 == int(bench.client.hget(META, "ahead") or 0)


async def test_time_goes_on_however_seldom_somebody_sweeps(bench: Bench) -> None:
    """While it is ahead, too: three seconds from sweep to sweep are slow, and not an end of time."""
    await bench.fail(await bench.start(), FailureKind.RETRYABLE)
    jump(bench, -HOUR)
    promoted = (await bench.store.sweep()).promoted
    for _ in range(10):
        jump(bench, 3 * SECOND)
        promoted += (await bench.store.sweep()).promoted

    assert 1 == promoted


async def test_no_job_begins_before_its_time(bench: Bench) -> None:
    """Not before is said by the clock that callers know, which is Redis' TIME; ours may be an hour ahead of it."""
    now = redis_time(bench)
    jump(bench, -HOUR)
    await bench.store.sweep()
    job = await bench.submit(not_before=now - microseconds(HOUR / 2))
    late = await bench.submit("late", not_before=now - microseconds(2 * HOUR))

    assert (JobState.WAITING, JobState.QUEUED) == (job.state, late.state)
    for _ in range(29):
        bench.advance(MINUTE)
        assert 0 == (await bench.store.sweep()).promoted
    bench.advance(2 * MINUTE)
    assert 1 == (await bench.store.sweep()).promoted


async def test_a_job_is_not_late_when_the_clock_is_set_right(bench: Bench) -> None:
    """It is looked at every minute, because its time may have come by then."""
    now = redis_time(bench)
    jump(bench, -HOUR)
    await bench.store.sweep()
    await bench.submit(not_before=now - microseconds(HOUR / 2))
    assert 0 == (await bench.store.sweep()).promoted
    jump(bench, HOUR)
    assert 0 == (await bench.store.sweep()).promoted
    bench.advance(MINUTE)

    assert 1 == (await bench.store.sweep()).promoted
