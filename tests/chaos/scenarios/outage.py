"""Scenario 5: Redis is killed under eight running jobs, and comes back after three times the TTL.

PASS: no lease expires; no FFmpeg is started again; all eight finish under the tokens they had; submits meanwhile are answered
UNAVAILABLE, with when to come again, within 5 s; the first submit at every scheduler is accepted within 2 s after Redis
answers. Half of the jobs end while Redis is away, half afterwards. Short: away for a little more than one TTL, and, as
everything that CI measures, four times as long to the first submit.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import grpc

from chaos.metrics_page import summed
from chaos.rig.checker import FinalJob, executions, judge
from chaos.rig.fleet import TTL_SECONDS, Fleet
from chaos.rig.quiescence import quiesce
from chaos.rig.scenario import Play, Round, Scenario
from chaos.rig.specs import stand_in_spec
from chaos.single_calls import PROMISED_SECONDS, Answer, SingleCalls
from telecine_client import AsyncClient, JobState

JOBS = 8
PATIENCE_SECONDS = 60.0
# Between two submits at one scheduler: while Redis is away, and once it is back.
ASK_SECONDS = 0.5
ASK_AGAIN_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How long Redis is away, and how soon afterwards a submit has to be accepted."""

    away_seconds: float
    back_seconds: float


LONG = Size(away_seconds=3 * TTL_SECONDS, back_seconds=2.0)
SHORT = Size(away_seconds=1.2 * TTL_SECONDS, back_seconds=8.0)


async def play(how: Play) -> Round:
    """One outage."""
    size = LONG if how.long else SHORT
    async with how.fleet() as fleet, AsyncExitStack() as stack:
        await fleet.start()
        callers = [
            await stack.enter_async_context(SingleCalls(child.ready["grpc"], fleet.tenant, fleet.history))
            for child in fleet.schedulers.values()
        ]
        async with fleet.client() as client:
            before = await begin(fleet, client, size)
        fleet.history.note("nemesis", action="kill", target="redis")
        fleet.system.redis.kill()
        meanwhile = await ask(fleet, callers, size.away_seconds)
        await asyncio.to_thread(fleet.system.redis.start)
        back = await asyncio.gather(*(first_accepted(fleet, caller) for caller in callers))
        jobs, wrong = await quiesce(fleet)
        history = fleet.history.events()
        lost = summed(fleet.schedulers.values())["attempts_total{outcome=lost}"]
    judgement = judge(history, jobs)
    wrong += [*judgement.wrong, *of_jobs(before, jobs, executions(history)), *of_answers(meanwhile)]
    wrong += [f"{lost:.0f} leases expired"] if lost else []
    if max(back) > size.back_seconds:
        wrong.append(f"the first submit was accepted {max(back):.2f} s after Redis answered")
    figures = {
        **judgement.figures(), "away_seconds": size.away_seconds, "submits_meanwhile": len(meanwhile), "lost_leases": lost,
        "slowest_answer_seconds": round(max(answer.seconds for answer in meanwhile), 3),
        "first_accepted_seconds": round(max(back), 3),
    }  # fmt: skip
    return Round(wrong=wrong, figures=figures)


async def begin(fleet: Fleet, client: AsyncClient, size: Size) -> dict[str, int]:
    """Submit the jobs and wait until all run; their tokens by id."""
    for number in range(JOBS):
        first, last = (0.2, 0.8) if number % 2 else (1.1, 1.25)
        seconds = size.away_seconds * fleet.random.uniform(first, last)
        spec = stand_in_spec(fleet.source, fleet.out, f"{number}.mp4", seconds=seconds)
        await fleet.history.call("submit", f"job-{number}", client.submit(spec, job_id=f"job-{number}"))
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            jobs = [await client.get(f"job-{number}") for number in range(JOBS)]
            if all(job.state is JobState.RUNNING for job in jobs):
                return {job.job_id: job.attempts[-1].token for job in jobs}
            await asyncio.sleep(0.05)


async def ask(fleet: Fleet, callers: Sequence[SingleCalls], seconds: float) -> list[Answer]:
    """Submit at every scheduler again and again while Redis is away; the answers."""
    calls: list[asyncio.Task[Answer]] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for caller in callers:
            spec = stand_in_spec(fleet.source, fleet.out, f"meanwhile-{len(calls)}.mp4", seconds=0.1)
            calls.append(asyncio.create_task(caller.submit(f"meanwhile-{len(calls)}", spec)))
        await asyncio.sleep(ASK_SECONDS)
    return await asyncio.gather(*calls)


async def first_accepted(fleet: Fleet, caller: SingleCalls) -> float:
    """How many seconds it takes until this scheduler accepts a submit."""
    began, job_id = time.monotonic(), f"after-{id(caller)}"
    spec = stand_in_spec(fleet.source, fleet.out, f"{job_id}.mp4", seconds=0.1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await caller.submit(job_id, spec)).outcome != "ok":
            await asyncio.sleep(ASK_AGAIN_SECONDS)
    return time.monotonic() - began


def of_jobs(before: Mapping[str, int], jobs: Mapping[str, FinalJob], starts: Mapping[str, int]) -> list[str]:
    """What is wrong with the jobs that ran."""
    wrong = []
    for job_id, token in before.items():
        if jobs[job_id].tokens != (token,):
            wrong.append(f"{job_id} ran with {token} and ended with {jobs[job_id].tokens}")
        if starts[job_id] != 1:
            wrong.append(f"{job_id}: FFmpeg was started {starts[job_id]} times")
    return wrong


def of_answers(answers: Sequence[Answer]) -> list[str]:
    """What is wrong with the answers while Redis was away."""
    wrong = [
        f"a submit while Redis was away was answered {answer.code.name}"
        for answer in answers
        if answer.code is not grpc.StatusCode.UNAVAILABLE
    ]
    wrong += [f"a submit waited {answer.seconds:.1f} s" for answer in answers if answer.seconds > PROMISED_SECONDS]
    return wrong + ["a submit was not told when to come again" for answer in answers if not answer.told_when]


SCENARIO = Scenario(
    number=5,
    name="outage",
    title="Redis is away for three TTLs: what runs goes on, nothing is started again",
    play=play,
)
