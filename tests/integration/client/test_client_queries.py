"""AsyncClient's listings, retries, deletions and figures against a real gRPC server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from tests.integration.client.conftest import ScriptedScheduler, away, detailed, job, refuse

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import AsyncClient, JobState, QueueStats, Worker, errors

QUEUED = job_pb2.JOB_STATE_QUEUED
FAILED = job_pb2.JOB_STATE_FAILED
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
AT_NOON = Timestamp(seconds=int(NOON.timestamp()))


def page(*job_ids: str, token: str = "") -> Any:
    """One page."""

    async def answer(request: object, context: Any) -> service_pb2.ListJobsResponse:
        jobs = [job(1, QUEUED, job_id=job_id) for job_id in job_ids]
        return service_pb2.ListJobsResponse(jobs=jobs, next_page_token=token)

    return answer


def giving(response: Any) -> Any:
    """The same answer always."""

    async def answer(request: object, context: Any) -> Any:
        return response

    return answer


async def test_a_listing_goes_over_all_pages(scheduler: ScriptedScheduler) -> None:
    """Short and empty pages that are not the last included; the filter goes with each."""
    scheduler.script("ListJobs", page("a", "b", token="t1"), page(token="t2"), page("c"))
    async with AsyncClient(scheduler.address, tenant="films") as client:
        found = [
            each.job_id
            async for each in client.list(
                states=[JobState.QUEUED, JobState.FAILED, JobState.QUEUED], labels={"film": "x"}, page_size=2, full=True
            )
        ]
    assert ["a", "b", "c"] == found
    assert ["", "t1", "t2"] == [request.page_token for request in scheduler.requests]
    filters = [
        (each.tenant, list(each.states), dict(each.labels), each.page_size, each.view) for each in scheduler.requests
    ]
    assert [("films", [QUEUED, FAILED], {"film": "x"}, 2, job_pb2.JOB_VIEW_FULL)] * 3 == filters


@pytest.mark.parametrize(
    ("limit", "found", "calls"), [(0, [], 0), (1, ["a"], 1), (2, ["a", "b"], 1), (9, ["a", "b", "c"], 2)]
)
async def test_a_listing_ends_at_its_limit(
    scheduler: ScriptedScheduler, limit: int, found: list[str], calls: int
) -> None:
    """And asks for no page more than it needs."""
    scheduler.script("ListJobs", page("a", "b", token="t1"), page("c"))
    async with AsyncClient(scheduler.address) as client:
        assert found == [each.job_id async for each in client.list(limit=limit)]
    assert calls == len(scheduler.requests)


async def test_one_page_is_given_with_its_token(scheduler: ScriptedScheduler) -> None:
    """For callers who page by themselves."""
    scheduler.script("ListJobs", page("a", token="t1"))
    async with AsyncClient(scheduler.address) as client:
        got = await client.list_page(page_token="t0")
    assert (["a"], "t1", "t0", job_pb2.JOB_VIEW_BASIC) == (
        [each.job_id for each in got.jobs],
        got.next_page_token,
        scheduler.requests[0].page_token,
        scheduler.requests[0].view,
    )


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"limit": -1}, "limit"),
        ({"states": ["asleep"]}, "states"),
        ({"states": [JobState.UNKNOWN]}, "states"),
        ({"page_size": 2**40}, "page_size"),
    ],
)
async def test_a_listing_that_cannot_be_is_refused_here(
    scheduler: ScriptedScheduler, options: dict[str, Any], field: str
) -> None:
    """What the wire has no room for; all else is the scheduler's to judge."""
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(errors.InvalidRequest) as caught:
            await anext(client.list(**options))
    assert ([field], []) == ([at.field for at in caught.value.violations], scheduler.requests)


async def test_a_wrong_page_token_is_the_callers_error(scheduler: ScriptedScheduler) -> None:
    """With the scheduler's violation."""
    wrong = detailed(
        grpc.StatusCode.INVALID_ARGUMENT, "not ours", reason="INVALID_REQUEST", violations={"page_token": "not ours"}
    )
    scheduler.script("ListJobs", refuse(wrong))
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(errors.InvalidRequest) as caught:
            await client.list_page(page_token="x")
    assert ["page_token"] == [at.field for at in caught.value.violations]


async def test_get_may_leave_out_the_large_parts(scheduler: ScriptedScheduler) -> None:
    """The view is said in every call."""
    scheduler.script(
        "GetJob", giving(service_pb2.GetJobResponse(job=job(1, QUEUED, blocked_reason="no gpu", labels={"a": "b"})))
    )
    async with AsyncClient(scheduler.address) as client:
        got = await client.get("j1")
        await client.get("j1", full=False)
    assert [job_pb2.JOB_VIEW_FULL, job_pb2.JOB_VIEW_BASIC] == [request.view for request in scheduler.requests]
    assert ("no gpu", {"a": "b"}) == (got.blocked_reason, dict(got.labels))


async def test_retry_says_which_generation_it_saw(scheduler: ScriptedScheduler) -> None:
    """The answer is the job as it is now."""
    scheduler.script("RetryJob", giving(service_pb2.RetryJobResponse(job=job(20, QUEUED, generation=2))))
    async with AsyncClient(scheduler.address, tenant="films") as client:
        got = await client.retry("j1", expected_generation=1)
    assert (JobState.QUEUED, 2) == (got.state, got.generation)
    (request,) = scheduler.requests
    assert ("films", "j1", 1) == (request.tenant, request.job_id, request.expected_generation)


async def test_retry_of_any_generation_is_one_of_that_which_is_there(scheduler: ScriptedScheduler) -> None:
    """It is asked for first: a retry whose answer is lost must not be refused as one of a job that runs."""
    scheduler.script("GetJob", giving(service_pb2.GetJobResponse(job=job(9, QUEUED, generation=4))))
    scheduler.script("RetryJob", away(), giving(service_pb2.RetryJobResponse(job=job(20, QUEUED, generation=5))))
    async with AsyncClient(scheduler.address) as client:
        assert 5 == (await client.retry("j1")).generation
    get, *retries = scheduler.requests
    assert (job_pb2.JOB_VIEW_BASIC, [4, 4]) == (get.view, [each.expected_generation for each in retries])


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("JOB_NOT_FINISHED", errors.JobNotFinished),
        ("JOB_SUCCEEDED", errors.JobSucceeded),
        ("GENERATION_MISMATCH", errors.GenerationMismatch),
    ],
)
async def test_a_retry_that_cannot_be_says_why(
    scheduler: ScriptedScheduler, reason: str, expected: type[errors.TelecineError]
) -> None:
    """Each reason is a class; the mismatch tells the generation there is."""
    status = detailed(grpc.StatusCode.FAILED_PRECONDITION, "no", reason=reason, metadata={"generation": "4"})
    scheduler.script("RetryJob", refuse(status))
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(errors.WrongState) as caught:
            await client.retry("j1", expected_generation=2)
    assert expected is type(caught.value)
    assert not isinstance(caught.value, errors.GenerationMismatch) or caught.value.generation == 4


async def test_delete_gives_nothing(scheduler: ScriptedScheduler) -> None:
    """And names the job."""
    scheduler.script("DeleteJob", giving(service_pb2.DeleteJobResponse()))
    async with AsyncClient(scheduler.address, tenant="films") as client:
        await client.delete("j1")
    assert ("films", "j1") == (scheduler.requests[0].tenant, scheduler.requests[0].job_id)


async def test_queue_stats_are_values(scheduler: ScriptedScheduler) -> None:
    """All states are there, and the states of a newer scheduler are not lost."""
    response = service_pb2.GetQueueStatsResponse(
        jobs_by_state={"queued": 5, "running": 2, "asleep": 3},
        oldest_queued_duration=Duration(seconds=90),
        worker_count=4,
        slot_count=8,
        busy_slot_count=2,
        blocked_job_count=1,
    )
    scheduler.script("GetQueueStats", giving(response))
    async with AsyncClient(scheduler.address) as client:
        got = await client.queue_stats("fast")
    counts = dict.fromkeys(JobState, 0) | {JobState.QUEUED: 5, JobState.RUNNING: 2, JobState.UNKNOWN: 3}
    assert got == QueueStats(
        jobs_by_state=counts,
        oldest_queued=timedelta(seconds=90),
        worker_count=4,
        slot_count=8,
        busy_slot_count=2,
        blocked_job_count=1,
    )
    assert "fast" == scheduler.requests[0].queue


async def test_workers_come_over_all_pages(scheduler: ScriptedScheduler) -> None:
    """As values, in the scheduler's order."""
    whole = service_pb2.Worker(
        worker_id="w1", version="1.2", queues=["default"], capabilities=["gpu/nvidia"], slot_count=4, busy_slot_count=1,
        draining=True, connect_time=AT_NOON, last_seen_time=AT_NOON,
    )  # fmt: skip
    scheduler.script(
        "ListWorkers",
        giving(service_pb2.ListWorkersResponse(workers=[whole], next_page_token="t1")),
        giving(service_pb2.ListWorkersResponse(workers=[service_pb2.Worker(worker_id="w2")])),
    )
    async with AsyncClient(scheduler.address) as client:
        first, second = [each async for each in client.workers(page_size=1)]
    assert first == Worker(
        worker_id="w1", version="1.2", queues=("default",), capabilities=("gpu/nvidia",), slot_count=4, busy_slot_count=1,
        draining=True, connect_time=NOON, last_seen_time=NOON,
    )  # fmt: skip
    assert ("w2", None) == (second.worker_id, second.connect_time)
    assert [("", 1), ("t1", 1)] == [(each.page_token, each.page_size) for each in scheduler.requests]
