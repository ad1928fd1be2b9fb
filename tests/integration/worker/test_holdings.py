"""Leases as the worker holds them: grants, verdicts, room, drain, and how attempts end, over a real stream."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from support.scripted_scheduler import SPEC
from support.worker_bench import SUCCEEDED, Bench, MakeBench, lease
from telecine.v1 import job_pb2, media_pb2
from telecine.v1 import lease_service_pb2 as pb
from telecine_worker import grant as grant_module
from telecine_worker.failure import Failure, FailureKind
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Phase, Snapshot
from telecine_worker.outcome import Failed, StopReason

Code = grpc.StatusCode
STALE, CANCEL = pb.RenewResult.VERDICT_STALE, pb.RenewResult.VERDICT_CANCEL
NO_SLOT = pb.Accept.REFUSAL_NO_SLOT
MINUTE = timedelta(minutes=1)


async def test_an_attempt_from_grant_to_acknowledgement(bench: Bench) -> None:
    """Accept, progress, outcome, and credit for the room that is free again."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    accept = await stream.accept()
    attempt = bench.attempts[1]
    attempt.report(Snapshot(phase=Phase.ENCODING, frame_count=5))
    renewal = await stream.renewal()
    attempt.end()
    outcome = await stream.outcome()
    stream.acknowledge(lease())
    assert (lease(), pb.Accept.REFUSAL_UNSPECIFIED) == (accept.lease, accept.refusal)
    assert (lease(), 5, 1) == (renewal.lease, renewal.progress.frame_count, renewal.sequence)
    assert (lease(), "succeeded", 5) == (outcome.lease, outcome.WhichOneof("kind"), await stream.credit())
    await bench.until(lambda: not bench.journal.unconfirmed)


async def test_a_grant_that_comes_again_is_accepted_again(bench: Bench) -> None:
    """Not started twice; and the credit it took is given back."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    first = bench.attempts[1]
    stream.grant(lease())
    assert pb.Accept.REFUSAL_UNSPECIFIED == (await stream.accept()).refusal
    assert (2 + 3, first, 1) == (await stream.credit(), bench.attempts[1], bench.holdings.busy)


async def test_a_grant_whose_attempt_has_ended_gets_its_outcome(bench: Bench) -> None:
    """Accept and outcome were lost on the way: the attempt is not run a second time."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    first = bench.attempts[1]
    first.end()
    await stream.outcome()
    stream.grant(lease())
    outcome = await stream.outcome()
    assert ("succeeded", first, 0) == (outcome.WhichOneof("kind"), bench.attempts[1], bench.holdings.busy)
    assert 1 == stream.count("accepts")


async def test_a_refused_grant_gives_its_credit_back(make_bench: MakeBench) -> None:
    """No room: refused, and the limit grows by what the grant took, or the worker would starve."""
    async with make_bench(slots=1) as bench:
        stream = await bench.scheduler.welcomed()
        stream.grant(lease("one"))
        await stream.accept()
        stream.grant(lease("two", 2))
        assert (NO_SLOT, 2) == ((await stream.accept()).refusal, await stream.credit())
        bench.attempts[1].end()
        await stream.outcome()
        assert 3 == await stream.credit()


async def test_heavy_grants_take_more_room(bench: Bench) -> None:
    """Room is counted in units."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease("heavy"), units=3)
    await stream.accept()
    stream.grant(lease("two", 2), units=2)
    assert (NO_SLOT, 3 + 2 + 1) == ((await stream.accept()).refusal, await stream.credit())


async def test_a_newer_token_takes_over_while_there_is_room(bench: Bench) -> None:
    """The older run is stopped and cleans up; the newer one begins at once, and the older one says nothing more."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease(token=1))
    await stream.accept()
    old = bench.attempts[1]
    old.lingers = True
    stream.grant(lease(token=2))
    accept = await stream.accept()
    assert (lease(token=2), pb.Accept.REFUSAL_UNSPECIFIED) == (accept.lease, accept.refusal)
    assert ([StopReason.LEASE_LOST], 2) == (old.stops, bench.holdings.busy)
    old.report(Snapshot(phase=Phase.ENCODING, frame_count=9))
    bench.attempts[2].report(Snapshot(phase=Phase.ENCODING, frame_count=1))
    assert lease(token=2) == (await stream.renewal()).lease
    old.end(SUCCEEDED)
    assert 2 + 3 == await stream.credit()
    bench.attempts[2].end()
    assert lease(token=2) == (await stream.outcome()).lease
    assert (1, 1) == (stream.count("outcomes"), stream.count("renewals"))


async def test_a_newer_token_waits_where_there_is_no_room(make_bench: MakeBench) -> None:
    """With one slot the older run keeps it until it is gone; then the credit invites the job again."""
    async with make_bench(slots=1) as bench:
        stream = await bench.scheduler.welcomed()
        stream.grant(lease(token=1))
        await stream.accept()
        bench.attempts[1].lingers = True
        stream.grant(lease(token=2))
        assert (NO_SLOT, 2) == ((await stream.accept()).refusal, await stream.credit())
        bench.attempts[1].end(SUCCEEDED)
        assert 3 == await stream.credit()
        stream.grant(lease(token=3))
        assert pb.Accept.REFUSAL_UNSPECIFIED == (await stream.accept()).refusal


async def test_an_older_token_that_comes_late_is_refused(bench: Bench) -> None:
    """A grant that was overtaken does not end the newer run."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease(token=2))
    await stream.accept()
    stream.grant(lease(token=1))
    accept = await stream.accept()
    assert (lease(token=1), NO_SLOT, []) == (accept.lease, accept.refusal, bench.attempts[2].stops)


async def test_stale_is_the_last_word(bench: Bench) -> None:
    """The attempt is stopped at once; it takes room until it is gone, and nothing more is said about it."""
    stream = await bench.scheduler.welcomed(renew_interval=timedelta(milliseconds=20))
    stream.grant(lease())
    await stream.accept()
    bench.attempts[1].lingers = True
    await stream.renewal()
    stream.rule(lease(), STALE)
    await bench.until(lambda: bench.attempts[1].stops)
    stream.grant(lease("other", 2))
    await stream.accept()
    said = stream.count("renewals")
    await bench.until(lambda: stream.count("renewals") >= said + 3)
    bench.attempts[1].end(SUCCEEDED)
    assert 2 + 3 == await stream.credit()
    later = [renewal.lease.job_id for message in stream.messages for renewal in message.renewals][said:]
    assert ({"other"}, 0) == (set(later), stream.count("outcomes"))
    assert [StopReason.LEASE_LOST] == bench.attempts[1].stops


@pytest.mark.parametrize("how", ["order", "verdict"])
async def test_a_cancel_is_carried_out_and_reported(bench: Bench, how: str) -> None:
    """Whether it comes as an order or as the answer to a renewal."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    if how == "order":
        stream.send(cancel_orders=[pb.CancelOrder(lease=lease())])
    else:
        stream.rule(lease(), CANCEL)
    assert "cancelled" == (await stream.outcome()).WhichOneof("kind")
    assert [StopReason.CANCELLED] == bench.attempts[1].stops


async def test_verdicts_on_other_tokens_change_nothing(bench: Bench) -> None:
    """A late STALE or cancel for an older lease of the same job does not touch the newer one."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease(token=2))
    await stream.accept()
    stream.rule(lease(token=1), STALE)
    stream.send(cancel_orders=[pb.CancelOrder(lease=lease(token=1))])
    stream.grant(lease("other", 3))
    await stream.accept()
    assert [] == bench.attempts[2].stops


async def test_a_defect_in_one_attempt_ends_that_one(bench: Bench) -> None:
    """It is reported as INTERNAL_ERROR without its text, and the other attempt goes on."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease("one", 1))
    stream.grant(lease("two", 2))
    await stream.accept()
    await stream.accept()
    bench.attempts[1].end(LookupError("secret"))
    outcome = await stream.outcome()
    assert ("one", job_pb2.Failure.KIND_UNKNOWN, "INTERNAL_ERROR") == (
        outcome.lease.job_id, outcome.failed.kind, outcome.failed.reason
    )  # fmt: skip
    assert ("LookupError" in outcome.failed.message, "secret" in outcome.failed.message) == (True, False)
    assert [] == bench.attempts[2].stops


async def test_an_outcome_that_cannot_be_told_is_a_defect(bench: Bench) -> None:
    """Words that are no UTF-8 cannot be put into a message: the job ends all the same, and so does no other."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    failure = Failure(kind=FailureKind.PERMANENT, reason="R", message="\udcff")
    bench.attempts[1].end(Failed(usage=Usage(), failure=failure))
    outcome = await stream.outcome()
    assert ("INTERNAL_ERROR", 0) == (outcome.failed.reason, bench.holdings.busy)


async def test_progress_that_cannot_be_told_is_left_out(bench: Bench) -> None:
    """The lease is renewed all the same."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    bench.attempts[1].report(Snapshot(phase=Phase.ENCODING, media_position="soon"))  # type: ignore[arg-type]
    renewal = await stream.renewal()
    assert (lease(), False) == (renewal.lease, renewal.HasField("progress"))


async def test_a_spec_that_is_none_ends_its_job(bench: Bench) -> None:
    """Accepted, and failed for good with words: refused, it would be offered again for ever."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease(), spec=b"\xff\xff\xff")
    await stream.accept()
    outcome = await stream.outcome()
    assert (job_pb2.Failure.KIND_PERMANENT, True) == (outcome.failed.kind, "JobSpec" in outcome.failed.message)
    assert 5 == await stream.credit()


async def test_an_attempt_that_cannot_be_made_ends_its_job(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect in making it is a failure of that job."""
    spec = media_pb2.JobSpec.FromString(SPEC)
    spec.limits.hard_run_timeout.seconds = 10**15  # more than a timedelta holds
    stream = await bench.scheduler.welcomed()
    stream.grant(lease(), spec=spec.SerializeToString())
    await stream.accept()
    outcome = await stream.outcome()
    assert (job_pb2.Failure.KIND_UNKNOWN, "INTERNAL_ERROR") == (outcome.failed.kind, outcome.failed.reason)


async def test_an_attempt_that_hangs_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past its hard run limit and the grace the lease is not renewed any more, so that another worker gets the job; the
    room stays taken.
    """
    monkeypatch.setattr(grant_module, "ENDING", timedelta(0))
    spec = media_pb2.JobSpec.FromString(SPEC)
    spec.limits.hard_run_timeout.FromTimedelta(timedelta(milliseconds=150))
    stream = await bench.scheduler.welcomed(renew_interval=timedelta(milliseconds=20))
    grace = Duration(nanos=50_000_000)
    stream.grant(lease(), spec=spec.SerializeToString(), cancel_grace=grace)
    await stream.accept()
    bench.attempts[1].lingers = True
    await stream.renewal()
    await bench.until(lambda: bench.attempts[1].stops)
    stream.grant(lease("other", 2))
    await stream.accept()
    said = stream.count("renewals")
    await bench.until(lambda: stream.count("renewals") >= said + 3)
    later = [renewal.lease.job_id for message in stream.messages for renewal in message.renewals][said:]
    assert ({"other"}, 2) == (set(later), bench.holdings.busy)


async def test_the_speed_of_an_attempt_is_observed(bench: Bench) -> None:
    """The last one that FFmpeg reported, though publishing, the last phase, has none."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    bench.attempts[1].report(Snapshot(phase=Phase.ENCODING, speed=3.0))
    bench.attempts[1].report(Snapshot(phase=Phase.PUBLISHING))
    bench.attempts[1].end()
    await stream.outcome()
    assert (1.0, 3.0) == (bench.metric("telecine_ffmpeg_speed_count"), bench.metric("telecine_ffmpeg_speed_sum"))


async def test_a_draining_worker_waits_then_returns(bench: Bench) -> None:
    """Patience first; what has not ended then is returned; done when everything is acknowledged."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    drain = asyncio.create_task(bench.holdings.drain(timedelta(seconds=0.2), MINUTE, asyncio.Event()))
    assert 1 == await stream.credit()
    assert [] == bench.attempts[1].stops
    outcome = await stream.outcome()
    assert ("returned", False) == (outcome.WhichOneof("kind"), drain.done())
    stream.acknowledge(lease())
    assert await asyncio.wait_for(drain, 10)


async def test_a_drain_ends_when_the_attempts_do(bench: Bench) -> None:
    """Whoever finishes in time is not returned, and nobody waits longer than needed."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    drain = asyncio.create_task(bench.holdings.drain(MINUTE, MINUTE, asyncio.Event()))
    await stream.credit()
    bench.attempts[1].end()
    assert "succeeded" == (await stream.outcome()).WhichOneof("kind")
    stream.acknowledge(lease())
    assert await asyncio.wait_for(drain, 10)


@pytest.mark.parametrize(("exit_code", "kind"), [(255, "returned"), (-15, "returned"), (-11, "failed")])
async def test_ffmpeg_ended_with_the_worker_is_no_failure(bench: Bench, exit_code: int, kind: str) -> None:
    """Who ends the worker's whole group of processes ends FFmpeg, too: the job goes back. A crash is one all the same."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    drain = asyncio.create_task(bench.holdings.drain(MINUTE, MINUTE, asyncio.Event()))
    await stream.credit()
    failure = Failure(kind=FailureKind.CRASH, reason="FFMPEG_CRASHED", message="x", exit_code=exit_code)
    bench.attempts[1].end(Failed(usage=Usage(), failure=failure))
    assert kind == (await stream.outcome()).WhichOneof("kind")
    stream.acknowledge(lease())
    assert await asyncio.wait_for(drain, 10)


async def test_ffmpeg_ended_by_somebody_is_a_failure_of_a_worker_that_goes_on(bench: Bench) -> None:
    """Nobody else ends it then."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    failure = Failure(kind=FailureKind.CRASH, reason="FFMPEG_CRASHED", message="x", exit_code=255)
    bench.attempts[1].end(Failed(usage=Usage(), failure=failure))
    assert "failed" == (await stream.outcome()).WhichOneof("kind")


async def test_a_second_signal_ends_the_patience(bench: Bench) -> None:
    """Hurry: attempts are returned at once."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    hurry = asyncio.Event()
    drain = asyncio.create_task(bench.holdings.drain(MINUTE, MINUTE, hurry))
    await stream.credit()
    hurry.set()
    assert "returned" == (await stream.outcome()).WhichOneof("kind")
    stream.acknowledge(lease())
    assert await asyncio.wait_for(drain, 10)


async def test_a_drain_does_not_wait_for_what_hangs(bench: Bench) -> None:
    """An attempt that does not end, and says so: the caller knows that not all of them have."""
    stream = await bench.scheduler.welcomed()
    stream.grant(lease())
    await stream.accept()
    bench.attempts[1].lingers = True
    assert not await bench.holdings.drain(timedelta(0), timedelta(seconds=0.1), asyncio.Event())
    assert [StopReason.DRAINED] == bench.attempts[1].stops
