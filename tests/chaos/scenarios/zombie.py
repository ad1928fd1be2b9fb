"""Scenario 2: a worker is stopped (SIGSTOP) for three TTLs, another runs its job to success, the first goes on.

PASS: the first is told that its lease is STALE; result, bytes and revision of the job stay those of the second; the first's
staging is gone within 10 s of going on; nothing is committed twice.

W1 is stopped with its FFmpeg, and goes on when the others have committed. W2 is stopped alone, and goes on as soon as another
runs its job: its own FFmpeg has finished meanwhile, so that it comes back with a whole file that it would only have to
publish, and report. In every other turn it goes on after the commit, too, and finds its file removed.

Our workers ask before they publish, and hear STALE on renewing, on asking, or when they report what they make of the missing
file. What is looked at is that each of the first attempts ended abandoned or failed, and that no outcome is left in a
journal, which only a scheduler's answer removes.

Short: W1 is stopped until the others have committed. Long: for at least 18 s, four turns, at random moments of the attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Collection

from chaos.rig.checker import judge
from chaos.rig.fleet import TTL_SECONDS, Fleet
from chaos.rig.history import Event
from chaos.rig.nemesis import Nemesis
from chaos.rig.quiescence import artifact_of, quiesce
from chaos.rig.scenario import Play, Round, Scenario
from chaos.rig.specs import stand_in_spec, token_of
from telecine_client import AsyncClient, Job

SLEEPERS = ("W1", "W2")
HEIRS = ("W3", "W4")
CLEAN_SECONDS = 10.0
JOB_SECONDS = 2.0


async def play(how: Play) -> Round:
    times, wrong, abandoned = 4 if how.long else 1, [], 0
    async with how.fleet(PUBLISH_WINDOW="5s") as fleet:
        for name in ("A", "B", "C"):
            fleet.add_scheduler(name)
        for name in (*SLEEPERS, *HEIRS):
            fleet.add_worker(name, slots=1)
        await fleet.launch("A", "B", "C", *SLEEPERS)
        async with fleet.client() as client:
            for number in range(times):
                delay = fleet.random.uniform(0, JOB_SECONDS - 0.5) if how.long else 0.2
                wrong += await put_to_sleep(fleet, client, number, delay, how)
                for name in HEIRS:
                    fleet.kill(name)
        jobs, left = await quiesce(fleet)
        for name in SLEEPERS:
            ended = await endings(fleet, name, times)
            abandoned += ended.count("abandoned")
            if len(ended) != times or not {"abandoned", "failed"}.issuperset(ended):
                wrong.append(f"{name}: its attempts ended {ended}")
        judgement = judge(fleet.history.events(), jobs)
    figures = {**judgement.figures(), "stopped": times * len(SLEEPERS), "abandoned": abandoned}
    return Round(wrong=[*wrong, *left, *judgement.wrong], figures=figures)


async def put_to_sleep(fleet: Fleet, client: AsyncClient, number: int, delay: float, how: Play) -> list[str]:
    """One job for each sleeper; what is wrong."""
    ids = [f"job-{number}-{name}" for name in SLEEPERS]
    for job_id in ids:
        spec = stand_in_spec(fleet.source, fleet.out, f"{job_id}.mp4", seconds=JOB_SECONDS)
        await fleet.history.call("submit", job_id, client.submit(spec, job_id=job_id))
    await encoded(fleet, SLEEPERS, (number + 1) * len(SLEEPERS))
    tokens = {token_of(event["attempt"]) for event in starts(fleet)[-len(SLEEPERS) :]}
    await asyncio.sleep(delay)
    nemesis, frozen = Nemesis(fleet), time.monotonic()
    nemesis.freeze("W1")
    nemesis.freeze("W2", ffmpeg=False)
    await fleet.launch(*HEIRS)
    if number % 2 == 0:
        await encoded(fleet, HEIRS, (number + 1) * len(SLEEPERS))
        nemesis.thaw("W2")
    second = {job_id: await client.wait(job_id) for job_id in ids}
    bytes_then = {job_id: digest(job) for job_id, job in second.items()}
    if how.long:
        await asyncio.sleep(max(0.0, frozen + 3 * TTL_SECONDS - time.monotonic()))
    nemesis.thaw_all()
    wrong = await cleaned(fleet, tokens, how)
    for job_id in ids:
        after = await client.get(job_id)
        if after.revision != second[job_id].revision or after.result != second[job_id].result:
            wrong.append(f"{job_id}: changed by the worker that came back")
        if digest(after) != bytes_then[job_id]:
            wrong.append(f"{job_id}: its bytes were changed by the worker that came back")
        workers = [attempt.worker_id for attempt in after.attempts]
        if len(workers) != 2 or workers[0] not in SLEEPERS or workers[1] not in HEIRS:
            wrong.append(f"{job_id}: ran on {workers}")
    return wrong


async def endings(fleet: Fleet, worker: str, count: int) -> list[str]:
    """How the attempts of a worker ended, as its log tells; waits a while for so many."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(30):
            while len(fleet.log(worker, "attempt ended")) < count:
                await asyncio.sleep(0.05)
    return [str(line["outcome"]) for line in fleet.log(worker, "attempt ended")]


async def encoded(fleet: Fleet, workers: Collection[str], count: int) -> None:
    """Wait until these workers have begun so many encodes since the rig is there."""
    async with asyncio.timeout(60):
        while sum(event.get("worker") in workers for event in starts(fleet)) < count:
            await asyncio.sleep(0.05)


def starts(fleet: Fleet) -> list[Event]:
    """All encodes so far."""
    return [event for event in fleet.history.events() if event["event"] == "ffmpeg_start"]


async def cleaned(fleet: Fleet, tokens: set[int], how: Play) -> list[str]:
    """Wait until nothing with these tokens is staged any more; what is wrong."""
    began = time.monotonic()
    while left := [path.name for path in (fleet.out / ".telecine").glob("*") if token_of(path.name) in tokens]:
        if time.monotonic() - began > CLEAN_SECONDS * how.leniency:
            return [f"staging is left: {left}"]
        await asyncio.sleep(0.05)
    return []


def digest(job: Job) -> str:
    """Of the bytes of its artifact."""
    path = artifact_of(job)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path else ""


SCENARIO = Scenario(
    number=2, name="zombie", title="SIGSTOP a worker past its leases: what it wakes up with changes nothing", play=play
)
