"""Workers that break the protocol, flood, fall silent or do not read: refused with the reason, and nobody else is harmed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from support.rpc_errors import read
from support.running_scheduler import Running, ScriptedWorker
from telecine.v1 import job_pb2, lease_service_pb2_grpc
from telecine.v1 import lease_service_pb2 as lease_pb
from telecine_scheduler.rpc import lease_intake

Code = grpc.StatusCode
STALE = lease_pb.RenewResult.VERDICT_STALE
REFUSED = "worker_messages_refused_total"


def ref(number: int = 1, tenant: str = "default", job_id: str = "none") -> lease_pb.LeaseRef:
    return lease_pb.LeaseRef(tenant=tenant, job_id=job_id, token=number)


def renewals(count: int) -> list[lease_pb.Renewal]:
    """Of leases that never were."""
    return [lease_pb.Renewal(lease=ref(number + 1), sequence=1) for number in range(count)]


def outcome(words: int) -> lease_pb.Outcome:
    failure = job_pb2.Failure(kind=job_pb2.Failure.KIND_RETRYABLE, reason="R", message="m", log_tail="x" * words)
    return lease_pb.Outcome(lease=ref(), failed=failure)


async def refused(scheduler: Running) -> dict[str, float]:
    """What was counted, by reason."""
    found = await scheduler.samples(REFUSED)
    return {name.removeprefix(f"{REFUSED}{{reason=").rstrip("}"): value for name, value in found.items() if value}


@pytest.fixture
async def other(scheduler: Running) -> AsyncIterator[ScriptedWorker]:
    """A worker of the same scheduler that does nothing wrong, and at the end runs a job on the stream it began with."""
    async with ScriptedWorker(scheduler.address, worker_id="other", slots=4096) as other:
        await other.welcome()
        yield other
        await works(scheduler, other, "last")


async def works(scheduler: Running, worker: ScriptedWorker, job_id: str) -> None:
    """One job from its submit to its end."""
    worker.limit = getattr(worker, "limit", 0) + 1  # type: ignore[attr-defined]
    await scheduler.submit(job_id)
    grant = await worker.grant(worker.limit)  # type: ignore[attr-defined]
    assert job_id == grant.lease.job_id
    await worker.accept(grant.lease)
    assert lease_pb.RenewResult.VERDICT_KEEP == (await worker.renew(grant.lease)).verdict
    assert "COMMITTED" == await worker.finish(grant.lease, succeeded=job_pb2.JobResult())


BREAKS: list[tuple[str, dict[str, Any]]] = [
    ("hello", {"hello": lease_pb.Hello(worker_id="w1", session_id="s1", stream_epoch=9, queues=["default"], slots=1)}),
    ("rule", {"accepts": [lease_pb.Accept()]}),
    ("rule", {"renewals": [lease_pb.Renewal(lease=ref(-1))]}),
    ("rule", {"renewals": [lease_pb.Renewal(lease=ref(tenant="NO TENANT"))]}),
    ("rule", {"outcomes": [lease_pb.Outcome(succeeded=job_pb2.JobResult())]}),
    ("rule", {"credit": lease_pb.Credit(limit=-1)}),
    ("credit", {"credit": lease_pb.Credit(limit=1 << 62)}),
    ("credit", {"credit": lease_pb.Credit(limit=3)}),
    ("size", {"renewals": renewals(5001)}),
    ("size", {"outcomes": [outcome(5 << 20)]}),
]


@pytest.mark.parametrize(("reason", "message"), BREAKS, ids=[f"{n}-{reason}" for n, (reason, _) in enumerate(BREAKS)])
async def test_a_message_that_breaks_the_protocol_ends_its_stream(
    scheduler: Running, other: ScriptedWorker, reason: str, message: dict[str, Any]
) -> None:
    """With the rule it broke; counted and logged once; other streams go on."""
    with capture_logs() as logs:
        async with ScriptedWorker(scheduler.address, slots=2) as worker:
            await worker.welcome()
            await worker.send(**message)
            error = read(await worker.error())

    assert (Code.INVALID_ARGUMENT, "PROTOCOL_VIOLATION", {"rule": reason}) == (error.code, error.reason, error.metadata)
    assert {reason: 1.0} == await refused(scheduler)
    assert [("w1", reason)] == [(line["worker_id"], line["reason"]) for line in logs if "reason" in line]


@pytest.mark.parametrize(
    ("reason", "hello"),
    [
        ("size", {"held_leases": renewals(10_000)}),
        ("size", {"held_leases": renewals(4097)}),
        ("rule", {"slots": 0}),
        ("rule", {"worker_id": "no id"}),
    ],
)
async def test_a_hello_that_breaks_the_protocol_is_refused(
    scheduler: Running, other: ScriptedWorker, reason: str, hello: dict[str, Any]
) -> None:
    """Nothing of it is carried out."""
    async with ScriptedWorker(scheduler.address, **hello) as worker:
        error = read(await worker.error())

    assert (Code.INVALID_ARGUMENT, {"rule": reason}) == (error.code, error.metadata)
    assert {reason: 1.0} == await refused(scheduler)


async def test_a_hello_may_name_as_many_leases_as_there_can_be(scheduler: Running, other: ScriptedWorker) -> None:
    """All of them are answered."""
    async with ScriptedWorker(scheduler.address, slots=4096, held_leases=renewals(4096)) as worker:
        welcome = await worker.welcome()

    assert {STALE: 4096} == {verdict.verdict: len(welcome.renew_results) for verdict in welcome.renew_results}
    assert {"stale": 4096.0} == await refused(scheduler)


async def test_a_gigantic_message_ends_its_stream(scheduler: Running, other: ScriptedWorker) -> None:
    """More than gRPC takes at all: it is not even read."""
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        await worker.send(outcomes=[outcome(9 << 20)])
        error = await worker.error()

    assert Code.RESOURCE_EXHAUSTED is error.code()
    assert "larger than max" in (error.details() or "")


async def test_what_is_over_or_never_was_is_answered_stale(scheduler: Running, other: ScriptedWorker) -> None:
    """Replays, wrong tokens, unknown jobs and tenants, by every kind of message: the stream goes on, nothing changes; each is
    counted, and all of them are one line in the log.
    """
    await scheduler.submit()
    with capture_logs() as logs:
        async with ScriptedWorker(scheduler.address) as worker:
            await worker.welcome()
            lease = (await worker.grant()).lease
            await worker.accept(lease)
            wrong = [
                ref(lease.token + 1, job_id="job"), ref(1, job_id="job"), ref(lease.token),
                ref(lease.token, tenant="nobody", job_id="job"),
            ]  # fmt: skip
            for each in wrong:
                assert STALE == (await worker.accept(each)).verdict
                assert STALE == (await worker.renew(each, sequence=9, fraction=0.9)).verdict
                assert lease_pb.PublishDecision.DECISION_STALE == (await worker.publish(each)).decision
                assert "STALE" == await worker.finish(each, succeeded=job_pb2.JobResult())
            before = (await scheduler.get()).revision
            assert lease_pb.RenewResult.VERDICT_KEEP == (await worker.renew(lease)).verdict
            assert "COMMITTED" == await worker.finish(lease, succeeded=job_pb2.JobResult())
            assert STALE == (await worker.accept(lease)).verdict
            assert STALE == (await worker.renew(lease, sequence=8, fraction=0.1)).verdict

    job = await scheduler.get()
    assert (job_pb2.JOB_STATE_SUCCEEDED, 1, 0.0) == (job.state, job.attempt_count, job.progress.fraction)
    assert before < job.revision
    assert {"stale": 16.0 + 2} == await refused(scheduler)
    assert 1 == len([line for line in logs if line.get("reason") == "stale"])


async def test_a_refused_grant_is_no_stale_message(scheduler: Running, other: ScriptedWorker) -> None:
    """It is answered STALE because that is what it asked for."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        lease = (await worker.grant()).lease
        await worker.send(accepts=[lease_pb.Accept(lease=lease, refusal=lease_pb.Accept.REFUSAL_NO_SLOT)])
        await worker.until(lambda response: response.renew_results)
        assert {} == await refused(scheduler)
        again = await worker.grant(limit=2)
        await worker.finish(again.lease, succeeded=job_pb2.JobResult())


async def test_a_credit_that_falls_stops_what_was_not_granted_yet(scheduler: Running, other: ScriptedWorker) -> None:
    """Below what was granted already it is no debt: the next one that is above it counts again."""
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        await scheduler.submit("one")
        first = await worker.grant(limit=2)
        await worker.send(credit=lease_pb.Credit(limit=0))
        # The answer comes after the credit was taken in.
        await worker.renew(first.lease)
        await works(scheduler, other, "two")
        await worker.finish(first.lease, succeeded=job_pb2.JobResult())
        await scheduler.submit("three")
        third = await worker.grant(limit=2)
        await worker.finish(third.lease, succeeded=job_pb2.JobResult())

    assert ["one", "three"] == [first.lease.job_id, third.lease.job_id]
    assert {} == await refused(scheduler)


async def test_who_says_no_hello_is_turned_away(
    scheduler: Running, other: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After ten seconds."""
    monkeypatch.setattr(lease_intake, "HELLO_SECONDS", 0.2)
    call = lease_service_pb2_grpc.LeaseServiceStub(scheduler.channel).StreamLeases()
    async with asyncio.timeout(10):
        assert Code.INVALID_ARGUMENT is await call.code()
    assert {"hello": 1.0} == await refused(scheduler)


async def test_who_says_nothing_after_hello_is_no_burden(scheduler: Running, other: ScriptedWorker) -> None:
    """Nothing is granted to it."""
    async with ScriptedWorker(scheduler.address) as silent:
        await silent.welcome()
        for number in range(3):
            await works(scheduler, other, f"job{number}")


@pytest.mark.parametrize("flood", [4_000, pytest.param(100_000, marks=pytest.mark.long)])
async def test_a_flood_of_small_messages_harms_nobody(scheduler: Running, other: ScriptedWorker, flood: int) -> None:
    """Every message is answered, few at a time; meanwhile another worker's jobs go through."""
    tasks: list[int] = []
    answered = 0

    async def take(worker: ScriptedWorker) -> None:
        nonlocal answered
        while answered < flood:
            answered += len((await worker.read()).renew_results)
            tasks.append(len(asyncio.all_tasks()))

    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        taking = asyncio.create_task(take(worker))
        [renewal] = renewals(1)

        async def pour() -> None:
            for _ in range(flood):
                await worker.send(renewals=[renewal])

        flooding = asyncio.create_task(pour())
        done = 0
        while not taking.done():
            await works(scheduler, other, f"job{done}")
            done += 1
        await asyncio.gather(flooding, taking)

    assert (flood, True) == (answered, done >= 2)
    # Of it 32 messages are worked on at once; the rest is the scheduler itself and this test.
    assert max(tasks) < 300
    assert {"stale": float(flood)} == await refused(scheduler)


async def test_a_flood_of_big_messages_harms_nobody(scheduler: Running, other: ScriptedWorker) -> None:
    """What one worker asks for at once is bounded, in how ever many messages it comes."""
    count, answered = 8, 0
    tasks: list[int] = []
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()

        async def pour() -> None:
            for _ in range(count):
                await worker.send(renewals=renewals(4000))

        flooding = asyncio.create_task(pour())
        working = asyncio.create_task(works(scheduler, other, "job"))
        while answered < count * 4000:
            answered += len((await worker.read()).renew_results)
            tasks.append(len(asyncio.all_tasks()))
        await asyncio.gather(flooding, working)

    assert max(tasks) < 3000


async def test_who_does_not_read_is_not_read(scheduler: Running, other: ScriptedWorker) -> None:
    """What waits for it is bounded, because no more is taken from it; others go on."""
    async with ScriptedWorker(scheduler.address) as deaf:
        await deaf.welcome()
        sent, message = 0, renewals(4000)
        with contextlib.suppress(TimeoutError):
            while sent < 500:
                async with asyncio.timeout(2):
                    await deaf.send(renewals=message)
                sent += 1
        assert sent < 500
        for number in range(3):
            await works(scheduler, other, f"job{number}")
