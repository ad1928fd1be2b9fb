"""AsyncClient's submissions of many jobs with one call, against a real gRPC server."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from tests.integration.client.conftest import SPEC, ScriptedScheduler
from tests.integration.client.test_client_submitting import accepted, answering, hanging, refused

from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import AsyncClient, Job, SubmitManyError, errors


async def test_submit_many_gives_the_jobs_in_order(scheduler: ScriptedScheduler) -> None:
    """Specs and (job id, spec) pairs, from any iterable, few at a time."""
    scheduler.script("SubmitJobs", answering())
    jobs = (SPEC if number % 2 else (f"j{number}", SPEC) for number in range(100))
    async with AsyncClient(scheduler.address) as client:
        got = await client.submit_many(jobs, in_flight=7)
    assert [f"j{number}" for number in range(0, 100, 2)] == [each.job_id for each in got[::2]]
    assert max(len(message.requests) for message in scheduler.requests) <= 7


async def test_submit_many_tells_each_result(scheduler: ScriptedScheduler) -> None:
    """What was refused is an error at its place; the rest are jobs; every id is told, for another try."""
    taken = refused(grpc.StatusCode.ALREADY_EXISTS, "the id is taken", reason="JOB_EXISTS")
    scheduler.script("SubmitJobs", answering(accepted, lambda _: taken, accepted))
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(
            SubmitManyError, match="1 of 3 jobs were not accepted; the first: the id is taken"
        ) as caught:
            await client.submit_many([("a", SPEC), ("b", SPEC), ("c", SPEC)])
    first, second, third = caught.value.results
    assert isinstance(second, errors.JobExists)
    assert not isinstance(first, Exception)
    assert not isinstance(third, Exception)
    assert (("a", "b", "c"), "a", "c") == (caught.value.job_ids, first.job_id, third.job_id)
    assert grpc.StatusCode.ALREADY_EXISTS is caught.value.code


async def test_submit_many_tells_what_was_accepted_before_the_iterable_raised(scheduler: ScriptedScheduler) -> None:
    """The caller's own error is the cause."""

    def broken() -> Any:
        yield "a", SPEC
        yield "b", SPEC
        raise KeyError("no more films")

    scheduler.script("SubmitJobs", answering())
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(SubmitManyError, match="raised an error; of those before, 0 of 2 jobs") as caught:
            await client.submit_many(broken())
    assert [("a", Job), ("b", Job)] == [
        (job_id, type(each)) for job_id, each in zip(caught.value.job_ids, caught.value.results, strict=True)
    ]
    assert caught.value.broken_off
    assert isinstance(caught.value.__cause__, KeyError)


async def test_submit_many_loses_no_job_to_a_wrong_one(scheduler: ScriptedScheduler) -> None:
    """A spec or an id that cannot be is an error at its place."""
    scheduler.script("SubmitJobs", answering())
    jobs: list[Any] = [("a", SPEC), ("b", {"nope": 1}), ("c", SPEC), ("", SPEC), ("e", SPEC)]
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(SubmitManyError, match="2 of 5 jobs were not accepted; the first: unknown fields") as caught:
            await client.submit_many(jobs, in_flight=2)
    wrong = errors.InvalidRequest
    assert [Job, wrong, Job, wrong, Job] == [type(each) for each in caught.value.results]
    assert ("a", "b", "c", "", "e") == caught.value.job_ids


async def test_submit_many_that_is_cancelled_leaves_no_task_behind(scheduler: ScriptedScheduler) -> None:
    """Nobody would hear what they have to say."""
    scheduler.script("SubmitJobs", hanging)
    async with AsyncClient(scheduler.address) as client:
        before = asyncio.all_tasks()
        many = asyncio.create_task(client.submit_many([SPEC] * 3))
        await scheduler.reached({"SubmitJobs": 1})
        many.cancel()
        await asyncio.wait([many])
        left = [task for task in asyncio.all_tasks() - before if "submit_all" in repr(task.get_coro())]
    assert [] == left


async def test_submit_many_needs_room_for_one(scheduler: ScriptedScheduler) -> None:
    """With none it would wait for ever."""
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(errors.InvalidRequest, match="in_flight has to be at least 1"):
            await client.submit_many([SPEC], in_flight=0)


async def test_a_batch_is_one_call(scheduler: ScriptedScheduler) -> None:
    """All with their tenant and ids, in order; the answers too."""

    async def batch(request: service_pb2.BatchSubmitJobsRequest, context: Any) -> Any:
        return service_pb2.BatchSubmitJobsResponse(responses=[accepted(each).response for each in request.requests])

    scheduler.script("BatchSubmitJobs", batch)
    async with AsyncClient(scheduler.address, tenant="films") as client:
        jobs = await client.submit_batch([("a", SPEC), ("b", SPEC)])
        await client.submit_batch([("c", SPEC)], validate_only=True)
    assert ["a", "b"] == [each.job_id for each in jobs]
    first, second = scheduler.requests
    assert [("films", "a", False), ("films", "b", False)] == [
        (each.tenant, each.job_id, each.validate_only) for each in first.requests
    ]
    assert [True] == [each.validate_only for each in second.requests]


async def test_an_id_that_is_none_is_not_sent(scheduler: ScriptedScheduler) -> None:
    """With an empty one the scheduler would choose, and what is sent again would be a second job."""
    async with AsyncClient(scheduler.address) as client:
        for submit in (client.submit(SPEC, job_id=""), client.submit_batch([("", SPEC)])):
            with pytest.raises(errors.InvalidRequest, match="is no job id"):
                await submit
    assert [] == scheduler.requests
