"""RetryJob and DeleteJob on a real server: what they do, refuse, and do not do twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import grpc
import pytest

from support.redis_server import RedisServer
from support.rpc_errors import refusal
from support.running_scheduler import Running, ScriptedWorker, a_spec, running_scheduler
from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.domain.admission import Admission

Code = grpc.StatusCode
BAD = job_pb2.Failure(kind=job_pb2.Failure.KIND_PERMANENT, reason="INPUT_INVALID", message="no film")


async def retry(scheduler: Running, job_id: str = "job", expected: int = 0) -> job_pb2.Job:
    return (await scheduler.jobs.RetryJob(pb.RetryJobRequest(job_id=job_id, expected_generation=expected))).job


async def delete(scheduler: Running, job_id: str = "job") -> None:
    await scheduler.jobs.DeleteJob(pb.DeleteJobRequest(job_id=job_id))


async def cancel(scheduler: Running, job_id: str = "job") -> None:
    await scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id=job_id))


async def run(scheduler: Running, *, epoch: int = 1, **outcome: Any) -> job_pb2.Job:
    """One attempt of the only job; the job after it."""
    async with ScriptedWorker(scheduler.address, stream_epoch=epoch) as worker:
        await worker.welcome()
        grant = await worker.grant()
        await worker.accept(grant.lease)
        await worker.finish(grant.lease, **outcome)
    return await scheduler.get()


async def test_a_failed_job_runs_again_as_a_new_generation(scheduler: Running) -> None:
    """Its failure goes, its attempts stay and count on, and the new generation may succeed."""
    await scheduler.submit(labels={"show": "news"})
    failed = await run(scheduler, failed=BAD)
    again = await retry(scheduler)
    done = await run(scheduler, epoch=2, succeeded=job_pb2.JobResult())

    assert (job_pb2.JOB_STATE_FAILED, 1, True) == (failed.state, failed.generation, failed.HasField("expire_time"))
    assert (job_pb2.JOB_STATE_QUEUED, 2, False, False) == (
        again.state, again.generation, again.HasField("failure"), again.HasField("end_time"),
    )  # fmt: skip
    assert (job_pb2.JOB_STATE_SUCCEEDED, 2, [1, 2], {"show": "news"}) == (
        done.state, done.attempt_count, [attempt.number for attempt in done.attempts], dict(done.labels),
    )  # fmt: skip
    assert ["SUBMITTED", "STARTED", "FAILED", "RETRIED", "STARTED", "SUCCEEDED"] == [
        change.reason for change in done.recent_changes
    ]


async def test_a_cancelled_job_can_be_retried(scheduler: Running) -> None:
    """As if it had not been cancelled."""
    await scheduler.submit()
    await cancel(scheduler)
    again = await retry(scheduler)

    assert (job_pb2.JOB_STATE_QUEUED, 2, "") == (again.state, again.generation, again.cancel_reason)
    assert job_pb2.JOB_STATE_SUCCEEDED == (await run(scheduler, succeeded=job_pb2.JobResult())).state


async def test_a_retry_may_be_repeated(scheduler: Running) -> None:
    """With the generation the caller saw: the second time it is done already, and nothing changes."""
    await scheduler.submit()
    await cancel(scheduler)
    first, second = await retry(scheduler, expected=1), await retry(scheduler, expected=1)

    assert (2, first.revision) == (second.generation, second.revision)


async def test_what_cannot_be_retried_says_why(scheduler: Running) -> None:
    """Not final, succeeded, at another generation, unknown: each with its reason."""
    await scheduler.submit()
    waiting = await refusal(retry(scheduler))
    await cancel(scheduler)
    ahead = await refusal(retry(scheduler, expected=5))
    negative = await refusal(retry(scheduler, expected=-1))
    await retry(scheduler, expected=1)
    await cancel(scheduler)
    await retry(scheduler, expected=2)
    behind = await refusal(retry(scheduler, expected=1))
    await run(scheduler, succeeded=job_pb2.JobResult())
    succeeded = await refusal(retry(scheduler))
    unknown = await refusal(retry(scheduler, "none"))

    failed = Code.FAILED_PRECONDITION
    assert (failed, "JOB_NOT_FINISHED", {"state": "QUEUED"}) == (waiting.code, waiting.reason, waiting.metadata)
    assert (failed, "GENERATION_MISMATCH", {"generation": "1"}) == (ahead.code, ahead.reason, ahead.metadata)
    assert (failed, {"generation": "3"}) == (behind.code, behind.metadata)
    assert (failed, "JOB_SUCCEEDED") == (succeeded.code, succeeded.reason)
    assert (Code.NOT_FOUND, "JOB_NOT_FOUND") == (unknown.code, unknown.reason)
    assert (Code.INVALID_ARGUMENT, ["expected_generation"]) == (negative.code, negative.fields)


async def test_a_retry_counts_against_the_limits(redis_server: RedisServer, client: object) -> None:
    """A full queue takes no retry either; the job stays as it was."""
    admission = Admission(max_queued=1)
    async with asyncio.timeout(30), running_scheduler(redis_server.url, admission=admission) as scheduler:
        await scheduler.submit()
        await cancel(scheduler)
        await scheduler.submit("other")
        refused = await refusal(retry(scheduler))
        state = (await scheduler.get()).state

    assert (Code.RESOURCE_EXHAUSTED, "QUEUE_FULL") == (refused.code, refused.reason)
    assert job_pb2.JOB_STATE_CANCELLED == state


async def test_a_retried_job_with_a_start_time_does_not_wait_for_it_again(scheduler: Running) -> None:
    """Queued at once, though not_before_time is ahead."""
    spec = a_spec()
    spec.not_before_time.GetCurrentTime()
    spec.not_before_time.FromSeconds(spec.not_before_time.seconds + 3600)
    await scheduler.jobs.SubmitJob(pb.SubmitJobRequest(job_id="job", spec=spec))
    waiting = await scheduler.get()
    await cancel(scheduler)

    assert (job_pb2.JOB_STATE_WAITING, spec.not_before_time) == (waiting.state, waiting.due_time)
    assert job_pb2.JOB_STATE_QUEUED == (await retry(scheduler)).state


async def test_a_deleted_job_is_gone_and_its_id_is_not_free(scheduler: Running) -> None:
    """It is neither found, listed nor counted; deleting it again is OK; submitting its id is refused, saying until when."""
    await scheduler.submit()
    await cancel(scheduler)
    for _ in range(2):
        await delete(scheduler)

    assert Code.NOT_FOUND is (await refusal(scheduler.get())).code
    assert [] == list((await scheduler.jobs.ListJobs(pb.ListJobsRequest())).jobs)
    stats = await scheduler.jobs.GetQueueStats(pb.GetQueueStatsRequest())
    assert {0} == set(stats.jobs_by_state.values())
    taken = await refusal(scheduler.submit())
    assert (Code.ALREADY_EXISTS, "JOB_DELETED", True) == (taken.code, taken.reason, "free again at" in taken.message)
    batch = pb.BatchSubmitJobsRequest(
        requests=[pb.SubmitJobRequest(job_id=each, spec=a_spec()) for each in ("new", "job")]
    )
    refused = await refusal(scheduler.jobs.BatchSubmitJobs(batch))
    assert ("JOB_DELETED", "1") == (refused.reason, refused.metadata["requests"])
    assert "JOB_NOT_FOUND" == (await refusal(retry(scheduler))).reason


async def test_only_finished_jobs_are_deleted(scheduler: Running) -> None:
    """One that is not says to cancel it first; one that never was is not found."""
    await scheduler.submit()
    refused = await refusal(delete(scheduler))
    unknown = await refusal(delete(scheduler, "none"))

    assert (Code.FAILED_PRECONDITION, "JOB_NOT_FINISHED", {"state": "QUEUED"}, True) == (
        refused.code, refused.reason, refused.metadata, "cancel it first" in refused.message,
    )  # fmt: skip
    assert (Code.NOT_FOUND, "JOB_NOT_FOUND") == (unknown.code, unknown.reason)
    assert job_pb2.JOB_STATE_QUEUED == (await scheduler.get()).state


async def test_a_failed_attempt_waits_and_says_what_for(scheduler: Running) -> None:
    """WAITING for the backoff with a due time and the failure; the attempts tell how each ended."""
    await scheduler.submit()
    flaky = job_pb2.Failure(kind=job_pb2.Failure.KIND_RETRYABLE, reason="INPUT_UNAVAILABLE", message="503")
    job = await run(scheduler, failed=flaky)

    assert (job_pb2.JOB_STATE_WAITING, job_pb2.WAIT_REASON_BACKOFF, "INPUT_UNAVAILABLE") == (
        job.state, job.wait_reason, job.failure.reason,
    )  # fmt: skip
    delay = job.due_time.ToDatetime() - job.attempts[0].end_time.ToDatetime()
    assert timedelta(seconds=4) < delay <= timedelta(seconds=10)
    assert [("INPUT_UNAVAILABLE", job_pb2.Attempt.OUTCOME_FAILED)] == [
        (attempt.failure.reason, attempt.outcome) for attempt in job.attempts
    ]


async def test_what_is_repeated_is_counted_once(scheduler: Running) -> None:
    """A retry and a deletion count when they do something."""
    await scheduler.submit()
    await cancel(scheduler)
    for _ in range(2):
        await retry(scheduler, expected=1)
    await cancel(scheduler)
    for _ in range(2):
        await delete(scheduler)
    await refusal(delete(scheduler, "none"))

    assert {"jobs_retried_total": 1.0, "jobs_deleted_total": 1.0} == await scheduler.samples(
        "jobs_retried", "jobs_deleted"
    )


@pytest.mark.parametrize("job_id", ["", "bad id"])
async def test_impossible_ids_are_refused(scheduler: Running, job_id: str) -> None:
    """By both calls."""
    for call in (retry, delete):
        refused = await refusal(call(scheduler, job_id))
        assert (Code.INVALID_ARGUMENT, ["job_id"]) == (refused.code, refused.fields)
