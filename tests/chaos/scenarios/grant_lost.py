"""Scenario 4: whatever the scheduler says to the only worker is held back for 5 s, exactly from a dispatch on.

PASS: each granted job is back in the queue within the accept window + 0.5 s; its attempts are not counted (it is at 1 when it
runs); jobs of one tenant and priority are granted in the order in which they came; none waits for a TTL.

A network that drops packets for 5 s delivers them late, or breaks the connection. Late, the worker hears of grants that are
void, accepts them and is told STALE. What it may have begun by then commits nothing.

The queue is looked at in Redis: to callers a granted job is QUEUED all the while.

Long: six holds, in turns; short: one of 3 s, late with an odd seed, broken with an even one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from chaos.rig.checker import executions, judge
from chaos.rig.fleet import ACCEPT_SECONDS, SLOTS, TTL_SECONDS, Fleet, port_of
from chaos.rig.quiescence import quiesce
from chaos.rig.scenario import Play, Round, Scenario
from chaos.rig.specs import stand_in_spec
from support.gate_proxy import GateProxy
from support.invariants import P
from telecine_client import AsyncClient, Job
from telecine_scheduler.domain.job import JobName
from telecine_scheduler.store.keys import pack

SLACK_SECONDS = 0.5
JOBS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How long each granted job was away from the queue, and how long they waited once a worker was there."""

    back_seconds: list[float]
    wait_seconds: float
    wrong: list[str]


async def play(how: Play) -> Round:
    wrong, back, waits = [], [], []
    async with how.fleet() as fleet:
        for name in ("A", "B", "C"):
            fleet.add_scheduler(name)
        async with GateProxy("127.0.0.1", port_of(fleet, "A")) as gate, fleet.client() as client:
            fleet.add_worker("W1", gate.address)
            fleet.add_worker("W2")
            await fleet.launch("A", "B", "C", "W1")
            ends = [gate.release, gate.lose] * 3 if how.long else [gate.release if how.seed % 2 else gate.lose]
            for number, end in enumerate(ends):
                seen = await held_back(fleet, client, gate, number, 5.0 if how.long else 3.0, end)
                wrong += seen.wrong
                back += seen.back_seconds
                waits.append(seen.wait_seconds)
                fleet.kill("W2")
            jobs, left = await quiesce(fleet)
        history = fleet.history.events()
    judgement = judge(history, jobs)
    late = min((ACCEPT_SECONDS + SLACK_SECONDS) * how.leniency, TTL_SECONDS)
    wrong += [f"a granted job was away for {seconds:.2f} s" for seconds in back if seconds > late]
    wrong += [f"jobs waited {seconds:.1f} s for a worker that was there" for seconds in waits if seconds > TTL_SECONDS]
    figures = {
        **judgement.figures(), "holds": len(waits), "back_seconds": [round(seconds, 2) for seconds in back],
        "wait_seconds": [round(seconds, 2) for seconds in waits], "executions": sum(executions(history).values()),
    }  # fmt: skip
    return Round(wrong=[*wrong, *left, *judgement.wrong], figures=figures)


async def held_back(
    fleet: Fleet, client: AsyncClient, gate: GateProxy, number: int, seconds: float, end: Callable[[], None]
) -> Seen:
    """One hold of so many seconds; *end* ends it."""
    ids = [f"job-{number}-{each}" for each in range(JOBS)]
    gate.hold()
    held_at = time.monotonic()
    for job_id in ids:
        spec = stand_in_spec(fleet.source, fleet.out, f"{job_id}.mp4", seconds=0.5)
        await fleet.history.call("submit", job_id, client.submit(spec, job_id=job_id))
    back = await asyncio.gather(*(asyncio.to_thread(away_seconds, fleet, job_id) for job_id in ids[:SLOTS]))
    await fleet.launch("W2")
    ready = time.monotonic()
    await until_started(client, ids[SLOTS - 1])
    waited = time.monotonic() - ready
    await asyncio.sleep(max(0.0, held_at + seconds - time.monotonic()))
    end()
    done = [await client.wait(job_id) for job_id in ids]
    return Seen(back_seconds=list(back), wait_seconds=waited, wrong=wrong_with(done))


def away_seconds(fleet: Fleet, job_id: str) -> float:
    """From when the job is seen granted to when that grant is void. Blocks."""
    key = P + b"j:" + pack(JobName(tenant=fleet.tenant, job_id=job_id))
    granted_at, deadline = 0.0, time.monotonic() + 60
    with fleet.redis() as redis:
        while time.monotonic() < deadline:
            state = redis.hget(key, "st")
            if state == b"L" and not granted_at:
                granted_at = time.monotonic()
            if state != b"L" and granted_at:
                return time.monotonic() - granted_at
            time.sleep(0.005)
    raise AssertionError(f"{job_id} was {'not granted' if not granted_at else 'granted for ever'}")


async def until_started(client: AsyncClient, job_id: str) -> Job:
    """Watch a job until it has begun."""
    async for job in client.watch(job_id):
        if job.attempt_count:
            return job
    raise AssertionError(f"{job_id} ended without an attempt")


def wrong_with(done: list[Job]) -> list[str]:
    """Of jobs in the order in which they were submitted."""
    wrong = [f"{job.job_id}: ran {job.attempt_count} times" for job in done if job.attempt_count != 1]
    tokens = [job.attempts[0].token for job in done]
    return wrong + ([] if tokens == sorted(tokens) else [f"granted out of order: {tokens}"])


SCENARIO = Scenario(
    number=4, name="grant_lost", title="grants that never arrive: back in place, in order, not counted", play=play
)
