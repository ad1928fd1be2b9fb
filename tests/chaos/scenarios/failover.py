"""Scenario 7: the primary is killed under work; Sentinel promotes its replica.

PASS, in mode quorum with one replica: no acknowledged job is lost, each job is committed once; every scheduler accepts
submits again within the sentinels' timeouts + 5 s, without a restart; the new primary had to be given the scripts (NOSCRIPT
at least once); clients see nothing but UNAVAILABLE; at least 90 % of the attempts that ran are those that commit. With one
replica nobody can confirm a write until there is another: what was the primary comes back as a replica once the other was
promoted, as a supervisor would see to.

PASS, in mode fsync, replication paused for the last second: what that second acknowledged may be lost; in the store that
remains each job is committed at most once, none is stuck, and clients see nothing but UNAVAILABLE.

Long: 300 jobs each; short: 12 each. A round is one failover in each mode; the design's five are `--rounds 5`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import redis

from chaos.rig.checker import FinalJob, judge
from chaos.rig.fleet import SCHEDULERS, WORKERS
from chaos.rig.flow import Flow, until_few
from chaos.rig.history import Event
from chaos.rig.quiescence import quiesce
from chaos.rig.scenario import Play, Round, Scenario
from chaos.rig.specs import job_id_of, stand_in_spec, token_of
from chaos.single_calls import SingleCalls
from support.redis_server import RedisServer
from support.replicas import Pair, admin
from support.sentinels import DOWN_MILLISECONDS, SERVICE, Sentinels

# As tests/support/sentinels.py sets it.
FAILOVER_SECONDS = 3.0
BACK_SECONDS = DOWN_MILLISECONDS / 1000 + FAILOVER_SECONDS + 5.0
PAUSED_SECONDS = 1.0
KEPT = 0.9
PATIENCE_SECONDS = 60.0
# For the work that is left when all is submitted, but for as few jobs as get done while all gets quiet.
DONE_SECONDS = 900.0
FEW = 8
CALLERS = 8
AGAIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """So many jobs of *shortest* to *longest* seconds; the primary dies when *before_kill* of them were acknowledged."""

    jobs: int
    before_kill: int
    shortest: float
    longest: float
    schedulers: tuple[str, ...]
    workers: tuple[str, ...]


LONG = Size(jobs=300, before_kill=150, shortest=0.5, longest=2.0, schedulers=SCHEDULERS, workers=WORKERS)
SHORT = Size(jobs=12, before_kill=6, shortest=1.0, longest=2.5, schedulers=SCHEDULERS[:2], workers=WORKERS[:2])


class SentinelStore:
    """Stands where a fleet has its Redis: a pair of servers that sentinels watch."""

    def __init__(self, pair: Pair, sentinels: Sentinels) -> None:
        self._pair = pair
        self._sentinels = sentinels
        self.primary: RedisServer = pair.primary
        self.url = sentinels.url

    @property
    def socket(self) -> Path:
        """Of the primary of the moment."""
        return self.primary.socket

    def stop(self) -> None:
        """The pair ends with its own context."""

    def pause_replication(self) -> None:
        """The replica hears nothing more, and may be promoted all the same."""
        with admin(self._pair.replica) as client:
            # A primary without a password refuses whoever brings one.
            client.config_set("masterauth", "nobody-asked")
        with admin(self._pair.primary) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "replica")

    def kill_primary(self) -> None:
        """SIGKILL."""
        self._pair.primary.kill()
        self.primary = self._pair.replica

    async def promoted(self) -> None:
        """Until every sentinel says that the replica is the primary: before, they would make it one again who comes back."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            for port in self._sentinels.ports:
                with redis.Redis(port=port, socket_timeout=5) as client:
                    while client.sentinel_get_master_addr_by_name(SERVICE)[1] != self.primary.port:
                        await asyncio.sleep(0.02)

    async def rejoin(self) -> None:
        """What was the primary comes back, and follows the other."""
        old = self._pair.primary
        old.settings["replicaof"] = f"127.0.0.1 {self.primary.port}"
        await asyncio.to_thread(old.start)

    def no_scripts(self) -> int:
        """How often the primary did not know a script."""
        with admin(self.primary) as client:
            return int(client.info("errorstats").get("errorstat_NOSCRIPT", {}).get("count", 0))


class Failover:
    """One failover in one mode; *quorum* or with replication paused."""

    def __init__(self, how: Play, *, quorum: bool) -> None:
        self._size = LONG if how.long else SHORT
        self._quorum = quorum
        profile = {"DURABILITY": "quorum", "QUORUM_REPLICAS": "1"} if quorum else {"DURABILITY": "fsync"}
        self._fleet = how.fleet(**profile)
        self._open = AsyncExitStack()
        self._acknowledged = 0
        self._wrong: list[str] = []

    async def play(self) -> Round:
        """From the first job to the last."""
        async with self._fleet as fleet, self._open:
            store = self._put_store()
            await fleet.start(self._size.schedulers, self._size.workers)
            callers = [
                await self._open.enter_async_context(SingleCalls(child.ready["grpc"], fleet.tenant, fleet.history))
                for child in fleet.schedulers.values()
            ]
            load = asyncio.create_task(self._load(callers))
            await self._until_kill(load)
            if not self._quorum:
                store.pause_replication()
                await asyncio.sleep(PAUSED_SECONDS)
            fleet.history.note("nemesis", action="kill", target="primary")
            store.kill_primary()
            killed = time.monotonic()
            back = asyncio.gather(*(self._accepted(caller) for caller in callers))
            await store.promoted()
            promoted = time.monotonic() - killed
            if self._quorum:
                await store.rejoin()
            await back
            served = time.monotonic() - killed
            await load
            async with fleet.client() as client:
                await until_few(client, self._rest)
            jobs, left = await quiesce(fleet)
            no_scripts = store.no_scripts()
            history = fleet.history.events()
        figures = {"promoted_seconds": round(promoted, 2), "served_seconds": round(served, 2), "no_scripts": no_scripts}
        self._wrong += left
        if served > BACK_SECONDS:
            self._wrong.append(f"it took {served:.1f} s from the kill until every scheduler accepted submits")
        if not no_scripts:
            self._wrong.append("the new primary knew all scripts: nothing was asked of it before")
        return self._judged(history, jobs, figures)

    def _put_store(self) -> SentinelStore:
        """In the place of the fleet's."""
        self._fleet.system.redis.stop()
        settings = {"min_replicas_to_write": "1"} if self._quorum else {}
        pair = self._open.enter_context(Pair(**settings))
        sentinels = self._open.enter_context(Sentinels(pair))
        store = SentinelStore(pair, sentinels)
        self._fleet.system.redis = store  # type: ignore[assignment]
        return store

    async def _load(self, callers: Sequence[SingleCalls]) -> None:
        """Every job, some at a time, each until it is acknowledged."""
        numbers = iter(range(self._size.jobs))

        async def some(caller: SingleCalls) -> None:
            for number in numbers:
                await self._submit(caller, f"job-{number}")
                self._acknowledged += 1
                # As fast as they can be done, so that there is work all the while.
                await asyncio.sleep(self._pause)

        await asyncio.gather(*(some(callers[number % len(callers)]) for number in range(CALLERS)))

    @property
    def _pause(self) -> float:
        size = self._size
        return (size.shortest + size.longest) / 2 * CALLERS / (2 * len(size.workers)) / 2

    async def _submit(self, caller: SingleCalls, job_id: str) -> None:
        fleet, size = self._fleet, self._size
        seconds = fleet.random.uniform(size.shortest, size.longest)
        spec = stand_in_spec(fleet.source, fleet.out, f"{job_id}.mp4", seconds=seconds)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (answer := await caller.submit(job_id, spec)).outcome != "ok":
                if answer.outcome == "refused":
                    self._wrong.append(f"{job_id}: a client was answered {answer.code.name}")
                await asyncio.sleep(AGAIN_SECONDS)

    async def _accepted(self, caller: SingleCalls) -> None:
        """Until this scheduler accepts one more job."""
        await self._submit(caller, f"after-{id(caller)}")

    async def _until_kill(self, load: asyncio.Task[None]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self._acknowledged < self._size.before_kill or self._running() < len(self._size.workers):
                if load.done():
                    load.result()
                await asyncio.sleep(0.05)

    @property
    def _rest(self) -> Flow:
        size = self._size
        return Flow(
            jobs=size.jobs, over=0, shortest=size.shortest, longest=size.longest, few=FEW, patience=DONE_SECONDS
        )

    def _running(self) -> int:
        return len(running_at_kill(self._fleet.history.events()))

    def _judged(self, history: Sequence[Event], jobs: Mapping[str, FinalJob], figures: dict[str, object]) -> Round:
        running = running_at_kill(history)
        kept = sum(token in jobs[job].committed for job, token in running.items() if job in jobs)
        figures |= {"running": len(running), "kept": kept}
        if self._quorum:
            judgement = judge(history, jobs)
            self._wrong += judgement.wrong
            if kept < KEPT * len(running):
                self._wrong.append(f"{kept} of {len(running)} attempts that ran are those that committed")
        else:
            # What the old primary told of commits is not what there is.
            judgement = judge([event for event in history if event["event"] != "commit"], jobs)
            self._wrong += [f"{job}: committed more than once" for job in judgement.duplicated]
            self._wrong += [f"{job}: ended {final.state}" for job, final in jobs.items() if final.state != "succeeded"]
        return Round(wrong=self._wrong, figures={**judgement.figures(), **figures})


def running_at_kill(history: Sequence[Event]) -> dict[str, int]:
    """Jobs and tokens of the stand-ins that ran when the primary was killed."""
    running: dict[str, int] = {}
    for event in history:
        if event["event"] == "nemesis" and event["target"] == "primary":
            return running
        if event["event"] == "ffmpeg_start":
            running[job_id_of(event["attempt"])] = token_of(event["attempt"])
        elif event["event"] == "ffmpeg_stop":
            running.pop(job_id_of(event["attempt"]), None)
    return running


async def play(how: Play) -> Round:
    """Both modes."""
    quorum = await Failover(how, quorum=True).play()
    paused = await Failover(how, quorum=False).play()
    wrong = [f"quorum: {each}" for each in quorum.wrong] + [f"paused: {each}" for each in paused.wrong]
    return Round(wrong=wrong, figures={"quorum": dict(quorum.figures), "paused": dict(paused.figures)})


SCENARIO = Scenario(
    number=7,
    name="failover",
    title="the primary dies and its replica takes over: what was acknowledged is there",
    play=play,
)
