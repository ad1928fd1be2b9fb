"""Failures on a real server: what is tried again, when, where, and how often (T9, T10)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from support.store_bench import OFFER, WORKER, Bench
from telecine_scheduler.domain.job import FailureKind, JobState
from telecine_scheduler.domain.lease import Ack, StreamId
from telecine_scheduler.domain.submission import JobClass, RetryPolicy
from telecine_scheduler.domain.worker import WorkerOffer, WorkerReport
from telecine_scheduler.store.keys import prefix

SECOND = timedelta(seconds=1)
BIG = WorkerOffer(queues=frozenset({"default"}), capabilities=frozenset({"gpu"}), slots=2, version="1")
PICKY = JobClass(queue="default", units=2, requirements=frozenset({"gpu"}))


async def crash(bench: Bench, stream: StreamId = WORKER) -> JobState:
    """One more attempt on that worker, which crashes; the state after the backoff."""
    bench.advance(timedelta(minutes=2))
    await bench.store.sweep()
    [grant] = await bench.dispatch(stream, free=2)
    await bench.fail(grant.lease, FailureKind.CRASH)
    return await bench.state()


async def test_a_second_crash_backs_off(bench: Bench) -> None:
    """Only the first retry after a crash is for nothing."""
    await bench.submit()
    for expected in (JobState.QUEUED, JobState.WAITING):
        await bench.store.accept(await bench.lease())
        bench.advance(bench.times.ttl + SECOND)
        await bench.store.sweep()

        assert expected is await bench.state()


async def test_a_job_that_crashes_whoever_runs_it_is_poison(bench: Bench) -> None:
    """The third crash ends it when there were two workers, however many attempts it has; RetryJob begins to count anew."""
    other = await bench.connect("w2")
    await bench.submit(retry=RetryPolicy(max_attempts=10))

    states = [await crash(bench), await crash(bench, other), await crash(bench)]

    assert [JobState.QUEUED, JobState.WAITING, JobState.FAILED] == states
    await bench.retry()
    await bench.store.report_workers([WorkerReport(stream=other, offer=OFFER)])
    states = [await crash(bench), await crash(bench), await crash(bench)]
    assert [JobState.QUEUED, JobState.WAITING, JobState.WAITING] == states


@pytest.mark.parametrize(
    ("other", "draining", "third"),
    [
        (None, False, JobState.FAILED), (BIG, False, JobState.WAITING), (BIG, True, JobState.FAILED),
        (replace(BIG, queues=frozenset({"other"})), False, JobState.FAILED),
        (replace(BIG, capabilities=frozenset({"other"})), False, JobState.FAILED),
        (replace(BIG, slots=1), False, JobState.FAILED),
    ],
)  # fmt: skip
async def test_crashes_on_one_worker_may_be_the_worker(
    bench: Bench, other: WorkerOffer | None, draining: bool, third: JobState
) -> None:
    """While another is connected that could run it, the job is kept for that one; where there is none, three are enough."""
    await bench.store.report_workers([WorkerReport(stream=WORKER, offer=BIG)])
    await bench.submit(retry=RetryPolicy(max_attempts=10), job_class=PICKY)
    await crash(bench)
    await crash(bench)
    if other:
        await bench.connected("w2", other, draining=draining)

    assert third is await crash(bench)


async def test_a_worker_whose_scheduler_died_is_none(bench: Bench) -> None:
    """It is listed still, and no job is kept for it."""
    await bench.connected("w2")
    bench.client.hset(f"{prefix()}w:w2", "sch", "dead")
    await bench.submit(retry=RetryPolicy(max_attempts=10))

    assert [JobState.QUEUED, JobState.WAITING, JobState.FAILED] == [await crash(bench) for _ in range(3)]


@pytest.mark.parametrize("others", [0, 1])
async def test_the_first_retry_after_a_crash_is_elsewhere(bench: Bench, others: int) -> None:
    """At once on another worker, and on the same one after ten seconds; at once where there is no other."""
    streams = [await bench.connected("w2") for _ in range(others)]
    await bench.fail(await bench.start(), FailureKind.CRASH)
    assert JobState.QUEUED is await bench.state()

    assert len(await bench.dispatch()) == 1 - others
    for stream in streams:
        bench.advance(9 * SECOND)
        assert [] == await bench.dispatch()
        assert 1 == len(await bench.dispatch(stream))


async def test_a_worker_that_crashed_is_asked_again_when_no_other_took_it(bench: Bench) -> None:
    """The other one has ten seconds."""
    await bench.connected("w2")
    await bench.fail(await bench.start(), FailureKind.CRASH)
    bench.advance(11 * SECOND)

    assert 1 == len(await bench.dispatch())


async def test_a_job_that_crashed_again_is_tried_elsewhere(bench: Bench) -> None:
    """From the second crash on, another worker has ten seconds to take it after the backoff."""
    other = await bench.connected("w2")
    await bench.submit()
    await crash(bench)
    bench.advance(11 * SECOND)
    await bench.store.sweep()
    await bench.fail(await bench.lease(), FailureKind.CRASH)
    await after_backoff(bench)

    assert (0, 1) == (len(await bench.dispatch()), len(await bench.dispatch(other)))


@pytest.mark.parametrize("kind", [FailureKind.UNKNOWN, FailureKind.CRASH])
async def test_a_lone_worker_does_not_wait_for_another(bench: Bench, kind: FailureKind) -> None:
    """Where nobody else could take it, the backoff is all there is."""
    await bench.store.report_workers([WorkerReport(stream=WORKER, offer=OFFER)])
    await bench.submit()
    for _ in range(2 if kind is FailureKind.CRASH else 1):
        await bench.fail(await bench.lease(), kind)
    await after_backoff(bench)

    assert 1 == len(await bench.dispatch())


async def after_backoff(bench: Bench) -> None:
    """The job is ready again, just now."""
    job = await bench.job()
    assert job.due is not None
    bench.advance(timedelta(microseconds=job.due - job.revision))
    assert 1 == (await bench.store.sweep()).promoted


async def test_a_process_that_took_over_is_not_avoided(bench: Bench) -> None:
    """What a job avoids is the process that had its lease, whoever has its worker's id by then."""
    await bench.connected("w2")
    await bench.start()
    await bench.store.disconnect(WORKER, shorten=False)
    again = await bench.connect(WORKER.worker_id, "s2")
    assert ["LOST"] == await bench.store.reclaim(again, [])

    assert 1 == len(await bench.dispatch(again))


async def test_attempts_are_bounded(bench: Bench) -> None:
    """T10: the last charged attempt ends the job, with its own failure."""
    lease = await bench.start(retry=RetryPolicy(max_attempts=2, initial_backoff=SECOND))
    await bench.fail(lease, FailureKind.RETRYABLE)
    bench.advance(2 * SECOND)
    await bench.store.sweep()
    lease = await bench.lease()

    ack = await bench.fail(lease, FailureKind.RETRYABLE)

    job = await bench.job()
    assert (Ack.COMMITTED, JobState.FAILED, b"failure") == (ack.ack, job.state, job.failure)
    assert [1, 2] == [attempt.number for attempt in job.attempts]


async def test_an_unknown_failure_is_tried_once_more(bench: Bench) -> None:
    """A failure nobody understands gets one retry, however many attempts the policy has."""
    lease = await bench.start(retry=RetryPolicy(max_attempts=10, initial_backoff=SECOND))
    assert Ack.RETRYING is (await bench.fail(lease, FailureKind.UNKNOWN)).ack
    bench.advance(12 * SECOND)
    await bench.store.sweep()

    assert Ack.COMMITTED is (await bench.fail(await bench.lease(), FailureKind.UNKNOWN)).ack
    assert JobState.FAILED is await bench.state()


@pytest.mark.parametrize(("failures", "longest"), [(1, 10), (2, 20), (3, 40), (4, 50), (5, 50)])
async def test_backoff_doubles_with_jitter(bench: Bench, failures: int, longest: int) -> None:
    """The delay is between half of d and d, with d = 10 s, 20 s, 40 s, and so on up to the policy's greatest."""
    lease = await bench.start(retry=RetryPolicy(max_attempts=10, max_backoff=timedelta(seconds=50)))
    for _ in range(failures - 1):
        await bench.fail(lease, FailureKind.RETRYABLE)
        bench.advance(timedelta(minutes=1))
        await bench.store.sweep()
        lease = await bench.lease()
        await bench.store.accept(lease)

    await bench.fail(lease, FailureKind.RETRYABLE)

    job = await bench.job()
    assert job.due is not None
    delay = (job.due - job.revision) / 1e6
    assert longest / 2 - 0.1 <= delay <= longest


@pytest.mark.parametrize(
    ("before", "last", "longest"),
    [
        ("C", FailureKind.CRASH, 10), ("C", FailureKind.RETRYABLE, 10),
        ("R", FailureKind.CRASH, None), ("CR", FailureKind.RETRYABLE, 20), ("RR", FailureKind.UNKNOWN, 40),
    ],
)  # fmt: skip
async def test_each_kind_of_failure_has_its_own_steps(
    bench: Bench, before: str, last: FailureKind, longest: int | None
) -> None:
    """Crashes and other failures are counted apart, and a crash's first retry, which is at once, is no step."""
    kinds = {"C": FailureKind.CRASH, "R": FailureKind.RETRYABLE}
    await bench.submit(retry=RetryPolicy(max_attempts=10))
    for kind in [*map(kinds.__getitem__, before), last]:
        bench.advance(timedelta(minutes=2))
        await bench.store.sweep()
        [grant] = await bench.dispatch()
        await bench.fail(grant.lease, kind)

    job = await bench.job()
    if longest is None:
        assert JobState.QUEUED is job.state
    else:
        assert job.due is not None
        assert longest / 2 - 0.1 <= (job.due - job.revision) / 1e6 <= longest


async def test_returns_are_not_charged_but_bounded(bench: Bench) -> None:
    """T11: after twenty returns the next one counts as a failure."""
    lease = await bench.start()
    for _ in range(20):
        await bench.give_back(lease)
        lease = await bench.lease()
        await bench.store.accept(lease)
    assert JobState.RUNNING is await bench.state()

    await bench.give_back(lease)

    assert JobState.WAITING is await bench.state()
