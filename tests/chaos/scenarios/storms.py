"""Scenario 11: poison and storms.

Jobs that SIGKILL their worker (real workers), jobs that fail retryably, and good jobs come together; then all workers are
killed at once under running jobs, and forty come back together. Forty workers are scripted (`chaos.crowd`) and do what
stand-ins would; with them work the real ones, which alone serve the queue of the poison.

PASS: each poison job is FAILED(POISON) at the first crash with which it has three on at least two workers; the good jobs
succeed, and the p95 of their wait is less than three times what it is without the others (or than a second: without them it
is some milliseconds); no 100 ms hold more than a tenth of the retries' starts; all forty serve within 15 s; every job that
ran when they were killed succeeds. Short: half as many jobs, and a quarter of the retries within 100 ms, because they are
fewer and spread over less.

That Hellos are admitted a few at a time is not seen from outside: what the schedulers count of them is among the figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration

from chaos.crowd.process import crowd
from chaos.metrics_page import summed
from chaos.rig.checker import judge
from chaos.rig.fleet import SCHEDULERS, WORKERS, Fleet
from chaos.rig.quiescence import quiesce
from chaos.rig.scenario import Play, Round, Scenario
from chaos.rig.specs import stand_in_spec
from chaos.rig.stand_in import Behaviour
from support.processes import Child
from telecine.v1 import media_pb2
from telecine_client import AsyncClient, AttemptOutcome, Job, JobState

CROWD = 40
SLOTS = 2
POISON_QUEUE = "poison"
BUCKET_SECONDS = 0.1
WAIT_FACTOR = 3.0
LEAST_WAIT_SECONDS = 1.0
SERVING_SECONDS = 15.0
SUPERVISE_SECONDS = 0.1
PATIENCE_SECONDS = 180.0
# Of the jobs that run when everybody is killed.
RUN_SECONDS = 2.0
CRASHES, CRASHED_WORKERS = 3, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How many jobs of each sort come within *over* seconds; how often a failing one is tried, how long it waits, and
    which share of the retries may begin within BUCKET_SECONDS.
    """

    good: int
    failing: int
    failing_attempts: int
    poison: int
    over: float
    backoff_seconds: int
    largest_bucket: float
    schedulers: tuple[str, ...]
    real: tuple[str, ...]


LONG = Size(
    good=200, failing=200, failing_attempts=3, poison=5, over=10.0, backoff_seconds=10, largest_bucket=0.1,
    schedulers=SCHEDULERS, real=WORKERS,
)  # fmt: skip
SHORT = Size(
    good=100, failing=100, failing_attempts=2, poison=2, over=2.0, backoff_seconds=6, largest_bucket=0.25,
    schedulers=SCHEDULERS[:2], real=WORKERS[:2],
)  # fmt: skip


class Storms:
    """The scenario's jobs, and what was seen of them."""

    def __init__(self, fleet: Fleet, size: Size, client: AsyncClient) -> None:
        self._fleet = fleet
        self._size = size
        self._client = client

    async def submit(self, job_id: str, spec: media_pb2.JobSpec, after_seconds: float = 0) -> None:
        """Some time from now."""
        await asyncio.sleep(after_seconds)
        await self._fleet.history.call("submit", job_id, self._client.submit(spec, job_id=job_id))

    def spec(self, name: str, behaviour: Behaviour, seconds: float) -> media_pb2.JobSpec:
        return stand_in_spec(self._fleet.source, self._fleet.out, f"{name}.mp4", seconds=seconds, behaviour=behaviour)

    async def good(self, prefix: str) -> None:
        """The good jobs, spread over the time."""
        await asyncio.gather(*(
            self.submit(
                f"{prefix}-{number}", self.spec(f"{prefix}-{number}", Behaviour.COPY, self._fleet.random.uniform(0.1, 0.4)),
                number * self._size.over / self._size.good,
            )
            for number in range(self._size.good)
        ))  # fmt: skip

    async def failing(self) -> None:
        """Jobs that fail retryably, all at once."""
        spec = self.spec("failing", Behaviour.FAIL, 0.05)
        spec.retry_policy.max_attempts = self._size.failing_attempts
        spec.retry_policy.initial_backoff.CopyFrom(Duration(seconds=self._size.backoff_seconds))
        await asyncio.gather(*(self.submit(f"failing-{number}", spec) for number in range(self._size.failing)))

    async def poison(self) -> None:
        """Jobs that kill their worker, with as many attempts as they like."""
        for number in range(self._size.poison):
            spec = self.spec(f"poison-{number}", Behaviour.KILL_WORKER, 0.2)
            spec.queue = POISON_QUEUE
            spec.retry_policy.max_attempts = 20
            spec.retry_policy.initial_backoff.CopyFrom(Duration(seconds=1))
            await self.submit(f"poison-{number}", spec)

    async def ended(self, prefix: str, count: int) -> list[Job]:
        """The jobs of that name when all have ended."""
        ids = [f"{prefix}-{number}" for number in range(count)]
        async with asyncio.timeout(PATIENCE_SECONDS):
            return list(await asyncio.gather(*(self._client.wait(job_id) for job_id in ids)))

    async def running(self, prefix: str, count: int) -> None:
        """Until all of them run."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                listed = [job async for job in self._client.list(states=[JobState.RUNNING], page_size=1000)]
                if sum(job.job_id.startswith(prefix) for job in listed) >= count:
                    return
                await asyncio.sleep(0.05)


async def play(how: Play) -> Round:
    """Baseline, storm, and the death and return of everybody."""
    size = LONG if how.long else SHORT
    async with how.fleet() as fleet:
        await fleet.start(size.schedulers, ())
        for name in size.real:
            fleet.add_worker(name, TELECINE_QUEUES=f"default,{POISON_QUEUE}")
        await fleet.launch(*size.real)
        mass = crowd(fleet, CROWD, slots=SLOTS)
        await asyncio.to_thread(mass.start)
        async with fleet.client() as client:
            storms = Storms(fleet, size, client)
            await storms.good("baseline")
            baseline = await storms.ended("baseline", size.good)
            async with revived(fleet, size.real):
                await asyncio.gather(storms.good("good"), storms.failing(), storms.poison())
                good, poison = await storms.ended("good", size.good), await storms.ended("poison", size.poison)
                failing = await storms.ended("failing", size.failing)
            serving = await all_at_once(fleet, storms, mass)
        hellos = {
            name: value
            for name, value in summed(fleet.schedulers.values()).items()
            if "hello" in name and "_created" not in name
        }
        jobs, wrong = await quiesce(fleet)
        judgement = judge(fleet.history.events(), jobs, ends=("succeeded", "failed"))
    retried = starts(failing)
    waits = p95(baseline), p95(good)
    wrong += [*judgement.wrong, *of_poison(poison), *of_failing(failing, size.failing_attempts)]
    wrong += [f"{job}: ended {final.state}" for job, final in jobs.items()
              if job.startswith(("good", "baseline", "struck")) and final.state != "succeeded"]  # fmt: skip
    if waits[1] >= max(WAIT_FACTOR * waits[0], LEAST_WAIT_SECONDS):
        wrong.append(f"good jobs waited {waits[1]:.3f} s (p95), without the others {waits[0]:.3f} s")
    if largest_bucket(retried) > size.largest_bucket:
        wrong.append(f"{largest_bucket(retried):.0%} of {len(retried)} retries began within {BUCKET_SECONDS} s")
    if serving > SERVING_SECONDS:
        wrong.append(f"it took {serving:.1f} s until all {CROWD} workers served")
    figures = {
        **judgement.figures(), "crashes": sum(job.attempt_count for job in poison), "retries": len(retried),
        "largest_bucket": round(largest_bucket(retried), 3), "baseline_p95_seconds": round(waits[0], 3),
        "storm_p95_seconds": round(waits[1], 3), "serving_seconds": round(serving, 2), **hellos,
    }  # fmt: skip
    return Round(wrong=wrong, figures=figures)


@contextlib.asynccontextmanager
async def revived(fleet: Fleet, names: Sequence[str]) -> AsyncGenerator[None, None]:
    """Whoever of these workers dies within is started again, as a supervisor would."""
    over = asyncio.Event()

    async def supervise(child: Child) -> None:
        while not over.is_set():
            assert child.process
            if child.process.poll() is not None:
                child.wait()
                child.launch()
                await asyncio.to_thread(child.wait_ready)
            await asyncio.sleep(SUPERVISE_SECONDS)

    supervising = [asyncio.create_task(supervise(fleet.workers[name])) for name in names]
    try:
        yield
    finally:
        over.set()
        await asyncio.gather(*supervising)


async def all_at_once(fleet: Fleet, storms: Storms, mass: Child) -> float:
    """Kill every worker under running jobs, and bring the forty back; how long until all of them serve."""
    count = CROWD * SLOTS
    for number in range(count):
        await storms.submit(f"struck-{number}", storms.spec(f"struck-{number}", Behaviour.COPY, RUN_SECONDS))
    await storms.running("struck-", count * 9 // 10)
    fleet.history.note("nemesis", action="kill", target="all workers")
    for child in (mass, *fleet.workers.values()):
        child.kill()
    began = time.monotonic()
    again = crowd(fleet, CROWD, slots=SLOTS)
    await asyncio.to_thread(again.start)
    return time.monotonic() - began


def p95(jobs: Sequence[Job]) -> float:
    """Of the times from submission to the first start, in seconds."""
    waits = sorted(
        (job.attempts[0].start_time - job.create_time).total_seconds()
        for job in jobs
        if job.attempts and job.attempts[0].start_time and job.create_time
    )
    return waits[int(len(waits) * 0.95)]


def starts(jobs: Sequence[Job]) -> list[float]:
    """When attempts after the first began."""
    later = (attempt for job in jobs for attempt in job.attempts[1:])
    return [attempt.start_time.timestamp() for attempt in later if attempt.start_time]


def largest_bucket(times: Sequence[float]) -> float:
    """The share of the fullest one."""
    buckets = Counter(int(each / BUCKET_SECONDS) for each in times)
    return max(buckets.values(), default=0) / max(len(times), 1)


def of_poison(jobs: Sequence[Job]) -> list[str]:
    """What is wrong with the jobs that kill their workers."""
    wrong = []
    for job in jobs:
        reason = job.failure.reason if job.failure else None
        if (job.state, reason, job.recent_changes[-1].reason) != (JobState.FAILED, "POISON", "POISON"):
            wrong.append(
                f"{job.job_id}: ended {job.state}, {reason}, {job.recent_changes[-1].reason}; not FAILED(POISON)"
            )
        lost = [attempt.worker_id for attempt in job.attempts if attempt.outcome is AttemptOutcome.LOST]
        if not poisonous(lost) or poisonous(lost[:-1]):
            wrong.append(f"{job.job_id}: ended after crashes of {lost}")
    return wrong


def poisonous(lost: Sequence[str]) -> bool:
    """Whether crashes of these workers end a job."""
    return len(lost) >= CRASHES and len(set(lost)) >= CRASHED_WORKERS


def of_failing(jobs: Sequence[Job], attempts: int) -> list[str]:
    """What is wrong with the jobs that fail each time."""
    return [
        f"{job.job_id}: ended {job.state} after {job.attempt_count} attempts, not FAILED after {attempts}"
        for job in jobs
        if (job.state, job.attempt_count) != (JobState.FAILED, attempts)
    ]


SCENARIO = Scenario(
    number=11, name="storms", title="poison ends after three crashes and harms nobody; forty workers come back at once",
    play=play,
)  # fmt: skip
