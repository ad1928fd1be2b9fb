"""Limits of a job on a real server: queue and total, by their timer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from support.store_bench import SLACK, Bench
from telecine_scheduler.domain.job import AttemptOutcome, FailureKind, JobState
from telecine_scheduler.domain.lease import Ack, Verdict
from telecine_scheduler.domain.submission import Limits
from telecine_scheduler.store.keys import prefix

SECOND = timedelta(seconds=1)


def armed(bench: Bench) -> bool:
    return bool(bench.client.zcard(f"{prefix()}dl"))


def debts(bench: Bench) -> dict[bytes, float]:
    """What tenants without ready jobs are ahead of the floor of the first class."""
    return dict(bench.client.zrange(f"{prefix()}v:1", 0, -1, withscores=True))


async def test_a_job_that_nobody_begins_in_time_fails(bench: Bench) -> None:
    """T15: the failure is the scheduler's, the change says which limit it was, and no attempt is made up."""
    await bench.submit(limits=Limits(queue=10 * SECOND))
    bench.advance(9 * SECOND)
    assert 0 == (await bench.store.sweep()).queue_timeout
    bench.advance(SECOND)

    swept = await bench.store.sweep()

    job = await bench.job()
    assert (1, 0, 0) == (swept.queue_timeout, swept.total_timeout, swept.failed)
    assert (JobState.FAILED, b"queue", "QUEUE_TIMEOUT", ()) == (
        job.state, job.failure, job.changes[-1].reason, job.attempts,
    )  # fmt: skip
    assert [] == await bench.dispatch()


async def test_a_delayed_job_has_the_same_time(bench: Bench) -> None:
    """The queue limit counts from the submit, while it waits as well."""
    await bench.submit(limits=Limits(queue=10 * SECOND), not_before=2**52)
    bench.advance(10 * SECOND)

    assert 1 == (await bench.store.sweep()).queue_timeout
    assert (JobState.FAILED, None) == ((await bench.job()).state, (await bench.job()).due)


async def test_a_grant_under_way_is_stale_when_its_job_timed_out(bench: Bench) -> None:
    """T15 from LEASED: the token is void, and nobody is charged."""
    await bench.submit(limits=Limits(queue=2 * SECOND))
    await bench.submit("other", tenant="other")
    lease = await bench.lease()
    assert {b"default": 1.0} == debts(bench)
    bench.advance(2 * SECOND)
    assert 1 == (await bench.store.sweep()).queue_timeout

    assert Verdict.STALE is (await bench.store.accept(lease)).verdict
    assert Ack.STALE is (await bench.succeed(lease)).ack
    assert {} == debts(bench)


async def test_a_job_that_was_begun_has_no_queue_limit_any_more(bench: Bench) -> None:
    """Not while it runs, and not while it waits for its next attempt."""
    lease = await bench.start(limits=Limits(queue=2 * SECOND))
    assert not armed(bench)
    await bench.give_back(lease)
    bench.advance(3 * SECOND)

    assert 0 == (await bench.store.sweep()).queue_timeout
    assert JobState.QUEUED is await bench.state()


async def test_a_refused_grant_is_no_start(bench: Bench) -> None:
    """The queue limit goes on through grants that came to nothing."""
    await bench.submit(limits=Limits(queue=2 * SECOND))
    await bench.refuse(reason="NO_SLOT")
    bench.advance(2 * SECOND)

    assert 1 == (await bench.store.sweep()).queue_timeout


async def test_a_total_limit_ends_a_job_between_attempts(bench: Bench) -> None:
    """It counts from the submit over all attempts; the attempts keep their own failures."""
    lease = await bench.start(limits=Limits(total=4 * SECOND))
    await bench.fail(lease, FailureKind.RETRYABLE)
    bench.advance(4 * SECOND)

    assert 1 == (await bench.store.sweep()).total_timeout
    job = await bench.job()
    assert (JobState.FAILED, b"total", "TOTAL_TIMEOUT") == (job.state, job.failure, job.changes[-1].reason)
    assert [b"short"] == [attempt.failure for attempt in job.attempts]


async def test_the_earlier_of_two_limits_is_named(bench: Bench) -> None:
    """Also when both are over by the time anybody looks."""
    await bench.submit("queue", limits=Limits(queue=2 * SECOND, total=3 * SECOND))
    await bench.submit("total", limits=Limits(total=3 * SECOND))
    bench.advance(4 * SECOND)

    swept = await bench.store.sweep()

    assert (1, 1) == (swept.queue_timeout, swept.total_timeout)
    assert (b"queue", b"total") == ((await bench.job("queue")).failure, (await bench.job("total")).failure)


async def test_a_worker_ends_what_runs_past_the_total_limit(bench: Bench) -> None:
    """Within the grace and the time for its answer its word counts, a success too."""
    lease = await bench.start(limits=Limits(total=60 * SECOND))
    await bench.keep(lease, 60 * SECOND + SLACK - SECOND)
    assert JobState.RUNNING is await bench.state()

    assert Ack.COMMITTED is (await bench.succeed(lease)).ack
    assert not armed(bench)


async def test_the_sweeper_ends_what_its_worker_does_not(bench: Bench) -> None:
    """T10: after that the job fails, and its worker is fenced."""
    lease = await bench.start(limits=Limits(total=20 * SECOND))
    await bench.keep(lease, 15 * SECOND)
    bench.advance(5 * SECOND + SLACK)

    swept = await bench.store.sweep()

    job = await bench.job()
    assert (1, 0) == (swept.total_timeout, swept.lost)
    assert (JobState.FAILED, b"total", AttemptOutcome.FAILED, b"total") == (
        job.state, job.failure, job.attempts[-1].outcome, job.attempts[-1].failure,
    )  # fmt: skip
    assert Ack.STALE is (await bench.succeed(lease)).ack


async def test_a_job_has_its_own_grace(bench: Bench) -> None:
    """In place of the operator's: for a cancel, and for the backstop of limits."""
    own = Limits(total=20 * SECOND, cancel_grace=timedelta(minutes=10))
    lease = await bench.start(limits=own)
    await bench.keep(lease, 20 * SECOND + 2 * SLACK)
    assert JobState.RUNNING is await bench.state()
    await bench.store.cancel(lease.name, reason="")
    bench.advance(timedelta(minutes=9))
    assert 0 == (await bench.store.sweep()).cancelled

    assert timedelta(minutes=10) == (await bench.store.renew(lease, sequence=99, progress=b"")).cancel_grace
    bench.advance(timedelta(minutes=2))
    assert 1 == (await bench.store.sweep()).cancelled


async def test_a_job_without_a_grace_of_its_own_says_none(bench: Bench) -> None:
    """Then the operator's holds."""
    lease = await bench.start()
    await bench.store.cancel(lease.name, reason="")

    ruling = await bench.store.publish(lease)

    assert (Verdict.CANCEL, None) == (ruling.verdict, ruling.cancel_grace)


async def test_a_cancel_is_not_overtaken_by_a_limit(bench: Bench) -> None:
    """A CANCELLING job ends CANCELLED."""
    lease = await bench.start(limits=Limits(total=2 * SECOND))
    await bench.store.cancel(lease.name, reason="")
    assert not armed(bench)
    bench.advance(3 * SECOND)
    await bench.store.sweep()

    assert Ack.CANCELLED is (await bench.fail(lease, FailureKind.DEADLINE)).ack
    assert JobState.CANCELLED is await bench.state()


async def test_after_an_outage_waiting_jobs_time_out_and_running_ones_do_not(bench: Bench) -> None:
    """While leases are frozen a worker that could not tell has its say; nobody works on what waits."""
    await bench.submit("waits", limits=Limits(total=20 * SECOND), not_before=2**52)
    lease = await bench.start("runs", limits=Limits(total=20 * SECOND))
    bench.client.hincrby(f"{prefix()}meta", "test_shift_us", 90_000_000)

    swept = await bench.store.sweep()

    assert (True, 1) == (swept.frozen, swept.total_timeout)
    assert (JobState.FAILED, JobState.RUNNING) == (await bench.state("waits"), await bench.state("runs"))
    assert Ack.COMMITTED is (await bench.succeed(lease)).ack


async def test_a_grant_says_how_much_time_is_left(bench: Bench) -> None:
    """And the job's own grace; neither where the job has none."""
    await bench.submit("plain")
    await bench.submit("limited", limits=Limits(total=60 * SECOND, cancel_grace=5 * SECOND))
    bench.advance(20 * SECOND)

    plain, limited = await bench.dispatch(free=2)

    assert (None, None) == (plain.total_left, plain.cancel_grace)
    assert limited.total_left is not None
    assert 39 * SECOND < limited.total_left <= 40 * SECOND
    assert 5 * SECOND == limited.cancel_grace


async def test_limits_of_many_jobs_take_several_sweeps(bench: Bench) -> None:
    """At most fifty a sweep, which says that there are more."""
    bench.admit()
    for number in range(60):
        await bench.submit(f"job{number}", limits=Limits(queue=SECOND))
    bench.advance(SECOND)

    first, second = await bench.store.sweep(), await bench.store.sweep()

    assert (50, True, 10) == (first.queue_timeout, first.more, second.queue_timeout)


@pytest.mark.parametrize(
    "limits",
    [
        Limits(), Limits(queue=SECOND), Limits(total=SECOND), Limits(hard_run=SECOND), Limits(cancel_grace=timedelta()),
        Limits(queue=SECOND, total=timedelta(days=366), hard_run=timedelta(days=7), cancel_grace=timedelta(minutes=10)),
    ],
)  # fmt: skip
async def test_any_limits_fit_a_record(bench: Bench, limits: Limits) -> None:
    """Absent where all are default, and short enough for a small record; the invariants look at its length."""
    await bench.submit(limits=limits)

    stored = bench.client.hget(f"{prefix()}j:default:job", "lm")
    [grant] = await bench.dispatch()

    assert (limits == Limits()) == (stored is None)
    assert limits.cancel_grace == grant.cancel_grace
