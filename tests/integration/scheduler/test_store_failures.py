"""Failures on a real server: what is tried again, when, where, and how often (T9, T10)."""

from __future__ import annotations

from datetime import timedelta

import pytest

from support.store_bench import WORKER, Bench
from telecine_scheduler.domain.job import FailureKind, JobState
from telecine_scheduler.domain.lease import Ack, StreamId
from telecine_scheduler.domain.submission import RetryPolicy
from telecine_scheduler.domain.worker import WorkerOffer, WorkerReport

SECOND = timedelta(seconds=1)
OFFER = WorkerOffer(queues=frozenset({"default"}), capabilities=frozenset(), slots=1, version="1")


async def crash(bench: Bench, stream: StreamId = WORKER) -> JobState:
    """One more attempt on that worker, which crashes; the state after the backoff."""
    bench.advance(timedelta(minutes=2))
    await bench.store.sweep()
    [grant] = await bench.dispatch(stream)
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


@pytest.mark.parametrize(("others", "third"), [(0, JobState.FAILED), (1, JobState.WAITING)])
async def test_crashes_on_one_worker_may_be_the_worker(bench: Bench, others: int, third: JobState) -> None:
    """While another is connected the job is kept for that one; where there is none, three are enough."""
    streams = [WORKER, *[await bench.connect("w2") for _ in range(others)]]
    await bench.submit(retry=RetryPolicy(max_attempts=10))
    await crash(bench)
    await crash(bench)
    await bench.store.report_workers([WorkerReport(stream=stream, offer=OFFER) for stream in streams])

    assert third is await crash(bench)


async def test_a_job_that_crashed_again_is_tried_elsewhere(bench: Bench) -> None:
    """From the second crash on, another worker has ten seconds to take it."""
    other = await bench.connect("w2")
    await bench.submit()
    await crash(bench)
    await bench.fail(await bench.lease(), FailureKind.CRASH)
    job = await bench.job()
    assert job.due is not None
    bench.advance(timedelta(microseconds=job.due - job.revision) + SECOND)
    await bench.store.sweep()

    assert (0, 1) == (len(await bench.dispatch()), len(await bench.dispatch(other)))


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


@pytest.mark.parametrize(("failures", "longest"), [(1, 10), (2, 20), (3, 40)])
async def test_backoff_doubles_with_jitter(bench: Bench, failures: int, longest: int) -> None:
    """The delay is between half of d and d, with d = 10 s, 20 s, 40 s."""
    lease = await bench.start(retry=RetryPolicy(max_attempts=10))
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
