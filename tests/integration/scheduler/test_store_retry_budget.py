"""How fast a tenant's jobs are tried again, on a real server: all of them, but not all at once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from support.store_bench import Bench, a_job
from telecine_scheduler.domain.job import FailureKind, JobName, JobState
from telecine_scheduler.domain.submission import RetryPolicy
from telecine_scheduler.store.keys import prefix

SECOND = timedelta(seconds=1)
# Its longest backoff only bounds how long the budget may keep it waiting.
AT_ONCE = RetryPolicy(max_attempts=10, initial_backoff=timedelta(), max_backoff=timedelta(minutes=1))


async def failed(bench: Bench, job_id: str, tenant: str = "default", kind: FailureKind = FailureKind.RETRYABLE) -> int:
    """One more failed attempt of a job that is tried again without a backoff; when that is, 0 where it is now."""
    name = JobName(tenant=tenant, job_id=job_id)
    if await bench.store.get(name, full=False) is None:
        await bench.store.submit(a_job(job_id, tenant=tenant, retry=AT_ONCE), dispatches=False)
    [grant] = await bench.dispatch()
    assert name == grant.lease.name
    await bench.fail(grant.lease, kind)
    job = await bench.job(job_id, tenant)
    # What is due when it fails is due no later than the number of that change.
    return 0 if job.state is JobState.QUEUED or job.due is None or job.due <= job.revision else job.due


async def test_retries_beyond_the_burst_are_spread(bench: Bench) -> None:
    """One after the other at the rate, and none is dropped."""
    bench.admit(retry_rate=0.1, retry_burst=2)

    due = [await failed(bench, f"{number}") for number in range(5)]

    assert [0, 0] == due[:2]
    now = (await bench.job("4")).revision
    assert [9, 19, 29] == [(each - now) // 1_000_000 for each in due[2:]]
    assert [10_000_000] * 2 == [due[3] - due[2], due[4] - due[3]]
    bench.advance(timedelta(seconds=30))
    assert 5 == (await bench.store.sweep()).promoted


async def test_a_tenants_retries_delay_nobody_else(bench: Bench) -> None:
    """Each has a budget of its own."""
    bench.admit(retry_rate=0.1, retry_burst=1)
    for number in range(3):
        await failed(bench, f"{number}")

    assert 0 == await failed(bench, "job", "other")


async def test_a_budget_fills_up_again(bench: Bench) -> None:
    """At the rate, up to the burst; what is full is forgotten."""
    bench.admit(retry_rate=0.1, retry_burst=2)
    for number in range(4):
        await failed(bench, f"{number}")
    bench.advance(timedelta(minutes=2))

    due = [await failed(bench, f"later-{number}") for number in range(3)]

    assert [False, False, True] == [bool(each) for each in due]
    bench.advance(timedelta(minutes=2))
    await failed(bench, "last", "other")
    assert [b"other"] == bench.client.zrange(f"{prefix()}retries", 0, -1)


async def test_the_first_retry_after_a_crash_is_free(bench: Bench) -> None:
    """It waits for nothing; the second one is counted."""
    bench.admit(retry_rate=0.1, retry_burst=1)
    await failed(bench, "job", kind=FailureKind.CRASH)
    assert 0 == bench.client.exists(f"{prefix()}retries")

    await failed(bench, "job", kind=FailureKind.CRASH)

    assert 1 == bench.client.exists(f"{prefix()}retries")


async def test_a_lost_worker_counts_too(bench: Bench) -> None:
    """From the second crash on, whoever noticed it."""
    lease = await bench.start(retry=AT_ONCE)
    await bench.fail(lease, FailureKind.CRASH)
    await bench.store.accept(await bench.lease())
    bench.advance(bench.times.ttl + SECOND)
    # The tenant's budget is spent for the next minute.
    full_at = int(bench.client.hget(f"{prefix()}meta", "beat") or 0) + 60_000_000
    bench.client.zadd(f"{prefix()}retries", {"default": full_at})
    bench.admit(retry_rate=0.1, retry_burst=1)

    assert 1 == (await bench.store.sweep()).lost
    assert full_at == (await bench.job()).due


async def test_the_debt_of_many_is_bounded(bench: Bench) -> None:
    """Nobody waits longer for others' retries, which may be cancelled by now, than for the longest backoff and a burst."""
    bench.admit(retry_rate=0.1, retry_burst=2)
    due = []
    for number in range(12):
        due.append(await failed(bench, f"{number}"))
        await bench.store.cancel(a_job(f"{number}").name, reason="")

    now = (await bench.job("11")).revision
    assert 0 < due[-1] - now <= 60_000_000 + 20_000_000
    bench.advance(timedelta(seconds=85))
    assert 0 == await failed(bench, "later")


async def test_a_longer_backoff_stands(bench: Bench) -> None:
    """A retry is due at the later of the two."""
    bench.admit(retry_rate=1, retry_burst=1)
    await failed(bench, "first")
    lease = await bench.start("second", retry=RetryPolicy(initial_backoff=timedelta(minutes=1)))

    await bench.fail(lease, FailureKind.RETRYABLE)

    job = await bench.job("second")
    assert job.due is not None
    assert job.due - job.revision >= 29.9e6


@pytest.mark.parametrize("rate", [0, 100_000])
async def test_without_a_limit_nothing_is_spread(bench: Bench, rate: float) -> None:
    """0 is none, and keeps nothing; a great one comes to the same."""
    bench.admit(retry_rate=rate, retry_burst=1)

    due = [await failed(bench, f"{number}") for number in range(3)]

    now = (await bench.job("2")).revision
    assert max(due) - now < 1_000_000
    assert bool(rate) == bool(bench.client.exists(f"{prefix()}retries"))


async def test_returns_and_refusals_are_not_counted(bench: Bench) -> None:
    """Only what is charged to the job is."""
    bench.admit(retry_rate=1, retry_burst=1)
    await bench.give_back(await bench.start())
    await bench.store.accept(await bench.lease(), refusal="NO_SLOT")

    assert 0 == bench.client.exists(f"{prefix()}retries")
