"""Refusals on a real server: a job avoids who cannot do it, nobody flies in circles, nobody else waits for that."""

from __future__ import annotations

from datetime import timedelta

import pytest

from support.store_bench import WORKER, Bench, a_job
from telecine_scheduler.domain.job import FailureKind, JobState, WaitReason
from telecine_scheduler.domain.lease import StreamId
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.store.keys import prefix

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
GPU = JobClass(queue="default", units=1, requirements=frozenset({"gpu"}))


async def granted(bench: Bench, stream: StreamId = WORKER, free: int = 1) -> list[str]:
    return [grant.lease.name.job_id for grant in await bench.dispatch(stream, free)]


@pytest.mark.parametrize("reason", ["UNSUPPORTED", "UNHEALTHY"])
async def test_a_refused_job_goes_elsewhere(bench: Bench, reason: str) -> None:
    """T6: for a minute the process that could not do it is not offered it, and another is at once."""
    # Sessions are new for every process of a worker, and may be alike between workers.
    other = await bench.connect("w2", WORKER.session_id)
    await bench.submit()
    assert ["job"] == await bench.refuse(reason=reason)

    assert [] == await granted(bench)
    bench.advance(59 * SECOND)
    assert [] == await granted(bench)
    assert ["job"] == await granted(bench, other)


@pytest.mark.parametrize("reason", ["NO_SLOT", "DRAINING"])
async def test_a_refusal_that_passes_is_not_remembered(bench: Bench, reason: str) -> None:
    """Who has no slot just now may have one in a moment."""
    await bench.submit()
    await bench.refuse(reason=reason)

    assert ["job"] == await granted(bench)


async def test_after_a_minute_a_worker_is_asked_again(bench: Bench) -> None:
    """It may be healthy by then."""
    await bench.submit()
    await bench.refuse(reason="UNHEALTHY")
    bench.advance(61 * SECOND)

    assert ["job"] == await granted(bench)


async def test_a_new_process_is_asked_at_once(bench: Bench) -> None:
    """A job avoids a session, not a worker's name."""
    await bench.submit()
    await bench.refuse()
    await bench.store.disconnect(WORKER, shorten=False)
    again = await bench.connect(WORKER.worker_id, "s2")

    assert ["job"] == await granted(bench, again)


async def test_a_worker_is_offered_what_is_behind(bench: Bench) -> None:
    """A job that it refused does not keep others from it."""
    for job_id in "abc":
        await bench.submit(job_id)
    assert ["a", "b"] == await bench.refuse(free=2)

    assert ["c"] == await granted(bench, free=3)


async def test_a_heavy_job_that_was_refused_is_not_waited_for(bench: Bench) -> None:
    """Whom it avoids keeps no room free for it."""
    await bench.submit("heavy", job_class=JobClass(queue="default", units=2, requirements=frozenset()))
    await bench.refuse(free=2)
    await bench.submit("light")

    assert ["light"] == await granted(bench, free=1)


async def test_other_tenants_and_classes_are_served_all_the_same(bench: Bench) -> None:
    """A worker that refuses one tenant's jobs of a class is good for everything else."""
    bench.admit()
    for number in range(10):
        await bench.submit(f"a{number}", tenant="a")
    refused = await bench.refuse(free=8)
    await bench.submit("b", tenant="b")
    await bench.submit("gpu", tenant="a", job_class=GPU)

    assert 8 == len(refused)
    assert {"b", "gpu"} == set(await granted(bench, free=16))


async def test_three_refusals_in_a_row_make_a_job_wait(bench: Bench) -> None:
    """By different workers too."""
    await bench.submit()
    for number in range(3):
        assert ["job"] == await bench.refuse(await bench.connect(f"w{number + 2}"))

    job = await bench.job()
    assert (JobState.WAITING, WaitReason.REFUSED) == (job.state, job.wait_reason)


async def test_each_further_refusal_doubles_the_wait(bench: Bench) -> None:
    """5 to 15 s after the third, up to five minutes, until the job is begun."""
    await bench.submit()
    for _ in range(2):
        await bench.refuse(reason="NO_SLOT")
    for longest in (15, 30, 60, 120, 240, 300, 300):
        assert ["job"] == await bench.refuse(reason="NO_SLOT")
        job = await bench.job()
        assert job.due is not None
        assert longest / 3 - 0.1 <= (job.due - job.revision) / 1e6 <= longest
        bench.advance(timedelta(microseconds=job.due - job.revision))
        await bench.store.sweep()
    lease = await bench.lease()
    await bench.store.accept(lease)
    await bench.give_back(lease)

    for _ in range(2):
        assert ["job"] == await bench.refuse(reason="NO_SLOT")
    assert JobState.QUEUED is await bench.state()


async def test_a_grant_that_nobody_took_is_no_refusal(bench: Bench) -> None:
    """However often it happens, the job does not wait."""
    await bench.submit()
    for _ in range(5):
        await bench.lease()
        bench.advance(bench.times.accept_window + SECOND)
        assert 1 == (await bench.store.sweep()).returned

    assert JobState.QUEUED is await bench.state()
    await bench.refuse(reason="NO_SLOT")
    assert JobState.QUEUED is await bench.state()


async def test_an_empty_look_notes_the_scheduler(bench: Bench) -> None:
    """Where all there is avoids the worker, its scheduler is told of the next job like any other that found nothing."""
    await bench.submit()
    await bench.refuse()
    wake = f"{prefix()}wake:a"
    bench.client.delete(wake)
    await granted(bench)
    assert 0 == bench.client.exists(wake)

    await bench.submit("next")

    assert 1 == bench.client.llen(wake)


async def test_who_was_passed_over_is_given_no_credit(bench: Bench) -> None:
    """A tenant whose job waited for another worker, while others were served, is not served alone afterwards."""
    bench.admit()
    other = await bench.connect("w2")
    await bench.submit("first", tenant="a", priority=100)
    await bench.refuse()
    for number in range(20):
        await bench.submit(f"b{number}", tenant="b")
    assert 15 == len(await granted(bench, free=15))
    for number in range(5):
        await bench.submit(f"a{number}", tenant="a")

    served = [grant.lease.name.tenant for grant in await bench.dispatch(other, free=6)]

    assert 2 <= served.count("b")


async def test_an_unexplained_failure_is_tried_elsewhere(bench: Bench) -> None:
    """When it is due another worker may take it at once, and the same one only after ten seconds."""
    other = await bench.connected("w2")
    for job_id in ("elsewhere", "here"):
        await bench.fail(await bench.start(job_id), FailureKind.UNKNOWN)
        job = await bench.job(job_id)
        assert job.due is not None
        bench.advance(timedelta(microseconds=job.due - job.revision) + SECOND)
        await bench.store.sweep()
        assert [] == await granted(bench)
        if job_id == "elsewhere":
            [grant] = await bench.dispatch(other)
            await bench.succeed(grant.lease)
    bench.advance(9 * SECOND)

    assert ["here"] == await granted(bench)


async def test_other_failures_may_be_tried_anywhere(bench: Bench) -> None:
    """A disk that was full says nothing of the worker's FFmpeg."""
    await bench.fail(await bench.start(), FailureKind.RETRYABLE)
    bench.advance(11 * SECOND)
    await bench.store.sweep()

    assert ["job"] == await granted(bench)


async def test_a_look_is_eight_jobs_deep(bench: Bench) -> None:
    """Past so many of a tenant's class that avoid the worker nothing is looked for; other tenants have their turn."""
    bench.admit()
    other = await bench.connected("w2")
    await bench.store.submit_all([a_job(f"job{number}", tenant="a") for number in range(9)])
    for grant in await bench.dispatch(free=9):
        await bench.fail(grant.lease, FailureKind.CRASH)
    await bench.submit("behind", tenant="a")
    await bench.submit("b", tenant="b")

    assert ["b"] == await granted(bench, free=16)
    assert [*(f"job{number}" for number in range(9)), "behind"] == await granted(bench, other, free=16)


async def test_a_start_ends_the_avoiding(bench: Bench) -> None:
    """Once it was begun elsewhere, a job that comes back is for everybody."""
    other = await bench.connect("w2")
    await bench.submit()
    await bench.refuse()
    [grant] = await bench.dispatch(other)
    await bench.store.accept(grant.lease)
    await bench.give_back(grant.lease)

    assert ["job"] == await granted(bench)


async def test_an_index_without_jobs_is_mended(bench: Bench) -> None:
    """A tenant that is in the fair index and has nothing ready is taken out, and others are served."""
    await bench.submit("a", tenant="a")
    await bench.refuse()
    await bench.submit("b", tenant="b")
    bench.client.zadd(f"{prefix()}fair:1", {"ghost": -1})

    assert ["b"] == await granted(bench, free=5)
    assert None is bench.client.zscore(f"{prefix()}fair:1", "ghost")
