"""Workers that were taken for lost and are there after all, on a real server: what is taken back, and what is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from support.store_bench import OFFER, WORKER, Bench, a_job
from telecine_scheduler.domain.job import FailureKind, JobState
from telecine_scheduler.domain.lease import Ack, Lease, StreamId, Verdict
from telecine_scheduler.domain.submission import RetryPolicy
from telecine_scheduler.domain.worker import WorkerReport
from telecine_scheduler.store.keys import prefix

MANY = RetryPolicy(max_attempts=10)


async def lose(bench: Bench, stream: StreamId = WORKER) -> Lease:
    """One more attempt on that worker, whose lease runs out."""
    bench.advance(timedelta(minutes=2))
    await bench.store.sweep()
    [grant] = await bench.dispatch(stream)
    await bench.store.accept(grant.lease)
    bench.advance(bench.times.ttl + timedelta(seconds=1))
    swept = await bench.store.sweep()
    assert 1 == swept.lost + swept.failed
    return grant.lease


def crashes(bench: Bench) -> int:
    return int(bench.client.hget(f"{prefix()}j:default:job", "cr") or 0)


async def forgiven(bench: Bench, lease: Lease) -> bool:
    """Whether a renewal under this token takes a crash back; stale it is in any case."""
    ruling = await bench.store.renew(lease, sequence=1, progress=b"late")
    assert Verdict.STALE is ruling.verdict
    return ruling.forgiven


async def test_a_session_that_comes_back_was_no_crash(bench: Bench) -> None:
    """The crash is taken back once, the lease stays over, and nobody sees a change."""
    await bench.submit(retry=MANY)
    lease = await lose(bench)
    before = await bench.job()

    assert [True, False] == [await forgiven(bench, lease), await forgiven(bench, lease)]
    assert (0, before) == (crashes(bench), await bench.job())
    assert not bench.client.hexists(f"{prefix()}x:default:job", "c")


async def test_workers_that_come_back_make_no_poison(bench: Bench) -> None:
    """A job whose worker is cut off again and again is tried again and again; only the first time at once."""
    other = await bench.connect("w2")
    await bench.submit(retry=MANY)
    for stream in (WORKER, other, WORKER, other):
        assert await forgiven(bench, await lose(bench, stream))

    assert (JobState.WAITING, 0) == (await bench.state(), crashes(bench))
    assert ["Q", "W", "W", "W"] == [
        change.state.value for change in (await bench.job()).changes if change.reason == "WORKER_LOST"
    ]


async def test_a_job_that_silences_its_workers_ends(bench: Bench) -> None:
    """Twenty times it comes back uncharged, as though it had been given back; then its lost leases are crashes."""
    await bench.connected("w2")
    await bench.submit(retry=RetryPolicy(max_attempts=3, max_backoff=timedelta(seconds=1)))
    taken_back = [await forgiven(bench, await lose(bench)) for _ in range(23)]

    assert [True] * 20 + [False] * 3 == taken_back
    assert JobState.FAILED is await bench.state()


async def test_what_came_back_is_counted_together(bench: Bench) -> None:
    """Given back or taken for lost: of one generation; the next one begins anew."""
    await bench.submit(retry=MANY)
    for _ in range(19):
        await bench.give_back(await bench.lease())
    assert [True, False] == [await forgiven(bench, await lose(bench)) for _ in range(2)]
    await bench.store.cancel(a_job().name, reason="")
    await bench.retry()

    assert await forgiven(bench, await lose(bench))
    assert "Q" == (await bench.job()).changes[-1].state.value


async def test_an_older_crash_is_taken_back_too(bench: Bench) -> None:
    """Whichever session comes back, it is its own crash that is forgotten."""
    other = await bench.connect("w2")
    await bench.submit(retry=MANY)
    first, second = await lose(bench), await lose(bench, other)
    assert 2 == crashes(bench)

    assert await forgiven(bench, first)

    assert 1 == crashes(bench)
    # Only w2 has crashed with it: with another worker connected, a third crash there is not enough.
    await bench.store.report_workers([WorkerReport(stream=WORKER, offer=OFFER, draining=False)])
    await lose(bench, other)
    await lose(bench, other)
    assert JobState.WAITING is await bench.state()
    assert await forgiven(bench, second)


async def test_an_outcome_takes_a_crash_back(bench: Bench) -> None:
    """The attempt had come to an end; whether it was one that counts is another question."""
    await bench.submit(retry=MANY)
    lease = await lose(bench)

    answer = await bench.succeed(lease)

    assert (Ack.STALE, True, 0) == (answer.ack, answer.forgiven, crashes(bench))


async def test_a_crash_that_is_reported_stays_one(bench: Bench) -> None:
    """The worker is there, and FFmpeg was killed all the same."""
    await bench.submit(retry=MANY)
    lease = await lose(bench)

    answer = await bench.fail(lease, FailureKind.CRASH)

    assert (Ack.STALE, False, 1) == (answer.ack, answer.forgiven, crashes(bench))


async def test_only_a_lost_lease_is_forgiven(bench: Bench) -> None:
    """A crash that the worker itself reported is not taken back by the same report, which comes again."""
    lease = await bench.start(retry=MANY)
    await bench.fail(lease, FailureKind.CRASH)
    await bench.store.accept(await bench.lease())

    assert not await forgiven(bench, lease)
    assert 1 == crashes(bench)


async def test_a_reclaimed_lease_is_forgiven(bench: Bench) -> None:
    """A new process took over, and the old one lives: it was frozen, not dead."""
    lease = await bench.start(retry=MANY)
    await bench.store.disconnect(WORKER, shorten=True)
    await bench.store.register(replace(WORKER, session_id="s2"))
    assert ["LOST"] == await bench.store.reclaim(replace(WORKER, session_id="s2"), [])

    assert await forgiven(bench, lease)


async def test_a_final_state_stays_final(bench: Bench) -> None:
    """A job that failed because its last worker was lost stays FAILED."""
    await bench.submit(retry=RetryPolicy(max_attempts=1))
    [grant] = await bench.dispatch()
    await bench.store.accept(grant.lease)
    bench.advance(bench.times.ttl + timedelta(seconds=1))
    await bench.store.sweep()

    assert not await forgiven(bench, grant.lease)
    assert JobState.FAILED is await bench.state()


async def test_a_new_generation_has_nothing_to_forgive(bench: Bench) -> None:
    """RetryJob began to count anew, so nothing is taken off."""
    await bench.submit(retry=MANY)
    lease = await lose(bench)
    await bench.store.cancel(lease.name, reason="")
    await bench.retry()
    await bench.fail(await bench.lease(), FailureKind.CRASH)

    assert not await forgiven(bench, lease)
    assert 1 == crashes(bench)


@pytest.mark.parametrize("token", [1, 2**53 - 1])
async def test_a_token_that_was_never_charged_takes_nothing_back(bench: Bench, token: int) -> None:
    """A stranger's token, whatever it is."""
    await bench.submit(retry=MANY)
    lease = await lose(bench)

    assert not await forgiven(bench, replace(lease, token=token))
    assert 1 == crashes(bench)


async def test_the_memory_of_crashes_is_bounded(bench: Bench) -> None:
    """A job that may be tried a hundred times, on the one worker that there is beside one that never takes it."""
    await bench.connected("w2")
    await bench.submit(retry=RetryPolicy(max_attempts=100, max_backoff=timedelta(seconds=1)))
    for _ in range(20):
        await lose(bench)

    kept = bench.client.hget(f"{prefix()}x:default:job", "c")
    assert kept is not None
    assert (20, 16) == (crashes(bench), len(kept.splitlines()))
