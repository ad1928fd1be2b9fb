"""AsyncClient's single calls against a real gRPC server."""

from __future__ import annotations

import asyncio
import socket
import uuid
from datetime import timedelta
from typing import Any

import grpc
import pytest
from tests.integration.client.conftest import SPEC, ScriptedScheduler, away, detailed, job, refuse

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import AsyncClient, JobState, errors

QUEUED = job_pb2.JOB_STATE_QUEUED


def submitted(request: service_pb2.SubmitJobRequest) -> service_pb2.SubmitJobResponse:
    """What a scheduler answers to a new job."""
    message = job(1, QUEUED, job_id=request.job_id)
    message.spec.CopyFrom(request.spec)
    return service_pb2.SubmitJobResponse(job=message)


async def accept(request: service_pb2.SubmitJobRequest, context: Any) -> service_pb2.SubmitJobResponse:
    """Takes every job."""
    return submitted(request)


async def never(request: object, context: Any) -> None:
    """A scheduler that took the call and hangs."""
    await asyncio.Event().wait()


def free_address() -> str:
    """An address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def test_submit_hands_over_the_spec_and_gives_the_job(scheduler: ScriptedScheduler) -> None:
    """The request has the tenant, a UUIDv7 and the spec; the answer is a value with the same."""
    scheduler.script("SubmitJob", accept)
    async with AsyncClient(scheduler.address, tenant="films") as client:
        got = await client.submit(SPEC)
    (request,) = scheduler.requests
    assert (request.tenant, request.spec, uuid.UUID(request.job_id).version) == ("films", SPEC, 7)
    assert (request.job_id, JobState.QUEUED, SPEC) == (got.job_id, got.state, got.spec)


async def test_submit_keeps_its_job_id_over_a_lost_scheduler(scheduler: ScriptedScheduler) -> None:
    """UNAVAILABLE is tried again with the id that was chosen before the first send."""
    scheduler.script("SubmitJob", away(), away(), accept)
    async with AsyncClient(scheduler.address) as client:
        got = await client.submit(SPEC)
    assert [got.job_id] * 3 == [request.job_id for request in scheduler.requests]


async def test_submit_takes_proto_json(scheduler: ScriptedScheduler) -> None:
    """A dictionary in snake_case is the same spec as the message."""
    scheduler.script("SubmitJob", accept)
    spec = {
        "inputs": {"source": {"uri": "file:///media/film.mkv"}},
        "output": {"uri": "file:///media/out"},
        "task": {"transcode": {"input": "source", "path": "film.mp4", "video": {"codec": "h264"}}},
    }
    async with AsyncClient(scheduler.address) as client:
        await client.submit(spec, job_id="mine")
    assert (scheduler.requests[0].job_id, scheduler.requests[0].spec) == ("mine", SPEC)


async def test_a_spec_with_unknown_fields_is_not_sent(scheduler: ScriptedScheduler) -> None:
    """Every unknown field is named, at any depth, and no call is made."""
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(errors.InvalidRequest) as caught:
            await client.submit({"inputs": {"a": {"url": "x"}}, "prio": 1})
    assert [at.field for at in caught.value.violations] == ["spec.inputs[a].url", "spec.prio"]
    assert scheduler.requests == []


async def test_the_scheduler_is_asked_no_sooner_than_it_wants(scheduler: ScriptedScheduler) -> None:
    """RetryInfo that says longer than the backoff is honoured."""
    wait = timedelta(milliseconds=400)
    busy = refuse(detailed(grpc.StatusCode.UNAVAILABLE, "the database is away", reason="STORE_AWAY", retry_after=wait))
    scheduler.script("SubmitJob", busy, accept)
    async with AsyncClient(scheduler.address) as client:
        await client.submit(SPEC)
    first, second = scheduler.times
    assert second - first >= wait.total_seconds()


async def test_a_call_never_outlives_its_timeout(scheduler: ScriptedScheduler) -> None:
    """A scheduler that asks for more patience than there is left gets no second call."""
    wait = timedelta(hours=1)
    busy = refuse(detailed(grpc.StatusCode.UNAVAILABLE, "the database is away", reason="STORE_AWAY", retry_after=wait))
    scheduler.script("GetJob", busy)
    async with AsyncClient(scheduler.address, timeout=timedelta(seconds=5)) as client:
        with pytest.raises(errors.Unavailable) as caught:
            await client.get("j1")
    assert ("STORE_AWAY", wait, 1) == (caught.value.reason, caught.value.retry_after, len(scheduler.requests))


async def test_nobody_at_the_address_is_unavailable() -> None:
    """The error says which address was tried, once the timeout is over."""
    address = free_address()
    async with AsyncClient(address, timeout=timedelta(milliseconds=300)) as client:
        with pytest.raises(errors.Unavailable, match=address):
            await client.get("j1")


async def test_a_scheduler_that_hangs_is_a_timeout(scheduler: ScriptedScheduler) -> None:
    """DeadlineExceeded is raised after the timeout, and is a TimeoutError."""
    scheduler.script("GetJob", never)
    async with AsyncClient(scheduler.address, timeout=timedelta(milliseconds=300)) as client:
        with pytest.raises(TimeoutError, match=r"did not answer within 0\.3 s") as caught:
            await client.get("j1")
    assert errors.DeadlineExceeded is type(caught.value)


async def test_the_last_refusal_is_told_when_the_time_runs_out(scheduler: ScriptedScheduler) -> None:
    """After being turned away, a last attempt that hangs does not hide why."""
    scheduler.script("GetJob", away("the database is away"), never)
    async with AsyncClient(scheduler.address, timeout=timedelta(milliseconds=400)) as client:
        with pytest.raises(errors.Unavailable, match="the database is away"):
            await client.get("j1")
    assert len(scheduler.requests) == 2


async def test_the_next_address_is_tried_when_one_is_away(scheduler: ScriptedScheduler) -> None:
    """A list of addresses works as long as one of them answers."""
    scheduler.script("SubmitJob", accept)
    async with AsyncClient(f"{free_address()}, {scheduler.address}") as client:
        got = await client.submit(SPEC)
    assert [got.job_id] == [request.job_id for request in scheduler.requests]


async def test_the_environment_gives_address_and_tenant(
    scheduler: ScriptedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TELECINE_ADDRESS and TELECINE_TENANT stand in for what is not given."""
    monkeypatch.setenv("TELECINE_ADDRESS", scheduler.address)
    monkeypatch.setenv("TELECINE_TENANT", "films")
    scheduler.script("SubmitJob", accept)
    async with AsyncClient() as client:
        await client.submit(SPEC)
    assert scheduler.requests[0].tenant == "films"


async def test_every_violation_arrives(scheduler: ScriptedScheduler) -> None:
    """BadRequest becomes violations, each with its field and what is wrong."""
    wrong = {"spec.task.transcode.video.crf": "must be at most 51", "spec.priority": "must be at most 100"}
    scheduler.script(
        "SubmitJob",
        refuse(detailed(grpc.StatusCode.INVALID_ARGUMENT, "2 rules are broken", reason="INVALID", violations=wrong)),
    )
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(errors.InvalidRequest, match="2 rules are broken") as caught:
            await client.submit(SPEC)
    assert wrong == {at.field: at.description for at in caught.value.violations}


async def test_a_taken_job_id_says_what_differs(scheduler: ScriptedScheduler) -> None:
    """JobExists has the state of the other job and the fields that differ."""
    facts = {"state": "JOB_STATE_RUNNING", "fields": "task.transcode.video.crf,priority"}
    scheduler.script(
        "SubmitJob",
        refuse(detailed(grpc.StatusCode.ALREADY_EXISTS, "the id is taken", reason="JOB_EXISTS", metadata=facts)),
    )
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(errors.JobExists) as caught:
            await client.submit(SPEC, job_id="mine")
    assert (
        caught.value.state,
        caught.value.differing_fields,
    ) == ("running", ("task.transcode.video.crf", "priority"))


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND", errors.JobNotFound),
        (grpc.StatusCode.FAILED_PRECONDITION, "JOB_FINISHED", errors.JobFinished),
        (grpc.StatusCode.FAILED_PRECONDITION, "PUBLISHING", errors.Publishing),
        (grpc.StatusCode.FAILED_PRECONDITION, "SOMETHING_NEW", errors.WrongState),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", errors.QueueFull),
        (grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED", errors.Unimplemented),
        (grpc.StatusCode.INTERNAL, "INTERNAL", errors.InternalError),
        (grpc.StatusCode.INTERNAL, "", errors.InternalError),
    ],
)
async def test_a_refusal_is_raised_as_its_class(
    scheduler: ScriptedScheduler, code: grpc.StatusCode, reason: str, expected: type[errors.TelecineError]
) -> None:
    """Code and reason choose the class; the call is made once."""
    scheduler.script("CancelJob", refuse(detailed(code, "the words of the scheduler", reason=reason)))
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(errors.TelecineError) as caught:
            await client.cancel("j1", "no longer wanted")
    assert (expected, code, reason, "the words of the scheduler") == (
        type(caught.value),
        caught.value.code,
        caught.value.reason,
        str(caught.value),
    )
    assert [request.reason for request in scheduler.requests] == ["no longer wanted"]


async def test_a_cancelled_caller_is_cancelled_and_not_unavailable(scheduler: ScriptedScheduler) -> None:
    """The caller's own cancellation passes through as asyncio's."""
    reached = asyncio.Event()

    async def hang(request: object, context: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    scheduler.script("GetJob", hang)
    async with AsyncClient(scheduler.address) as client:
        call = asyncio.create_task(client.get("j1"))
        await asyncio.wait_for(reached.wait(), 5)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
