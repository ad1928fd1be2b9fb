"""Both clients with several schedulers, of which one is away or hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
import pytest
from tests.integration.client.conftest import SPEC, ScriptedScheduler, away, detailed, job, refuse, serving, stream
from tests.integration.client.test_client_submitting import answering, hanging

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import AsyncClient, Client, errors

QUEUED, SUCCEEDED = job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_SUCCEEDED
TIMEOUT = timedelta(seconds=2)


async def never(request: object, context: Any) -> None:
    """A scheduler that took the call and hangs."""
    await asyncio.Event().wait()


async def got(request: service_pb2.GetJobRequest, context: Any) -> service_pb2.GetJobResponse:
    """One that answers."""
    return service_pb2.GetJobResponse(job=job(1, QUEUED, job_id=request.job_id))


@pytest.fixture
async def other() -> AsyncIterator[ScriptedScheduler]:
    """A second scheduler, which is well."""
    script = ScriptedScheduler()
    script.script("GetJob", got)
    script.script("SubmitJobs", answering())
    script.script("WatchJob", stream(job(9, SUCCEEDED)))
    async with serving(script):
        yield script


async def test_a_scheduler_that_hangs_is_left(scheduler: ScriptedScheduler, other: ScriptedScheduler) -> None:
    """Within the call that found it out, and by those that follow; over streams too."""
    scheduler.script("GetJob", never)
    scheduler.script("SubmitJobs", hanging)
    addresses = f"{scheduler.address},{other.address}"
    async with AsyncClient(addresses, timeout=TIMEOUT) as client, AsyncClient(addresses, timeout=TIMEOUT) as second:
        both = await asyncio.gather(client.get("j1"), second.submit(SPEC, job_id="j1"))
        await client.get("j2")
    assert ["j1", "j1"] == [each.job_id for each in both]
    assert (1, 1, 2) == (scheduler.opened["GetJob"], scheduler.opened["SubmitJobs"], other.opened["GetJob"])


async def test_a_blocking_client_leaves_a_scheduler_that_hangs(
    scheduler: ScriptedScheduler, other: ScriptedScheduler
) -> None:
    """The same rule."""
    scheduler.script("GetJob", never)
    with Client(f"{scheduler.address},{other.address}", timeout=TIMEOUT) as client:
        for name in ("j1", "j2"):
            assert name == (await asyncio.to_thread(client.get, name)).job_id
    assert (1, 2) == (scheduler.opened["GetJob"], other.opened["GetJob"])


async def test_a_blocking_client_goes_on_at_the_next_scheduler(
    scheduler: ScriptedScheduler, other: ScriptedScheduler
) -> None:
    """With a call and with a watch, each from the first address."""
    scheduler.script("GetJob", away())
    scheduler.script("WatchJob", stream(job(5, QUEUED), then=detailed(grpc.StatusCode.UNAVAILABLE, "stops")))
    addresses = f"{scheduler.address},{other.address}"

    def watched(client: Client) -> list[int]:
        return [each.revision for each in client.watch("j1")]

    with Client(addresses) as client, Client(addresses) as second:
        assert "j1" == (await asyncio.to_thread(client.get, "j1")).job_id
        assert [5, 9] == await asyncio.to_thread(partial(watched, second))
    assert (1, 1, 5) == (scheduler.opened["GetJob"], other.opened["GetJob"], other.requests[-1].after_revision)


async def test_only_the_addresses_that_were_tried_are_named(
    scheduler: ScriptedScheduler, other: ScriptedScheduler
) -> None:
    """Whoever reads it looks there."""
    patience = detailed(grpc.StatusCode.UNAVAILABLE, "later", retry_after=timedelta(hours=1))
    scheduler.script("GetJob", refuse(patience))
    async with AsyncClient(f"{scheduler.address},{other.address}") as client:
        with pytest.raises(errors.Unavailable, match=f"the scheduler at {scheduler.address} cannot be reached: later"):
            await client.get("j1")


async def test_an_error_with_much_to_say_arrives(scheduler: ScriptedScheduler) -> None:
    """Its violations are in the trailers, of which gRPC takes 8 KiB where it is told nothing else."""
    wrong = {f"spec.labels[{number}]": "x" * 200 for number in range(150)}
    status = detailed(grpc.StatusCode.INVALID_ARGUMENT, "150 rules", reason="INVALID_REQUEST", violations=wrong)
    scheduler.script("GetJob", refuse(status))
    async with AsyncClient(scheduler.address) as client:
        with pytest.raises(errors.InvalidRequest) as caught:
            await client.get("j1")
    assert 150 == len(caught.value.violations)


async def test_the_environments_proxy_is_not_asked_for_this_machine(
    scheduler: ScriptedScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not reach it, or would see what is none of its business."""
    scheduler.script("GetJob", got)
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("grpc_proxy", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with AsyncClient(scheduler.address, timeout=TIMEOUT) as client:
        assert "j1" == (await client.get("j1")).job_id
