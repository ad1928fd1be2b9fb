"""Waits whose time is over before anything was heard: the job is looked at once, and never said to go on when it had ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import grpc
import pytest
from tests.integration.client.conftest import ScriptedScheduler, detailed, job, refuse

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import AsyncClient, Client, JobState, errors

NO_TIME = timedelta(0)
QUEUED, SUCCEEDED = job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_SUCCEEDED


async def states(request: service_pb2.GetJobRequest, context: Any) -> service_pb2.GetJobResponse:
    """GetJob's answer: "done" has ended, all others have not."""
    state = SUCCEEDED if "done" == request.job_id else QUEUED
    return service_pb2.GetJobResponse(job=job(9, state, job_id=request.job_id))


async def test_a_wait_looks_once(scheduler: ScriptedScheduler) -> None:
    """Of both clients; a job that goes on is still said to."""
    scheduler.script("GetJob", states)
    async with AsyncClient(scheduler.address) as client:
        assert JobState.SUCCEEDED is (await client.wait("done", NO_TIME)).state
        with pytest.raises(errors.DeadlineExceeded, match="it goes on"):
            await client.wait("other", NO_TIME)

    def blocking() -> JobState:
        with Client(scheduler.address) as client:
            return client.wait("done", NO_TIME).state

    assert JobState.SUCCEEDED is await asyncio.to_thread(blocking)


async def test_a_look_that_fails_is_no_other_error(scheduler: ScriptedScheduler) -> None:
    """The time is over, whatever the scheduler says then."""
    scheduler.script("GetJob", refuse(detailed(grpc.StatusCode.INTERNAL, "defect 4711", reason="INTERNAL")))
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(errors.DeadlineExceeded, match="it goes on"):
            await client.wait("done", NO_TIME)


async def test_a_wait_for_many_looks_at_those_it_heard_nothing_of(scheduler: ScriptedScheduler) -> None:
    """And at no others: thousands that go on are not asked about one by one."""

    async def telling(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        yield service_pb2.WatchJobsResponse(jobs=[job(2, QUEUED, job_id="heard")])
        await asyncio.Event().wait()

    scheduler.script("GetJob", states)
    scheduler.script("WatchJobs", telling)
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(errors.WaitManyError) as late:
            await client.wait_many(["done", "heard"], timedelta(seconds=1))
    assert (["done"], ["heard"]) == (list(late.value.jobs), list(late.value.errors))
    assert 1 == scheduler.opened["GetJob"]
