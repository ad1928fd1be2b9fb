"""Scenario 3: four jobs run on one worker, by way of A; its connection is reset, then the scheduler that has it is killed.

PASS: the worker is at another scheduler within 3 s; no new attempt; the FFmpeg processes are the same; all four succeed with
the tokens they began with; their watches go on with revisions that rise, without a gap in the changes of state and without a
step from RUNNING to QUEUED.

Long: the scheduler that has the worker is killed and started again four times while the same processes run.
"""

from __future__ import annotations

import asyncio
import itertools
import time

from chaos.rig.checker import executions, judge
from chaos.rig.fleet import Fleet, port_of
from chaos.rig.quiescence import quiesce
from chaos.rig.scenario import Play, Round, Scenario
from chaos.rig.specs import job_id_of, stand_in_spec, token_of
from support.gate_proxy import GateProxy
from support.processes import ffmpeg_children
from telecine_client import AsyncClient, Job, JobState

JOBS = ("job-0", "job-1", "job-2", "job-3")
RESUMED_SECONDS = 3.0


async def play(how: Play) -> Round:
    kills, seconds = (4, 40.0) if how.long else (1, 8.0)
    async with how.fleet() as fleet:
        # A alone at first, so that the worker is there and nowhere else.
        for name in ("A", "B", "C"):
            fleet.add_scheduler(name)
        async with GateProxy("127.0.0.1", port_of(fleet, "A")) as gate, fleet.client() as client:
            others = [child.argv[2] for name, child in fleet.schedulers.items() if name != "A"]
            fleet.add_worker("W1", ",".join([gate.address, *others]), slots=len(JOBS))
            await fleet.launch("A", "W1")
            await fleet.launch("B", "C")
            for job_id in JOBS:
                spec = stand_in_spec(fleet.source, fleet.out, f"{job_id}.mp4", seconds=seconds)
                await fleet.history.call("submit", job_id, client.submit(spec, job_id=job_id))
            watches = [asyncio.create_task(watched(client, job_id)) for job_id in JOBS]
            encodes = await begun(fleet)
            await reset(fleet, gate)
            times = [await move(fleet) for _ in range(kills)]
            ended = encodes.keys() - ffmpeg_children(f"={fleet.tenant}~").keys()
            seen = dict(zip(JOBS, await asyncio.gather(*watches), strict=True))
        jobs, wrong = await quiesce(fleet)
        history = fleet.history.events()
    judgement = judge(history, jobs)
    wrong += judgement.wrong
    wrong += [f"{encodes[pid]}: its FFmpeg did not go on" for pid in ended]
    wrong += [f"resumed after {took:.1f} s" for took in times if took > RESUMED_SECONDS * how.leniency]
    tokens = {job_id_of(attempt): token_of(attempt) for attempt in encodes.values()}
    for job_id in JOBS:
        if jobs[job_id].tokens != (tokens[job_id],) or executions(history)[job_id] != 1:
            wrong.append(f"{job_id}: began with token {tokens[job_id]}, has attempts {jobs[job_id].tokens}")
        wrong += [f"{job_id}: {what}" for what in broken_watch(seen[job_id])]
    figures = {**judgement.figures(), "kills": kills, "resumed_seconds": [round(took, 2) for took in times]}
    return Round(wrong=wrong, figures=figures)


async def begun(fleet: Fleet) -> dict[int, str]:
    """The encodes by pid, once there is one for each job."""
    async with asyncio.timeout(30):
        while True:
            starts = [event for event in fleet.history.events() if event["event"] == "ffmpeg_start"]
            if len(starts) == len(JOBS):
                return {event["pid"]: event["attempt"] for event in starts}
            await asyncio.sleep(0.05)


async def reset(fleet: Fleet, gate: GateProxy) -> None:
    """Break the worker's connection through the gate, and wait until it has another one."""
    count = len(fleet.log("W1", "scheduler connected"))
    gate.lose()
    async with asyncio.timeout(60):
        while len(fleet.log("W1", "scheduler connected")) == count:
            await asyncio.sleep(0.02)


async def move(fleet: Fleet) -> float:
    """Kill the scheduler that has the worker; after how many seconds another one had it."""
    address = await fleet.at_of("W1")
    # The gate before A is nobody's own address.
    name = next((name for name, child in fleet.schedulers.items() if child.argv[2] == address), "A")
    fleet.kill(name)
    killed = time.monotonic()
    async with asyncio.timeout(60):
        while await fleet.at_of("W1") == address:
            await asyncio.sleep(0.02)
    took = time.monotonic() - killed
    await fleet.launch(name)
    return took


async def watched(client: AsyncClient, job_id: str) -> list[Job]:
    """Every snapshot of a job, to its end."""
    return [job async for job in client.watch(job_id)]


def broken_watch(seen: list[Job]) -> list[str]:
    """What is wrong with the snapshots of a job that ran once."""
    revisions = [job.revision for job in seen]
    wrong = [
        f"revision {later} after {earlier}" for earlier, later in itertools.pairwise(revisions) if later <= earlier
    ]
    states = [state for state, _ in itertools.groupby(job.state for job in seen)]
    once = [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED]
    if states != once[-len(states) :] or states[-1] is not JobState.SUCCEEDED:
        wrong.append(f"watched {[state.value for state in states]}")
    changes = [change.state for change in seen[-1].recent_changes]
    if changes != once:
        wrong.append(f"changes {[state.value for state in changes]}")
    return wrong


SCENARIO = Scenario(
    number=3, name="resume_elsewhere", title="SIGKILL a worker's scheduler: its leases go on at another", play=play
)
