"""What an attempt cost, from its worker's word to the caller's answer; and what that takes in Redis."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import redis
from google.protobuf.duration_pb2 import Duration

from support.running_scheduler import Running, ScriptedWorker
from support.store_bench import Bench
from telecine.v1 import job_pb2
from telecine.v1 import lease_service_pb2 as lease_pb
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.domain.cost import Cost, Phase
from telecine_scheduler.domain.job import AttemptOutcome
from telecine_scheduler.domain.lease import Report
from telecine_scheduler.store.keys import pack, prefix

SECOND = Duration(seconds=1)
COST: dict[str, Any] = {
    "cpu_duration": Duration(seconds=12, nanos=345_678_000),
    "peak_memory_bytes": 210 << 20,
    "input_size_bytes": 5 << 40,
    "output_size_bytes": 7_654_321,
    "phase_durations": {
        "FETCHING": Duration(nanos=1_000_000),
        "PROBING": Duration(),
        "ENCODING": Duration(seconds=3600, nanos=250_000_000),
    },
}
ENDS: list[tuple[dict[str, Any], job_pb2.Attempt.Outcome.ValueType]] = [
    ({"succeeded": job_pb2.JobResult()}, job_pb2.Attempt.OUTCOME_SUCCEEDED),
    (
        {"failed": job_pb2.Failure(kind=job_pb2.Failure.KIND_RETRYABLE, reason="NO_SPACE", message="a|b,c")},
        job_pb2.Attempt.OUTCOME_FAILED,
    ),
    ({"returned": lease_pb.Outcome.Returned(reason="DRAINING")}, job_pb2.Attempt.OUTCOME_RETURNED),
]


@pytest.mark.parametrize(("end", "outcome"), ENDS)
async def test_what_an_attempt_cost_is_told(
    scheduler: Running, end: dict[str, Any], outcome: job_pb2.Attempt.Outcome.ValueType
) -> None:
    """However it ended: CPU time, memory, bytes in and out, and the time of each phase, zero ones included."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        lease = (await worker.grant()).lease
        await worker.accept(lease)
        await worker.finish(lease, **end, **COST)
    [attempt] = (await scheduler.get()).attempts

    assert outcome == attempt.outcome
    assert COST == {name: getattr(attempt, name) for name in COST}
    assert end.get("failed", job_pb2.Failure()).message == attempt.failure.message


async def test_an_attempt_that_is_cancelled_has_cost_something_too(scheduler: Running) -> None:
    """Its worker says what."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        lease = (await worker.grant()).lease
        await worker.accept(lease)
        await scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id="job"))
        await worker.finish(lease, cancelled=lease_pb.Outcome.Cancelled(), **COST)
    [attempt] = (await scheduler.get()).attempts

    assert job_pb2.Attempt.OUTCOME_CANCELLED == attempt.outcome
    assert COST == {name: getattr(attempt, name) for name in COST}


@pytest.mark.parametrize(
    "phases",
    [
        {"SHARPENING": SECOND, "ENCODING": SECOND},
        {"ENCODING": SECOND},
    ],
)
async def test_a_phase_that_only_a_newer_worker_knows_is_left_out(
    scheduler: Running, phases: dict[str, Duration]
) -> None:
    """The others are told."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        lease = (await worker.grant()).lease
        await worker.finish(lease, succeeded=job_pb2.JobResult(), phase_durations=phases)
    [attempt] = (await scheduler.get()).attempts

    assert {"ENCODING": SECOND} == dict(attempt.phase_durations)


async def test_times_beyond_all_bounds_are_cut(scheduler: Running) -> None:
    """What a message can hold and a duration cannot ends neither the stream nor the job."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        lease = (await worker.grant()).lease
        huge = Duration(seconds=2**62)
        ack = await worker.finish(
            lease, succeeded=job_pb2.JobResult(), cpu_duration=huge, phase_durations={"ENCODING": huge}
        )
    [attempt] = (await scheduler.get()).attempts

    assert ("COMMITTED", 10**9) == (ack, attempt.cpu_duration.seconds)
    assert 10**9 == attempt.phase_durations["ENCODING"].seconds


@pytest.mark.parametrize(
    "cost",
    [
        {"peak_memory_bytes": -1},
        {"input_size_bytes": -1},
        {"output_size_bytes": -1},
        {"phase_durations": {"encoding": SECOND}},
        {"phase_durations": {"ENCODING": Duration(seconds=-1)}},
        {"phase_durations": {f"PHASE_{letter}": SECOND for letter in "ABCDEFGHIJKLMNOPQ"}},
    ],
)
async def test_a_cost_that_breaks_a_rule_is_left_out(scheduler: Running, cost: dict[str, Any]) -> None:
    """What was published stays published; nothing of the cost is kept, and the stream goes on."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        lease = (await worker.grant()).lease
        result = job_pb2.JobResult(measurements={"decode.error_count": 3})
        ack = await worker.finish(lease, succeeded=result, **(COST | cost))
    job = await scheduler.get()

    assert ("COMMITTED", result) == (ack, job.result)
    assert {name: type(value)() for name, value in COST.items()} == {
        name: getattr(job.attempts[0], name) for name in COST
    }
    await scheduler.shows({"worker_messages_refused_total{reason=outcome}": 1})


async def test_an_outcome_that_breaks_a_rule_besides_its_cost_fails(scheduler: Running) -> None:
    """Without its cost it is looked at again."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        lease = (await worker.grant()).lease
        returned = lease_pb.Outcome.Returned(reason="no reason")
        ack = await worker.finish(lease, returned=returned, **(COST | {"input_size_bytes": -1}))
    job = await scheduler.get()

    assert ("RETRYING", "INTERNAL_ERROR") == (ack, job.failure.reason)
    assert "returned.reason" in job.failure.message
    assert "input_size_bytes" not in job.failure.message


async def test_warnings_reach_the_caller(scheduler: Running) -> None:
    """With the result, in the basic view as well."""
    await scheduler.submit()
    warning = job_pb2.Warning(reason="INPUT_DAMAGED", message="3 errors", count=3, input="in")
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        lease = (await worker.grant()).lease
        await worker.finish(lease, succeeded=job_pb2.JobResult(warnings=[warning]))

    assert [warning] == list((await scheduler.get()).result.warnings)


FULL = Cost(
    cpu=timedelta(days=7, microseconds=1),
    peak_memory_bytes=1 << 40,
    input_size_bytes=1 << 50,
    output_size_bytes=1 << 50,
    phases=dict.fromkeys(Phase, timedelta(days=7)),
)


async def test_what_a_full_cost_takes_in_redis(bench: Bench, client: redis.Redis) -> None:
    """An attempt of a week in all phases, with inputs and outputs of a petabyte each: at most 250 bytes."""
    before = await size_after(bench, client, "cheap", Cost())
    assert await size_after(bench, client, "dear", FULL) - before <= 250
    [attempt] = (await bench.job("dear")).attempts

    assert FULL == attempt.cost


async def size_after(bench: Bench, client: redis.Redis, job_id: str, cost: Cost) -> int:
    """Bytes that Redis has for the attempts and the large record of a job that cost so much."""
    lease = await bench.start(job_id)
    result = b"result" * 20
    await bench.store.finish(Report(lease=lease, outcome=AttemptOutcome.SUCCEEDED, value=result, cost=cost))
    keys = (f"{prefix()}{kind}:".encode() + pack(lease.name) for kind in "ax")
    return sum(client.memory_usage(key, samples=0) for key in keys)


async def test_rows_are_those_that_older_schedulers_read(bench: Bench, client: redis.Redis) -> None:
    """Nine columns, the eighth a number; and one that has no more beside it is read."""
    lease = await bench.start()
    await bench.store.finish(Report(lease=lease, outcome=AttemptOutcome.SUCCEEDED, value=b"result", cost=FULL))
    name = pack(lease.name)
    [row] = client.lrange(f"{prefix()}a:".encode() + name, 0, -1)
    *_, cpu, peak, failure = row.split(b"|", 8)
    assert (7 * 24 * 3600 * 10**6 + 1, 1 << 40, b"") == (int(cpu), int(peak), failure)
    client.hdel(f"{prefix()}x:".encode() + name, "k1")
    [attempt] = (await bench.job()).attempts

    assert Cost(cpu=FULL.cpu, peak_memory_bytes=1 << 40) == attempt.cost


async def test_of_attempts_that_are_forgotten_the_cost_is_too(bench: Bench, client: redis.Redis) -> None:
    """Ten are kept, with ten costs."""
    cost = Cost(input_size_bytes=5, phases={Phase.ENCODING: timedelta(seconds=1)})
    lease = await bench.start()
    for _ in range(12):
        await bench.store.finish(Report(lease=lease, outcome=AttemptOutcome.RETURNED, value=b"f", cost=cost))
        lease = await bench.lease()
        await bench.store.accept(lease)
    fields = client.hkeys(f"{prefix()}x:".encode() + pack(lease.name))

    assert {f"k{number}".encode() for number in range(3, 13)} == {each for each in fields if each.startswith(b"k")}
    assert [cost] * 9 == [attempt.cost for attempt in (await bench.job()).attempts[:-1]]
