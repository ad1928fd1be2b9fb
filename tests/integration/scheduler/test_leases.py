"""Leases on a real server: tokens, expiry, outages, streams that come and go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from support.store_bench import WORKER, Bench
from telecine_scheduler.domain.errors import StreamFenced
from telecine_scheduler.domain.job import AttemptOutcome, FailureKind, JobState, WaitReason
from telecine_scheduler.domain.lease import Ack, Verdict
from telecine_scheduler.store.job_store import RegisterReply
from telecine_scheduler.store.keys import prefix

SECOND = timedelta(seconds=1)


async def test_tokens_rise_with_every_lease(bench: Bench) -> None:
    """I3: a later lease of a job has a larger token, also past a restart of the numbering."""
    first = await bench.start()
    await bench.give_back(first)
    second = await bench.lease()

    assert second.token > first.token


async def test_a_grant_that_nobody_accepts_goes_back_uncharged(bench: Bench) -> None:
    """T6: after the accept window the job is ready again, as its first attempt, and the old token is void."""
    await bench.submit()
    lease = await bench.lease()
    bench.advance(bench.times.accept_window + SECOND)
    await bench.store.sweep()

    job = await bench.job()
    assert (JobState.QUEUED, 0) == (job.state, job.attempt_count)
    assert Verdict.STALE is (await bench.store.accept(lease)).verdict
    assert Ack.STALE is (await bench.succeed(lease)).ack


async def test_a_refused_job_waits_after_the_third_time(bench: Bench) -> None:
    """T6: refusals in a row cannot keep a job flying back and forth; it waits 5 to 15 s and is offered again."""
    await bench.submit()
    for _ in range(3):
        await bench.store.accept(await bench.lease(), refusal="NO_SLOT")

    job = await bench.job()
    assert (JobState.WAITING, WaitReason.REFUSED) == (job.state, job.wait_reason)
    bench.advance(16 * SECOND)
    await bench.store.sweep()
    await bench.lease()


async def test_a_silent_worker_loses_its_job_to_another(bench: Bench) -> None:
    """T9: an expired lease counts as a crash, and the first retry comes at once."""
    lease = await bench.start()
    bench.advance(bench.times.ttl + SECOND)

    swept = await bench.store.sweep()

    job = await bench.job()
    assert 1 == swept.lost
    assert (JobState.QUEUED, AttemptOutcome.LOST) == (job.state, job.attempts[0].outcome)
    assert b"lost" == job.failure
    assert Ack.STALE is (await bench.succeed(lease)).ack


async def test_renewing_keeps_a_lease(bench: Bench) -> None:
    """T7: a lease that is renewed in time does not run out."""
    lease = await bench.start()
    for sequence in range(4):
        bench.advance(bench.times.ttl - SECOND)
        await bench.store.renew(lease, sequence=sequence, progress=b"")
        assert 0 == (await bench.store.sweep()).lost

    assert JobState.RUNNING is await bench.state()


async def test_a_late_renewal_before_the_sweep_still_counts(bench: Bench) -> None:
    """Running out is permission to reclaim, not a verdict."""
    lease = await bench.start()
    bench.advance(bench.times.ttl + SECOND)

    assert Verdict.KEEP is (await bench.store.renew(lease, sequence=1, progress=b"")).verdict
    assert 0 == (await bench.store.sweep()).lost


async def test_progress_never_goes_back(bench: Bench) -> None:
    """I9: a renewal that was overtaken on the way does not overwrite a newer one."""
    lease = await bench.start()
    await bench.store.renew(lease, sequence=5, progress=b"later")
    revision = (await bench.job()).revision
    await bench.store.renew(lease, sequence=4, progress=b"earlier")

    job = await bench.job()
    assert (b"later", revision) == (job.progress, job.revision)


async def test_a_message_with_the_token_implies_the_accept(bench: Bench) -> None:
    """T5: when the accept was lost, a renewal or an outcome begins the attempt."""
    await bench.submit()
    lease = await bench.lease()
    assert (await bench.store.renew(lease, sequence=1, progress=b"")).waited is not None
    assert (JobState.RUNNING, 1) == ((await bench.job()).state, (await bench.job()).attempt_count)


async def test_a_broken_stream_lengthens_no_lease(bench: Bench) -> None:
    """What runs out before the grace is over still does."""
    await bench.start()
    bench.advance(bench.times.ttl - SECOND)
    await bench.store.disconnect(WORKER, shorten=True)
    bench.advance(2 * SECOND)

    assert 1 == (await bench.store.sweep()).lost


async def test_a_broken_stream_shortens_leases_to_the_grace(bench: Bench) -> None:
    """A worker that does not come back within the grace has lost its jobs."""
    await bench.start()
    await bench.store.disconnect(WORKER, shorten=True)
    assert 0 == (await bench.store.sweep()).lost
    bench.advance(bench.times.reconnect_grace + SECOND)

    assert 1 == (await bench.store.sweep()).lost


async def test_a_stream_that_was_replaced_shortens_nothing(bench: Bench) -> None:
    """The end of an old stream is noticed after the new one began, and means nothing then."""
    await bench.start()
    await bench.store.register(replace(WORKER, epoch=2))
    await bench.store.disconnect(WORKER, shorten=True)
    bench.advance(bench.times.reconnect_grace + SECOND)

    assert 0 == (await bench.store.sweep()).lost


async def test_a_reconnect_within_the_grace_restores_the_lease(bench: Bench) -> None:
    """A worker that is back in time keeps its job for a full TTL."""
    lease = await bench.start()
    await bench.store.disconnect(WORKER, shorten=True)
    await bench.store.register(replace(WORKER, epoch=2))
    await bench.store.renew(lease, sequence=1, progress=b"")
    bench.advance(bench.times.ttl - SECOND)

    assert 0 == (await bench.store.sweep()).lost


async def test_after_an_outage_no_lease_runs_out_for_a_ttl(bench: Bench) -> None:
    """Workers that could not renew because nobody was there are not dead for that."""
    lease = await bench.start()
    meta = f"{prefix()}meta"
    bench.client.hincrby(meta, "test_shift_us", 90_000_000)

    first = await bench.store.sweep()
    bench.advance(bench.times.ttl - SECOND)
    second = await bench.store.sweep()

    assert (True, 0, True, 0) == (first.frozen, first.lost, second.frozen, second.lost)
    assert Verdict.KEEP is (await bench.store.renew(lease, sequence=1, progress=b"")).verdict
    bench.advance(bench.times.ttl + 2 * SECOND)
    assert 1 == (await bench.store.sweep()).lost


async def test_a_session_is_registered_once_per_epoch(bench: Bench) -> None:
    """An older stream of the same process is fenced."""
    assert RegisterReply.FENCED is await bench.store.register(WORKER)
    assert RegisterReply.OK is await bench.store.register(replace(WORKER, epoch=2))
    assert RegisterReply.FENCED is await bench.store.register(WORKER)


async def test_two_live_processes_do_not_share_an_id(bench: Bench) -> None:
    """A second process with a live worker's id is refused; once that one's stream has ended it is taken."""
    twin = replace(WORKER, session_id="twin")
    assert RegisterReply.ALREADY_CONNECTED is await bench.store.register(twin)
    await bench.store.disconnect(WORKER, shorten=True)

    assert RegisterReply.OK is await bench.store.register(twin)


async def test_a_worker_id_is_free_when_its_scheduler_died(bench: Bench) -> None:
    """Nobody told the store that the stream ended; the scheduler's own silence does."""
    bench.advance(bench.times.live + SECOND)

    assert RegisterReply.OK is await bench.store.register(replace(WORKER, session_id="twin"))


async def test_a_new_process_ends_what_the_old_one_left(bench: Bench) -> None:
    """A restarted worker holds nothing, so what its record holds was lost with the old process."""
    await bench.start()
    await bench.store.disconnect(WORKER, shorten=False)
    new = replace(WORKER, session_id="s2")
    await bench.store.register(new)

    assert ["LOST"] == await bench.store.reclaim(new, [])
    assert JobState.QUEUED is await bench.state()


async def test_what_a_hello_names_is_not_reclaimed(bench: Bench) -> None:
    """A reconnecting process keeps what it says it holds."""
    lease = await bench.start()

    assert [] == await bench.store.reclaim(WORKER, [lease])
    assert JobState.RUNNING is await bench.state()


async def test_a_cancel_that_was_answered_holds(bench: Bench) -> None:
    """The worker's success comes too late: the job is cancelled, and has no result."""
    lease = await bench.start()
    await bench.store.cancel(lease.name, reason="changed my mind")

    assert Ack.CANCELLED is (await bench.succeed(lease)).ack
    job = await bench.job()
    assert (JobState.CANCELLED, b"", "changed my mind") == (job.state, job.result, job.cancel_reason)


async def test_a_cancelled_job_ends_without_its_worker(bench: Bench) -> None:
    """T14: when the worker says nothing within the grace, the job is cancelled all the same."""
    lease = await bench.start()
    await bench.store.cancel(lease.name, reason="")
    bench.advance(bench.times.cancel_grace + 3 * SECOND)

    assert 1 == (await bench.store.sweep()).cancelled
    assert Ack.STALE is (await bench.succeed(lease)).ack


async def test_renewing_does_not_delay_a_cancel(bench: Bench) -> None:
    """A worker that renews but never stops cannot keep a job from being cancelled."""
    lease = await bench.start()
    await bench.store.cancel(lease.name, reason="")
    for sequence in range(3):
        bench.advance(5 * SECOND)
        await bench.store.renew(lease, sequence=sequence, progress=b"")

    assert 1 == (await bench.store.sweep()).cancelled


async def test_the_changes_tell_the_whole_life(bench: Bench) -> None:
    """Every state change is listed with its revision and why, oldest first."""
    lease = await bench.start()
    await bench.fail(lease, FailureKind.CRASH)
    await bench.succeed(await bench.lease())

    job = await bench.job()
    assert ["SUBMITTED", "STARTED", "ATTEMPT_FAILED", "STARTED", "SUCCEEDED"] == [c.reason for c in job.changes]
    revisions = [change.revision for change in job.changes]
    assert sorted(set(revisions)) == revisions
    assert job.revision == revisions[-1]


async def test_a_job_is_not_begun_before_its_time(bench: Bench) -> None:
    """T2, T3: not_before keeps a job WAITING, and the sweep makes it ready when it is due."""
    job = await bench.submit("first")
    await bench.store.cancel(job.name, reason="")
    later = await bench.submit("later", not_before=job.create + 60_000_000)
    assert (JobState.WAITING, WaitReason.NOT_BEFORE) == (later.state, later.wait_reason)
    assert [] == await bench.dispatch(free=10)
    bench.advance(61 * SECOND)

    assert 1 == (await bench.store.sweep()).promoted
    await bench.lease("later")


async def test_a_grant_under_another_token_is_reclaimed(bench: Bench) -> None:
    """A worker that names the job under an old token has not received the new grant."""
    old = await bench.start()
    await bench.give_back(old)
    await bench.lease()

    assert ["RETURNED"] == await bench.store.reclaim(WORKER, [old])


async def test_nothing_is_granted_to_a_stream_that_ended(bench: Bench) -> None:
    """A dispatch that was on its way when the stream broke leases nothing."""
    await bench.submit()
    await bench.store.disconnect(WORKER, shorten=True)

    with pytest.raises(StreamFenced):
        await bench.dispatch()
