"""Limits of an attempt on a real server: its worker ends it, and the store where the worker does not."""

from __future__ import annotations

from datetime import timedelta

import pytest

from support.store_bench import SLACK, WORKER, Bench
from telecine_scheduler.domain.job import FailureKind, JobState, Timeout
from telecine_scheduler.domain.lease import Ack, Verdict
from telecine_scheduler.domain.submission import Limits, RetryPolicy
from telecine_scheduler.store.keys import prefix

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize("ask", ["renew", "publish"])
async def test_a_lease_that_runs_too_long_is_not_renewed(bench: Bench, ask: str) -> None:
    """The backstop of the run limit needs no timer: a worker that goes on asks, and hears that it is over."""
    lease = await bench.start(limits=Limits(hard_run=60 * SECOND))
    await bench.keep(lease, 60 * SECOND + SLACK - SECOND)
    assert JobState.RUNNING is await bench.state()
    bench.advance(SECOND)

    asked = bench.store.publish(lease) if ask == "publish" else bench.store.renew(lease, sequence=99, progress=b"")
    ruling = await asked

    job = await bench.job()
    assert (Verdict.STALE, Timeout.RUN_TIMEOUT) == (ruling.verdict, ruling.timeout)
    assert ruling.ran is not None
    assert ruling.ran >= 60 * SECOND + SLACK
    assert (JobState.FAILED, b"run", "RUN_TIMEOUT") == (job.state, job.failure, job.changes[-1].reason)
    assert None is (await bench.store.renew(lease, sequence=100, progress=b"")).timeout


async def test_a_run_is_bounded_by_a_day_unless_said(bench: Bench) -> None:
    """The default of hard_run."""
    lease = await bench.start()
    bench.advance(timedelta(hours=24) + SLACK - SECOND)
    assert Verdict.KEEP is (await bench.store.renew(lease, sequence=1, progress=b"")).verdict
    bench.advance(SECOND)

    assert Timeout.RUN_TIMEOUT is (await bench.store.renew(lease, sequence=2, progress=b"")).timeout


async def test_a_renewal_past_the_total_limit_ends_the_job(bench: Bench) -> None:
    """Should no sweep have come by."""
    lease = await bench.start(limits=Limits(total=20 * SECOND))
    bench.advance(20 * SECOND + SLACK)

    assert Timeout.TOTAL_TIMEOUT is (await bench.store.renew(lease, sequence=1, progress=b"")).timeout
    assert JobState.FAILED is await bench.state()


async def test_a_silent_worker_whose_limit_is_over_is_no_crash(bench: Bench) -> None:
    """A lease that runs out after the run limit ends the job, and is not tried again."""
    await bench.start(limits=Limits(hard_run=2 * SECOND))
    bench.advance(bench.times.ttl + SECOND)

    swept = await bench.store.sweep()

    assert (1, 0) == (swept.run_timeout, swept.lost)
    assert JobState.FAILED is await bench.state()


async def test_a_silent_worker_within_its_limits_is_a_crash(bench: Bench) -> None:
    """The limits change nothing for it."""
    await bench.start(limits=Limits(total=timedelta(hours=1)))
    bench.advance(bench.times.ttl + SECOND)

    assert 1 == (await bench.store.sweep()).lost
    assert 1 == bench.client.zcard(f"{prefix()}dl")


async def test_what_publishes_is_left_alone(bench: Bench) -> None:
    """As long as its window lasts; when that ends without an outcome, the limit counts."""
    lease = await bench.start(limits=Limits(total=20 * SECOND, hard_run=20 * SECOND))
    await bench.store.publish(lease)
    bench.advance(50 * SECOND)
    assert 0 == (await bench.store.sweep()).total_timeout
    assert Verdict.KEEP is (await bench.store.renew(lease, sequence=1, progress=b"")).verdict
    assert Verdict.ALLOWED is (await bench.store.publish(lease)).verdict
    bench.advance(50 * SECOND)
    assert 0 == (await bench.store.sweep()).total_timeout
    bench.advance(11 * SECOND)

    assert 1 == (await bench.store.sweep()).total_timeout


async def test_a_limit_reported_by_the_worker_is_final(bench: Bench) -> None:
    """DEADLINE is not tried again, whatever attempts are left."""
    lease = await bench.start(retry=RetryPolicy(max_attempts=10), limits=Limits(hard_run=SECOND))

    assert Ack.COMMITTED is (await bench.fail(lease, FailureKind.DEADLINE)).ack
    assert JobState.FAILED is await bench.state()


async def test_an_old_worker_that_left_an_overdue_attempt_ends_it(bench: Bench) -> None:
    """A reclaimed lease whose limit is over is the limit's end, and no crash."""
    await bench.start(limits=Limits(hard_run=2 * SECOND))
    bench.advance(2 * SECOND + SLACK)

    assert ["RUN_TIMEOUT"] == await bench.store.reclaim(WORKER, [])
    assert JobState.FAILED is await bench.state()
