"""Leases that a failover of Redis lost, on a real server: who may have one again, and what it is then (T18)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from support.store_bench import WORKER, Bench, a_job
from support.store_states import STATES
from telecine_scheduler.domain.job import AttemptOutcome, FailureKind, JobState
from telecine_scheduler.domain.lease import Ack, Lease, Verdict
from telecine_scheduler.domain.submission import Limits, RetryPolicy
from telecine_scheduler.store.codec import microseconds
from telecine_scheduler.store.keys import prefix

SECOND = timedelta(seconds=1)
META = f"{prefix()}meta"


@pytest.mark.parametrize("waits", [False, True])
async def test_a_lost_lease_is_taken_up_again(bench: Bench, waits: bool) -> None:
    """The job runs as though it had been granted: under that token, on that worker, as one more attempt."""
    bench.limits = Limits(queue=timedelta(minutes=1), total=timedelta(hours=1))
    job = await bench.submit(not_before=2**52 if waits else 0)
    lease = bench.lose()

    assert await bench.store.adopt(lease, WORKER)

    after = await bench.job()
    [attempt] = after.attempts
    assert (JobState.RUNNING, 1, None) == (after.state, after.attempt_count, after.wait_reason)
    assert (lease.token, "w1") == (attempt.token, attempt.worker_id)
    assert ["NOT_BEFORE" if waits else "SUBMITTED", "ADOPTED"] == [change.reason for change in after.changes]
    assert after.revision > lease.token > job.revision
    assert Verdict.ALLOWED is (await bench.store.publish(lease)).verdict
    assert Ack.COMMITTED is (await bench.succeed(lease)).ack


async def test_an_adopted_lease_is_a_lease(bench: Bench) -> None:
    """It is renewed, given back to its old place, and when it runs out it was a crash."""
    await bench.submit(not_before=2**52)
    first = bench.lose()
    await bench.store.adopt(first, WORKER)
    assert Ack.RETRYING is (await bench.give_back(first)).ack
    assert JobState.QUEUED is await bench.state()
    second = bench.lose()
    await bench.store.adopt(second, WORKER)
    assert Verdict.KEEP is (await bench.store.renew(second, sequence=1, progress=b"progress")).verdict
    assert [] == await bench.store.reclaim(WORKER, [second])

    bench.advance(bench.times.ttl + SECOND)

    assert 1 == (await bench.store.sweep()).lost


async def test_later_tokens_are_greater(bench: Bench) -> None:
    """I3: a token that the old server gave by a faster clock raises this one's."""
    await bench.submit()
    lease = bench.lose(after=int(bench.client.hget(META, "clock") or 0) + 3_600_000_000)
    await bench.store.adopt(lease, WORKER)
    await bench.give_back(lease)

    assert (await bench.lease()).token > lease.token


ASKS: dict[str, Callable[[Bench, Lease], Awaitable[object]]] = {
    "accept": lambda bench, lease: bench.store.accept(lease),
    "renew": lambda bench, lease: bench.store.renew(lease, sequence=1, progress=b"progress"),
    "publish": lambda bench, lease: bench.store.publish(lease),
    "succeed": lambda bench, lease: bench.succeed(lease),
    "fail": lambda bench, lease: bench.fail(lease, FailureKind.CRASH),
    "give_back": lambda bench, lease: bench.give_back(lease),
}


@pytest.mark.parametrize("ask", ASKS)
async def test_whoever_asks_is_told_to_adopt_first(bench: Bench, ask: str) -> None:
    """Nothing is changed by asking; a refusal of the grant is not a wish to have it."""
    before = await bench.submit()
    lease = bench.lose()

    answer = await ASKS[ask](bench, lease)

    assert getattr(answer, "adoptable", False)
    assert Verdict.STALE is (await bench.store.accept(lease, refusal="NO_SLOT")).verdict
    assert before.changes == (await bench.job()).changes


@pytest.mark.parametrize("state", ["L", "R", "P", "C", "S", "F", "X"])
async def test_only_what_waits_for_anybody_is_adopted(bench: Bench, state: str) -> None:
    """A job that somebody else has by now, or that has ended, stays as it is; the lease is stale."""
    await STATES[state](bench)
    lease = bench.lose()

    assert Verdict.STALE is (await bench.store.renew(lease, sequence=1, progress=b"")).verdict
    assert Ack.STALE is (await bench.succeed(lease)).ack
    assert not await bench.store.adopt(lease, WORKER)


@pytest.mark.parametrize("outside", [0, 1001])
async def test_only_tokens_that_may_have_been_lost_are_adopted(bench: Bench, outside: int) -> None:
    """Those after the clock as the new server found it, up to the time at which it began."""
    await bench.submit()
    # The clock has gone on since.
    await bench.submit("later")
    lost = bench.lose()

    assert not await bench.store.adopt(replace(lost, token=lost.token - 1 + outside), WORKER)
    assert await bench.store.adopt(replace(lost, token=lost.token + 999), WORKER)


async def test_a_server_whose_clock_is_behind_knows_the_last_tokens(bench: Bench) -> None:
    """By up to five seconds: those that the old one gave just before it went are lost ones; what it gives itself is greater."""
    await bench.submit()
    await bench.submit("next")
    known = int(bench.client.hget(META, "clock") or 0)
    # What the old one gave later was never copied.
    bench.client.hincrby(META, "test_shift_us", -3_000_000)
    bench.client.hdel(META, "beat")
    await bench.store._fast.call("resync", ("another server", microseconds(bench.times.ttl)), ())

    assert await bench.store.adopt(Lease(name=a_job().name, token=known + 1_000_000), WORKER)
    [grant] = await bench.dispatch()
    assert grant.lease.token > int(bench.client.hget(META, "lost_to") or 0) > known + 1_000_000
    await bench.give_back(grant.lease)
    assert not await bench.store.adopt(replace(grant.lease, token=grant.lease.token + 1), WORKER)


async def test_without_a_failover_nothing_is_adopted(bench: Bench) -> None:
    """A store whose server never changed has lost no token."""
    job = await bench.submit()

    assert not await bench.store.adopt(Lease(name=job.name, token=job.create + 1), WORKER)


async def test_a_job_that_was_given_a_later_token_is_not_adopted(bench: Bench) -> None:
    """Somebody has had it since, and it is nobody's now: the old lease stays over."""
    await bench.submit()
    lost = bench.lose()
    bench.advance(SECOND)
    await bench.give_back(await bench.lease())

    assert not await bench.store.adopt(lost, WORKER)


async def test_a_job_that_was_submitted_later_is_another_one(bench: Bench) -> None:
    """Its submit was lost too, and the caller repeated it, perhaps with another spec: what the worker has is not of it."""
    lost = bench.lose()
    bench.advance(SECOND)
    await bench.submit()

    assert not await bench.store.adopt(lost, WORKER)


async def test_a_generation_that_began_later_is_another_one(bench: Bench) -> None:
    """A caller who cancelled a job and runs it again does not want what was begun before."""
    await bench.submit()
    lost = bench.lose()
    bench.advance(SECOND)
    await bench.store.cancel(lost.name, reason="")
    await bench.retry()

    assert not await bench.store.adopt(lost, WORKER)


async def test_a_job_without_a_record_is_not_adopted(bench: Bench) -> None:
    """What Redis lost altogether stays STALE."""
    assert not await bench.store.adopt(bench.lose("gone"), WORKER)


async def test_an_adopted_job_counts_in_its_tenants_turn(bench: Bench) -> None:
    """What was charged for the grant was lost with it."""
    bench.admit()
    for number in range(2):
        for tenant in ("a", "b"):
            job = replace(a_job(f"{number}"), name=replace(a_job().name, tenant=tenant, job_id=f"{number}"))
            await bench.store.submit(job, dispatches=False)
    lost = bench.lose()
    await bench.store.adopt(replace(lost, name=replace(lost.name, tenant="a", job_id="0")), WORKER)

    [grant] = await bench.dispatch()

    assert "b" == grant.lease.name.tenant


async def test_an_adopted_attempt_is_charged_like_any(bench: Bench) -> None:
    """Its crash is a crash of that worker."""
    await bench.submit(retry=RetryPolicy(max_attempts=1))
    lost = bench.lose()
    await bench.store.adopt(lost, WORKER)

    assert Ack.COMMITTED is (await bench.fail(lost, FailureKind.CRASH)).ack
    job = await bench.job()
    assert (JobState.FAILED, AttemptOutcome.FAILED) == (job.state, job.attempts[0].outcome)
