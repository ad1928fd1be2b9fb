"""AsyncClient's submissions over the SubmitJobs stream, against a real gRPC server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2
from tests.integration.client.conftest import SPEC, ScriptedScheduler, detailed, job, serving, unimplemented

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import AsyncClient, Job, JobState, errors

QUEUED = job_pb2.JOB_STATE_QUEUED
Result = Callable[[service_pb2.SubmitJobRequest], service_pb2.SubmitResult]


def accepted(request: service_pb2.SubmitJobRequest) -> service_pb2.SubmitResult:
    """The job is taken."""
    return service_pb2.SubmitResult(response={"job": job(1, QUEUED, job_id=request.job_id)})


def refused(code: grpc.StatusCode, message: str, **details: Any) -> service_pb2.SubmitResult:
    """One item's error, as the unary call would have failed."""
    trailers = dict(detailed(code, message, **details).trailing_metadata)
    return service_pb2.SubmitResult(error=status_pb2.Status.FromString(trailers["grpc-status-details-bin"]))


def answering(*results: Result, then: grpc.Status | None = None, messages: int | None = None) -> Any:
    """A stream that answers each message; each submission gets the next result, the last one stands for the rest."""
    left = list(results or [accepted])

    async def answer(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        count = 0
        async for message in requests:
            if messages is not None and count == messages:
                break
            count += 1
            yield service_pb2.SubmitJobsResponse(
                sequence=message.sequence,
                results=[(left.pop(0) if len(left) > 1 else left[0])(each) for each in message.requests],
            )
        if then is not None:
            await context.abort_with_status(then)

    return answer


async def hanging(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
    """A stream that takes everything and answers nothing."""
    async for _ in requests:
        pass
    yield


async def unary(request: service_pb2.SubmitJobRequest, context: Any) -> service_pb2.SubmitJobResponse:
    """The single call."""
    return accepted(request).response


AWAY = detailed(grpc.StatusCode.UNAVAILABLE, "the scheduler stops", reason="DRAINING")


async def test_what_is_submitted_together_goes_out_together(scheduler: ScriptedScheduler) -> None:
    """A hundred tasks of one turn of the loop are one message on one stream, and each has its own job back."""
    scheduler.script("SubmitJobs", answering())
    async with AsyncClient(scheduler.address, tenant="films") as client:
        jobs = await asyncio.gather(*(client.submit(SPEC, job_id=f"j{number}") for number in range(100)))
    assert [f"j{number}" for number in range(100)] == [each.job_id for each in jobs]
    assert (1, [100]) == (scheduler.opened["SubmitJobs"], [len(message.requests) for message in scheduler.requests])
    assert ("films", SPEC) == (scheduler.requests[0].requests[7].tenant, scheduler.requests[0].requests[7].spec)


async def test_one_submission_does_not_wait_for_others(scheduler: ScriptedScheduler) -> None:
    """One after the other they go out one by one, over the same stream."""
    scheduler.script("SubmitJobs", answering())
    async with AsyncClient(scheduler.address) as client:
        jobs = [await client.submit(SPEC, job_id=f"j{number}") for number in range(3)]
    assert [JobState.QUEUED] * 3 == [each.state for each in jobs]
    assert (1, [1, 2, 3]) == (scheduler.opened["SubmitJobs"], [message.sequence for message in scheduler.requests])


async def test_a_message_has_at_most_500_jobs(scheduler: ScriptedScheduler) -> None:
    """The contract's bound holds whatever is submitted at once."""
    scheduler.script("SubmitJobs", answering())
    async with AsyncClient(scheduler.address) as client:
        await asyncio.gather(*(client.submit(SPEC) for _ in range(1201)))
    sizes = [len(message.requests) for message in scheduler.requests]
    assert (1201, 500) == (sum(sizes), max(sizes))


async def test_a_message_stays_below_its_size(scheduler: ScriptedScheduler) -> None:
    """Fifty specs of 60 KiB are two messages of at most 2 MiB."""
    scheduler.script("SubmitJobs", answering())
    large = {"labels": {f"l{number}": "x" * 3800 for number in range(16)}, "task": {"probe": {"input": "a"}}}
    async with AsyncClient(scheduler.address) as client:
        await asyncio.gather(*(client.submit(large) for _ in range(50)))
    assert 2 == len(scheduler.requests)
    assert max(message.ByteSize() for message in scheduler.requests) <= 2 * 1024 * 1024


async def test_each_item_is_accepted_or_refused_on_its_own(scheduler: ScriptedScheduler) -> None:
    """A refusal among others has the class and details of the unary call, and harms none."""
    wrong = refused(grpc.StatusCode.INVALID_ARGUMENT, "bad", reason="INVALID_REQUEST", violations={"spec.task": "none"})
    scheduler.script("SubmitJobs", answering(accepted, lambda _: wrong, accepted))
    async with AsyncClient(scheduler.address) as client:
        first, second, third = await asyncio.gather(*(client.submit(SPEC) for _ in range(3)), return_exceptions=True)
    assert isinstance(second, errors.InvalidRequest)
    assert ("INVALID_REQUEST", ["spec.task"]) == (second.reason, [at.field for at in second.violations])
    assert [Job, Job] == [type(first), type(third)]


async def test_a_broken_stream_sends_again_what_was_not_answered(scheduler: ScriptedScheduler) -> None:
    """With the same job ids, over a new stream; what was answered is not sent again."""
    scheduler.script("SubmitJobs", answering(messages=1, then=AWAY), answering())
    async with AsyncClient(scheduler.address) as client:
        first = await client.submit(SPEC, job_id="first")
        others = await asyncio.gather(*(client.submit(SPEC, job_id=f"j{number}") for number in range(3)))
    sent = [each.job_id for message in scheduler.requests for each in message.requests]
    assert ("first", ["j0", "j1", "j2"]) == (first.job_id, [each.job_id for each in others])
    assert (1, 2) == (sent.count("first"), scheduler.opened["SubmitJobs"])
    assert {"j0", "j1", "j2"} <= set(sent)


async def test_a_stream_that_ends_with_ok_is_a_break(scheduler: ScriptedScheduler) -> None:
    """The unanswered ones are sent again."""
    scheduler.script("SubmitJobs", answering(messages=0), answering())
    async with AsyncClient(scheduler.address) as client:
        assert "j1" == (await client.submit(SPEC, job_id="j1")).job_id


async def test_an_item_that_is_turned_away_waits_as_long_as_it_is_told(scheduler: ScriptedScheduler) -> None:
    """RetryInfo of one item is honoured, and the item goes out again over the same stream."""
    wait = timedelta(milliseconds=300)
    busy = refused(grpc.StatusCode.UNAVAILABLE, "the database is away", reason="STORE_UNAVAILABLE", retry_after=wait)
    scheduler.script("SubmitJobs", answering(lambda _: busy, accepted))
    now = asyncio.get_running_loop().time
    async with AsyncClient(scheduler.address) as client:
        begin = now()
        await client.submit(SPEC, job_id="j1")
    assert now() - begin >= wait.total_seconds()
    assert ["j1", "j1"] == [message.requests[0].job_id for message in scheduler.requests]
    assert 1 == scheduler.opened["SubmitJobs"]


async def test_a_scheduler_without_the_stream_is_asked_by_single_calls(scheduler: ScriptedScheduler) -> None:
    """UNIMPLEMENTED is found out once for all submissions that follow."""
    scheduler.script("SubmitJob", unary)
    scheduler.script("SubmitJobs", unimplemented(messages=1))
    async with AsyncClient(scheduler.address) as client:
        await asyncio.gather(*(client.submit(SPEC) for _ in range(5)))
        await client.submit(SPEC)
    assert (1, 6) == (scheduler.opened["SubmitJobs"], scheduler.opened["SubmitJob"])


async def test_a_stream_that_is_refused_is_made_up_for_by_single_calls(scheduler: ScriptedScheduler) -> None:
    """A refusal of the whole stream says nothing of the single job: its own call does."""
    no = detailed(grpc.StatusCode.INVALID_ARGUMENT, "the message is too large", reason="INVALID_REQUEST")
    scheduler.script("SubmitJobs", answering(messages=0, then=no))
    scheduler.script("SubmitJob", unary)
    async with AsyncClient(scheduler.address) as client:
        jobs = await asyncio.gather(*(client.submit(SPEC, job_id=f"j{number}") for number in range(3)))
    assert ["j0", "j1", "j2"] == [each.job_id for each in jobs]


async def test_answers_to_another_message_are_no_answers(scheduler: ScriptedScheduler) -> None:
    """A scheduler that miscounts is not believed: the single calls are."""

    async def miscounting(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for message in requests:
            results = [accepted(each) for each in message.requests]
            yield service_pb2.SubmitJobsResponse(sequence=message.sequence, results=results[1:])

    scheduler.script("SubmitJobs", miscounting)
    scheduler.script("SubmitJob", unary)
    async with AsyncClient(scheduler.address) as client:
        jobs = await asyncio.gather(*(client.submit(SPEC, job_id=f"j{number}") for number in range(3)))
    assert ["j0", "j1", "j2"] == [each.job_id for each in jobs]


async def test_a_spec_beyond_all_bounds_is_not_sent(scheduler: ScriptedScheduler) -> None:
    """Its refusal would end a stream that others share."""
    scheduler.script("SubmitJobs", answering())
    huge = {"labels": {"l": "x" * 9_000_000}}
    async with AsyncClient(scheduler.address) as client:
        refusal, small = await asyncio.gather(client.submit(huge), client.submit(SPEC), return_exceptions=True)
    assert isinstance(refusal, errors.InvalidRequest)
    assert (["spec"], Job, 1) == ([at.field for at in refusal.violations], type(small), len(scheduler.requests))


async def test_a_result_that_says_nothing_is_an_error_of_its_own(scheduler: ScriptedScheduler) -> None:
    """Neither an answer nor an error: the others on the stream have theirs."""
    scheduler.script("SubmitJobs", answering(lambda _: service_pb2.SubmitResult(), accepted))
    async with AsyncClient(scheduler.address) as client:
        nothing, job = await asyncio.gather(client.submit(SPEC), client.submit(SPEC), return_exceptions=True)
    assert [errors.InternalError, Job] == [type(nothing), type(job)]


async def test_each_caller_of_a_broken_stream_has_an_error_of_its_own(scheduler: ScriptedScheduler) -> None:
    """Raised by several tasks, one exception would collect all their tracebacks."""
    later = detailed(grpc.StatusCode.UNAVAILABLE, "away", reason="DRAINING", retry_after=timedelta(hours=1))
    scheduler.script("SubmitJobs", answering(messages=0, then=later))
    async with AsyncClient(scheduler.address) as client:
        first, second = await asyncio.gather(*(client.submit(SPEC) for _ in range(2)), return_exceptions=True)
    assert [errors.Unavailable, errors.Unavailable] == [type(first), type(second)]
    assert first is not second


async def test_without_coalescing_each_job_is_a_call(scheduler: ScriptedScheduler) -> None:
    """No stream is opened at all."""
    scheduler.script("SubmitJob", unary)
    async with AsyncClient(scheduler.address, coalesce=False) as client:
        await asyncio.gather(*(client.submit(SPEC) for _ in range(3)))
    assert (0, 3) == (scheduler.opened["SubmitJobs"], len(scheduler.requests))


async def test_validate_only_is_a_call_of_its_own(scheduler: ScriptedScheduler) -> None:
    """It changes nothing, and so goes no way that is for speed."""
    scheduler.script("SubmitJob", unary)
    async with AsyncClient(scheduler.address) as client:
        await client.submit(SPEC, validate_only=True)
    assert [True] == [request.validate_only for request in scheduler.requests]


async def test_a_hanging_stream_is_a_timeout_and_the_next_submission_opens_another(
    scheduler: ScriptedScheduler,
) -> None:
    """No submission outlives its timeout, and a stream that hangs is not used again."""
    scheduler.script("SubmitJobs", hanging, answering())
    async with AsyncClient(scheduler.address, timeout=timedelta(milliseconds=300)) as client:
        with pytest.raises(errors.DeadlineExceeded, match=r"did not answer within 0\.3 s"):
            await client.submit(SPEC)
        assert "j2" == (await client.submit(SPEC, job_id="j2")).job_id
    assert 2 == scheduler.opened["SubmitJobs"]


async def test_a_hanging_stream_is_left_at_once_and_ended_with_its_last_caller(scheduler: ScriptedScheduler) -> None:
    """While one submission still hopes for an answer, the next goes over another stream; then the first one is ended."""
    left = asyncio.Event()

    async def hanging_until_left(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        context.add_done_callback(lambda _: left.set())
        async for each in hanging(requests, context):
            yield each

    scheduler.script("SubmitJobs", hanging_until_left, answering())
    request = service_pb2.SubmitJobRequest(job_id="j1", spec=SPEC)
    async with AsyncClient(scheduler.address) as client, asyncio.timeout(10):
        assert client._submissions is not None
        attempt = partial(client._submissions.attempt, scheduler.address, request)
        patient = asyncio.create_task(attempt(60))
        with pytest.raises(errors.DeadlineExceeded):
            await attempt(0.2)
        assert "j1" == (await attempt(60)).job.job_id
        assert not left.is_set()
        patient.cancel()
        await left.wait()


async def test_a_cancelled_submission_harms_no_other(scheduler: ScriptedScheduler) -> None:
    """Two wait on one stream; one is cancelled; the other has its job."""
    both, go = asyncio.Event(), asyncio.Event()

    async def slow(requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for message in requests:
            both.set()
            await go.wait()
            results = [accepted(each) for each in message.requests]
            yield service_pb2.SubmitJobsResponse(sequence=message.sequence, results=results)

    scheduler.script("SubmitJobs", slow)
    async with AsyncClient(scheduler.address) as client:
        first, second = (asyncio.create_task(client.submit(SPEC, job_id=name)) for name in ("a", "b"))
        await asyncio.wait_for(both.wait(), 10)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        go.set()
        assert "b" == (await asyncio.wait_for(second, 10)).job_id


async def test_a_submission_goes_on_at_the_next_scheduler(scheduler: ScriptedScheduler) -> None:
    """A drained scheduler's stream is left for a stream at the other one."""
    other = ScriptedScheduler()
    scheduler.script("SubmitJobs", answering(messages=0, then=AWAY))
    other.script("SubmitJobs", answering())
    async with serving(other), AsyncClient(f"{scheduler.address},{other.address}") as client:
        assert "j1" == (await client.submit(SPEC, job_id="j1")).job_id
    assert (1, 1) == (scheduler.opened["SubmitJobs"], other.opened["SubmitJobs"])
