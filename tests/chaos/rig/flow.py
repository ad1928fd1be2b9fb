"""Jobs flow through a whole rig while a nemesis acts; then everything must be quiet, and every job done exactly once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chaos.rig.checker import executions, judge
from chaos.rig.fleet import Fleet
from chaos.rig.history import Event
from chaos.rig.nemesis import Nemesis
from chaos.rig.quiescence import OPEN, quiesce
from chaos.rig.scenario import Round
from chaos.rig.specs import real_spec, stand_in_spec
from telecine_client import AsyncClient, TelecineError

REAL_EVERY = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """*jobs* of *shortest* to *longest* seconds come within *over*, every tenth for the real FFmpeg. The nemesis acts every
    *period* seconds until *few* jobs are left, as few as can be done in the time until all is quiet; it waits for that for
    *patience* seconds.
    """

    jobs: int
    over: float
    shortest: float
    longest: float
    few: int
    period: float = 2.0
    patience: float = 120.0


async def play_flow(fleet: Fleet, flow: Flow, actions_of: Callable[[Nemesis], Sequence[Callable[[], None]]]) -> Round:
    """On a rig that was entered. Every job must succeed; *actions_of* chooses what the nemesis does."""
    await fleet.start()
    nemesis = Nemesis(fleet)
    acting = asyncio.create_task(nemesis.every(flow.period, actions_of(nemesis)))
    try:
        async with fleet.client() as client:
            await asyncio.gather(*(submit(fleet, client, flow, number) for number in range(flow.jobs)))
            await until_few(client, flow)
    finally:
        acting.cancel()
        await asyncio.gather(acting, return_exceptions=True)
        nemesis.thaw_all()
    jobs, wrong = await quiesce(fleet)
    history = fleet.history.events()
    judgement = judge(history, jobs)
    if len(judgement.acknowledged) != flow.jobs:
        wrong.append("not every submit was acknowledged in the end")
    figures = {
        "jobs": flow.jobs, **judgement.figures(), "executions": sum(executions(history).values()),
        "calls": counted(history, "call", "outcome"), "actions": counted(history, "nemesis", "action"),
    }  # fmt: skip
    return Round(wrong=[*wrong, *judgement.wrong], figures=figures)


async def submit(fleet: Fleet, client: AsyncClient, flow: Flow, number: int) -> None:
    """Until it is acknowledged, with the same id each time."""
    job_id, name = f"job-{number}", f"{number}.mp4"
    seconds = fleet.random.uniform(flow.shortest, flow.longest)
    if number % REAL_EVERY == 0:
        spec = real_spec(fleet.source, fleet.out, name)
    else:
        spec = stand_in_spec(fleet.source, fleet.out, name, seconds=seconds)
    await asyncio.sleep(number * flow.over / flow.jobs)
    while isinstance(await fleet.history.call("submit", job_id, client.submit(spec, job_id=job_id)), TelecineError):
        await asyncio.sleep(0.2)


async def until_few(client: AsyncClient, flow: Flow) -> None:
    """Until few jobs have not ended. Raises TimeoutError."""
    async with asyncio.timeout(flow.patience):
        while True:
            with contextlib.suppress(TelecineError):
                if len([job async for job in client.list(states=OPEN, limit=flow.few + 1)]) <= flow.few:
                    return
            await asyncio.sleep(0.5)


def counted(history: Sequence[Event], event: str, field: str) -> dict[str, int]:
    """How often each value of *field* is in these events."""
    return dict(Counter(str(each[field]) for each in history if each["event"] == event))
