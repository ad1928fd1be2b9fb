"""Scenario 8: short jobs, each cancelled at a random moment around its end; then long ones whose FFmpeg must die.

PASS: each short job is exactly one of: cancel OK (CANCELLED or CANCELLING), ends CANCELLED, no result and no file; or cancel
FAILED_PRECONDITION (JOB_FINISHED; PUBLISHING while its files are becoming visible), ends SUCCEEDED, result and file there.
A long job's FFmpeg is dead within the cancel grace + 2 s of the answer, even deaf to SIGTERM; its slot is used again.

The stand-in works for 50 ms; an attempt takes some tenths of a second more for looking and verifying. Of three jobs, one is
cancelled at a random moment, drawn around a time that grows with each cancel that came before the end and shrinks with each
that came after it; one probes, likewise: it has no file, and so no publishing between its last step and its outcome; one is
cancelled as soon as its file is seen, which is while it publishes or right after.

Long: 1,000 short jobs, 48 long ones; short: 30 and 8.
"""

from __future__ import annotations

import asyncio
import enum
import itertools
import time
from collections import Counter
from pathlib import Path

from chaos.rig.checker import executions, judge
from chaos.rig.fleet import CANCEL_SECONDS, SLOTS, WORKERS, Fleet
from chaos.rig.quiescence import artifact_of, quiesce
from chaos.rig.scenario import Play, Round, Scenario
from chaos.rig.specs import probe_spec, stand_in_spec
from chaos.rig.stand_in import Behaviour
from support.processes import ffmpeg_children
from telecine_client import AsyncClient, Job, JobFinished, JobState, Publishing, TelecineError

WORK_SECONDS = 0.05
LONG_SECONDS = 60.0
DEAD_SECONDS = CANCEL_SECONDS + 2.0
FIRST_GUESS_SECONDS = 0.5
STEP = 1.15
LOOK_SECONDS = 0.001
ALL_SLOTS = SLOTS * len(WORKERS)


async def play(how: Play) -> Round:
    count, floods = (1000, 6) if how.long else (30, 1)
    async with how.fleet() as fleet:
        await fleet.start()
        async with fleet.client() as client:
            cancels = Cancels(fleet, client)
            await cancels.run(count)
            deaths = [await flood(fleet, client, number) for number in range(floods)]
        jobs, left = await quiesce(fleet)
        judgement = judge(fleet.history.events(), jobs, ends=("succeeded", "cancelled"))
    wrong = [*cancels.wrong, *left, *judgement.wrong]
    wrong += [f"FFmpeg lived for {death:.1f} s" for death in deaths if death > DEAD_SECONDS * how.leniency]
    answers = dict(cancels.answers)
    if cancels.ends.keys() != {"cancelled", "succeeded"}:
        wrong.append(f"the cancels did not fall around the ends: {answers}")
    figures = {
        **judgement.figures(), "answers": answers, "ends": dict(cancels.ends),
        "death_seconds": [round(death, 2) for death in deaths],
    }  # fmt: skip
    return Round(wrong=wrong, figures=figures)


class Aim(enum.StrEnum):
    """What a short job is, and when it is cancelled."""

    RANDOM = "random"
    PROBE = "probe"
    SEEN = "seen"


class Cancels:
    """The short jobs, as many at once as there are slots."""

    def __init__(self, fleet: Fleet, client: AsyncClient) -> None:
        self._fleet = fleet
        self._client = client
        self._around = dict.fromkeys(Aim, FIRST_GUESS_SECONDS)
        self.answers: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.wrong: list[str] = []

    async def run(self, count: int) -> None:
        """All of them."""
        slots = asyncio.Semaphore(ALL_SLOTS)

        async def one(aim: Aim, number: int) -> None:
            async with slots:
                await self._one(f"{aim}-{number}", aim)

        await asyncio.gather(
            *(one(aim, number) for number, aim in zip(range(count), itertools.cycle(Aim), strict=False))
        )

    async def _one(self, job_id: str, aim: Aim) -> None:
        spec = stand_in_spec(self._fleet.source, self._fleet.out, f"{job_id}.mp4", seconds=WORK_SECONDS)
        if aim is Aim.PROBE:
            spec = probe_spec(self._fleet.source)
        await self._fleet.history.call("submit", job_id, self._client.submit(spec, job_id=job_id))
        await started(self._client, job_id)
        if aim is Aim.SEEN:
            await self._seen(job_id)
        else:
            await asyncio.sleep(self._around[aim] * self._fleet.random.uniform(0.7, 1.3))
        answer = await self._fleet.history.call("cancel", job_id, self._client.cancel(job_id))
        final = await self._client.wait(job_id)
        # Too early or too late: half of all cancels come to be each.
        self._around[aim] *= STEP if final.state is JobState.CANCELLED else 1 / STEP
        self.answers[f"{aim} {said(answer)}"] += 1
        self.ends[final.state.value] += 1
        self._judge(answer, final, has_file=aim is not Aim.PROBE)

    async def _seen(self, job_id: str) -> None:
        """Until its file is there."""
        async with asyncio.timeout(60):
            while not self._file(job_id).exists():
                await asyncio.sleep(LOOK_SECONDS)

    def _file(self, job_id: str) -> Path:
        return self._fleet.out / f"{job_id}.mp4"

    def _judge(self, answer: Job | TelecineError, final: Job, *, has_file: bool) -> None:
        visible = self._file(final.job_id).exists()
        if isinstance(answer, Job):
            good = final.state is JobState.CANCELLED and final.result is None and not visible
        else:
            refused = isinstance(answer, JobFinished | Publishing)
            good = refused and final.state is JobState.SUCCEEDED and final.result is not None
            good = good and visible == has_file == (artifact_of(final) is not None)
        if not good:
            self.wrong.append(
                f"{final.job_id}: cancel answered {said(answer)}, ended {final.state}, file there: {visible}"
            )


def said(answer: Job | TelecineError) -> str:
    """In a word."""
    return answer.reason if isinstance(answer, TelecineError) else answer.state.value


async def started(client: AsyncClient, job_id: str) -> None:
    """Watch until it runs, or has ended."""
    async for job in client.watch(job_id):
        if job.state not in (JobState.WAITING, JobState.QUEUED):
            return


def encoding(fleet: Fleet) -> set[str]:
    """The jobs whose FFmpeg was started."""
    return set(executions(fleet.history.events()))


async def flood(fleet: Fleet, client: AsyncClient, number: int) -> float:
    """Long jobs in all slots, every other one deaf to SIGTERM, and as many short ones behind them; then cancel the long ones.

    How many seconds their FFmpeg lived on after the answers. The short ones must succeed in their slots.
    """
    long = [f"long-{number}-{each}" for each in range(ALL_SLOTS)]
    behind = [f"behind-{number}-{each}" for each in range(ALL_SLOTS)]
    for each, job_id in enumerate([*long, *behind]):
        behaviour = Behaviour.DEAF if each % 2 else Behaviour.COPY
        seconds = LONG_SECONDS if job_id in long else WORK_SECONDS
        spec = stand_in_spec(fleet.source, fleet.out, f"{job_id}.mp4", seconds=seconds, behaviour=behaviour)
        await fleet.history.call("submit", job_id, client.submit(spec, job_id=job_id))
    async with asyncio.timeout(30):
        while len(encoding(fleet) & set(long)) < len(long):
            await asyncio.sleep(0.1)
    await asyncio.gather(*(fleet.history.call("cancel", job_id, client.cancel(job_id)) for job_id in long))
    cancelled = time.monotonic()
    async with asyncio.timeout(2 * LONG_SECONDS):
        while ffmpeg_children(f"={fleet.tenant}~long-{number}-"):
            await asyncio.sleep(0.05)
    lived = time.monotonic() - cancelled
    for job_id in behind:
        await client.wait(job_id)
    return lived


SCENARIO = Scenario(
    number=8, name="cancel_at_end", title="cancel against completion: exactly one wins, and FFmpeg dies", play=play
)
