"""RetryJob and DeleteJob on a real server."""

from __future__ import annotations

from datetime import timedelta

import pytest

from support.store_bench import Bench, a_job
from support.store_states import STATES
from telecine_scheduler.domain.errors import JobIdSpent, QueueFull, TooManyClasses
from telecine_scheduler.domain.job import FailureKind, JobState
from telecine_scheduler.domain.lease import Ack, Verdict
from telecine_scheduler.domain.reply import DeleteReply, RetryReply
from telecine_scheduler.domain.submission import JobClass, Limits, RetryPolicy
from telecine_scheduler.store.keys import prefix

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize("state", ["F", "X"])
async def test_a_retried_job_begins_anew(bench: Bench, state: str) -> None:
    """T16: nothing of the end is left but the history; it is ready at once and runs."""
    await STATES[state](bench)
    before = await bench.job()

    reply, job = await bench.retry(expected=1)

    assert job is not None
    assert (RetryReply.OK, JobState.QUEUED, 2) == (reply, job.state, job.generation)
    assert (b"", b"", "", None, None) == (job.failure, job.result, job.cancel_reason, job.end, job.expire)
    assert job.revision > before.revision
    assert "RETRIED" == job.changes[-1].reason
    assert (before.attempts, before.create) == (job.attempts, job.create)
    await bench.succeed(await bench.lease())
    after = await bench.job()
    assert (JobState.SUCCEEDED, before.attempt_count + 1) == (after.state, after.attempt_count)
    assert [each.number for each in after.attempts] == list(range(1, after.attempt_count + 1))


async def test_a_retry_sent_twice_begins_one_generation(bench: Bench) -> None:
    """Also when the job has begun or even ended meanwhile; the answer is the job as it is."""
    await STATES["F"](bench)
    await bench.retry(expected=1)
    lease = await bench.lease()
    assert RetryReply.OK is (await bench.retry(expected=1))[0]
    await bench.succeed(lease)

    reply, job = await bench.retry(expected=1)

    assert job is not None
    assert (RetryReply.OK, JobState.SUCCEEDED, 2) == (reply, job.state, job.generation)


@pytest.mark.parametrize(
    ("state", "expected", "reply"),
    [
        ("F", 2, RetryReply.GENERATION_MISMATCH), ("F", 7, RetryReply.GENERATION_MISMATCH),
        ("S", 0, RetryReply.SUCCEEDED), ("S", 1, RetryReply.SUCCEEDED),
        *((state, expected, RetryReply.NOT_FINISHED) for state in "WQLRPC" for expected in (0, 1)),
    ],
)  # fmt: skip
async def test_a_retry_that_cannot_be_says_why(bench: Bench, state: str, expected: int, reply: RetryReply) -> None:
    """With the job as it is, which is not touched."""
    await STATES[state](bench)
    before = await bench.job()

    said, job = await bench.retry(expected=expected)

    assert (reply, before.revision) == (said, job and job.revision)


async def test_there_is_nothing_to_retry_or_delete(bench: Bench) -> None:
    """A job that never was."""
    assert (RetryReply.NOT_FOUND, None) == await bench.retry("none")
    assert DeleteReply.NOT_FOUND is await bench.delete("none")


async def test_an_old_lease_means_nothing_to_a_new_generation(bench: Bench) -> None:
    """I2: a result of an earlier generation does not end a later one."""
    lease = await STATES["F"](bench)
    await bench.retry()

    # What ended the first one was recorded, and says so when it is sent again.
    assert Ack.ALREADY is (await bench.succeed(lease)).ack
    assert JobState.QUEUED is await bench.state()
    newer = await bench.lease()
    assert newer.token > lease.token
    assert (Ack.STALE, Verdict.STALE) == ((await bench.succeed(lease)).ack, (await bench.store.publish(lease)).verdict)


async def test_a_new_generation_has_all_its_attempts(bench: Bench) -> None:
    """Counters are those of a generation."""
    policy = RetryPolicy(max_attempts=2, initial_backoff=timedelta())
    lease = await bench.start(retry=policy)
    for expected in (Ack.RETRYING, Ack.COMMITTED, Ack.RETRYING, Ack.COMMITTED):
        assert expected is (await bench.fail(lease, FailureKind.RETRYABLE)).ack
        if expected is Ack.COMMITTED:
            await bench.retry()
        await bench.store.sweep()
        lease = await bench.lease()
        await bench.store.accept(lease)


# What a record keeps of the last attempt: its number, when it began, and whose lease it was, which the token belongs to.
LAST_LEASE = {"at", "sp", "tk", "wk", "pr"}


async def test_nothing_of_a_generation_is_left_in_the_next(bench: Bench) -> None:
    """Whatever a record can have, after RetryJob it has what a fresh one has, its past attempts, and its generation."""
    counters = ["fa", "cr", "re", "rf", "uk", "ps", "pt", "av", "au"]
    limits = Limits(queue=HOUR, total=HOUR)
    await bench.submit("fresh", limits=limits)
    lease = await bench.start(limits=limits, retry=RetryPolicy(max_attempts=10), priority=100)
    await bench.store.renew(lease, sequence=1, progress=b"progress")
    await bench.store.cancel(lease.name, reason="why")
    await bench.succeed(lease)
    record = f"{prefix()}j:default:job"
    # As though all of it had happened before it was cancelled.
    bench.client.hset(record, mapping=dict.fromkeys(counters, "9"))
    bench.client.hset(f"{prefix()}x:default:job", mapping=dict.fromkeys("frc", "9"))
    assert {"p", "f", "r", "cn", "c"} == {key.decode() for key in bench.client.hkeys(f"{prefix()}x:default:job")}
    await bench.retry()

    fields, fresh = (
        {key.decode() for key in bench.client.hkeys(f"{prefix()}j:default:{each}")} for each in ("job", "fresh")
    )
    assert fresh | {"po", "gn", "gs"} | LAST_LEASE == fields
    assert not bench.client.exists(f"{prefix()}x:default:job")


async def test_a_retry_is_admitted_like_a_submit(bench: Bench) -> None:
    """No room in the queue, or none for its class: it stays as it was."""
    await STATES["F"](bench)
    for number in range(4):
        await bench.submit(f"job{number}")
    with pytest.raises(QueueFull, match="tenant default has 4"):
        await bench.retry()
    bench.admit(max_classes_per_tenant=1)
    job = a_job(job_class=JobClass(queue="b", units=1, requirements=frozenset()))
    with pytest.raises(TooManyClasses):
        await bench.store.retry(job, expected_generation=0)

    assert (JobState.FAILED, 1) == ((await bench.job()).state, (await bench.job()).generation)


async def test_a_retry_brings_back_a_class_that_was_freed(bench: Bench) -> None:
    """The class's text comes with the call, because the record has only its id."""
    await STATES["F"](bench)
    bench.admit(max_classes=1)
    elsewhere = JobClass(queue="elsewhere", units=1, requirements=frozenset())
    other = await bench.submit("other", job_class=elsewhere)
    assert [b"elsewhere|1|"] == bench.client.hvals(f"{prefix()}classes")
    await bench.store.cancel(other.name, reason="")

    await bench.retry()

    assert await bench.lease()


async def test_a_retried_job_is_not_delayed_again(bench: Bench) -> None:
    """not_before counts for the first generation."""
    job = await bench.submit(not_before=2**52)
    await bench.store.cancel(job.name, reason="too late")

    await bench.retry()

    assert await bench.lease()


async def test_limits_of_a_retried_job_begin_again(bench: Bench) -> None:
    """Queue and total limit count from the retry, and the queue limit holds until the first start of the new generation."""
    lease = await bench.start(limits=Limits(queue=10 * SECOND, total=20 * SECOND))
    await bench.fail(lease, FailureKind.PERMANENT)
    bench.advance(HOUR)
    await bench.retry()
    assert 0 == (await bench.store.sweep()).total_timeout
    [grant] = await bench.dispatch()
    assert grant.total_left is not None
    assert 19 * SECOND < grant.total_left <= 20 * SECOND
    await bench.store.accept(grant.lease, refusal="NO_SLOT")
    bench.advance(10 * SECOND)

    assert 1 == (await bench.store.sweep()).queue_timeout


@pytest.mark.parametrize("state", ["S", "F", "X"])
async def test_a_deleted_job_is_gone_and_its_id_taken(bench: Bench, state: str) -> None:
    """For 24 h: a submit says until when, and another deletion is OK; then the id is free."""
    await STATES[state](bench)
    assert DeleteReply.OK is await bench.delete()
    assert None is await bench.find()
    with pytest.raises(JobIdSpent, match=r"free again at \d{4}-\d\d-\d\dT"):
        await bench.submit()
    bench.advance(23 * HOUR)
    await bench.store.sweep()
    assert DeleteReply.OK is await bench.delete()
    bench.advance(HOUR)

    assert DeleteReply.NOT_FOUND is await bench.delete()
    assert JobState.QUEUED is (await bench.submit()).state
    await bench.store.sweep()
    assert 0 == bench.client.exists(f"{prefix()}tomb")


async def test_many_tombstones_take_several_sweeps(bench: Bench) -> None:
    """At most fifty a sweep, which says that there are more."""
    bench.admit()
    jobs = [a_job(f"job{number}") for number in range(60)]
    await bench.store.submit_all(jobs)
    for job in jobs:
        await bench.store.cancel(job.name, reason="")
        await bench.store.delete(job.name)
    bench.advance(25 * HOUR)

    assert [True, False] == [(await bench.store.sweep()).more for _ in range(2)]
    assert 0 == bench.client.exists(f"{prefix()}tomb")


async def test_a_record_that_expires_leaves_its_id_free(bench: Bench) -> None:
    """Only a deletion keeps it taken."""
    await STATES["S"](bench)
    bench.advance(25 * HOUR)
    assert 1 == (await bench.store.sweep()).purged

    assert JobState.QUEUED is (await bench.submit()).state


@pytest.mark.parametrize("state", ["W", "Q", "L", "R", "P", "C"])
async def test_an_unfinished_job_is_not_deleted(bench: Bench, state: str) -> None:
    """Cancel it first."""
    await STATES[state](bench)

    assert DeleteReply.NOT_FINISHED is await bench.delete()
    assert await bench.find()


async def test_a_deletion_leaves_nothing_behind(bench: Bench) -> None:
    """But the tombstone: no key names the job any more."""
    await bench.fail(await bench.start(labels={"a": "1"}), FailureKind.PERMANENT)
    await bench.delete()

    left = {key.removeprefix(prefix().encode()) for key in bench.client.scan_iter()}
    assert {b"meta", b"tomb", b"feed"} <= left
    assert [] == [
        key for key in left if b"job" in key.removeprefix(b"cjobs") or key.startswith((b"ix:", b"il:", b"n:"))
    ]


@pytest.mark.parametrize(("state", "kept"), [("S", 24 * HOUR), ("F", 7 * 24 * HOUR), ("X", 24 * HOUR)])
async def test_records_are_kept_by_how_they_ended(bench: Bench, state: str, kept: timedelta) -> None:
    """24 h succeeded or cancelled, seven days failed, unless the job says otherwise."""
    await STATES[state](bench)
    job = await bench.job()

    assert job.expire is not None
    assert abs(timedelta(microseconds=job.expire - job.revision) - kept) < SECOND


async def test_a_new_generation_avoids_nobody(bench: Bench) -> None:
    """A worker that refused the job before is offered it again."""
    await bench.submit()
    await bench.refuse()
    await bench.store.cancel(a_job().name, reason="")

    await bench.retry()

    assert await bench.lease()
