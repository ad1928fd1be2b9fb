"""Scenario 6: what was acknowledged is durable.

Twenty clients submit, Redis is killed at a random moment and started again. PASS: every acknowledged job is there; a job
whose submit was not answered exists exactly once after its submit was repeated; invariants hold. Where there is a C compiler
Redis loses what it had not synced besides, as from a loss of power (`chaos.power.disk`): SIGKILL alone leaves it in the
page cache, and cannot tell `always` from `everysec`.

Negative controls, without which the above would prove nothing: mode memory without the append-only file, and mode everysec
with a loss of power, must lose acknowledged jobs; with a disk whose fsync never returns nothing may be acknowledged.

Mode fsync with WAITAOF in the place of `appendfsync always` keeps the same promise, or the scheduler refuses to start: there
are servers whose WAITAOF under everysec answers before it has synced (redis/redis pull request 13793).

Long: 2,000 submits a kill and three schedulers; short: 300 and one, and no kill without a loss of power where that can be
had. A round is one kill in each mode; the design's ten are `--rounds 10`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import redis

from chaos.power.disk import Disk, compiler
from chaos.power.modes import ALWAYS_POWER, MODES, WAITAOF_POWER, Mode, impossible
from chaos.rig.checker import FinalJob, Judgement, judge
from chaos.rig.fleet import SCHEDULERS
from chaos.rig.scenario import Play, Round, Scenario
from chaos.rig.specs import stand_in_spec
from chaos.single_calls import PROMISED_SECONDS, Answer, SingleCalls
from support.invariants import Keyspace
from support.redis_server import RedisServer

CLIENTS = 20
# So many are acknowledged after a sync of everysec before the power goes: they cannot have been synced.
UNSYNCED = 20
PATIENCE_SECONDS = 60.0
# Complaints of one trial.
MOST_TOLD = 5
# The exit code of a scheduler that refuses its store.
UNFIT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much a trial does."""

    submits: int
    schedulers: tuple[str, ...]


SHORT = Size(submits=300, schedulers=SCHEDULERS[:1])
LONG = Size(submits=2000, schedulers=SCHEDULERS)


class Refused(Exception):
    """The scheduler does not start in this mode; the message is its own."""


class Trial:
    """One mode: enter it, then `kill_once` as often as wanted, or `stop_disk`."""

    def __init__(self, mode: Mode, how: Play) -> None:
        self._mode = mode
        self._size = LONG if how.long else SHORT
        self.fleet = how.fleet(DURABILITY=mode.durability)
        self._open = AsyncExitStack()
        self._tried: list[str] = []
        self._acknowledged: set[str] = set()
        self._unknown: set[str] = set()
        # How many submits were not answered.
        self.unknown = 0

    async def __aenter__(self) -> Trial:
        try:
            await self._begin()
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def _begin(self) -> None:
        await self._open.enter_async_context(self.fleet)
        self.store, self.disk = self._put_store()
        self._open.callback(self._end_store)
        await self._start_schedulers()
        self._spec = stand_in_spec(self.fleet.source, self.fleet.out, "out.mp4", seconds=1)
        addresses = [child.ready["grpc"] for child in self.fleet.schedulers.values()]
        self._clients = [
            await self._open.enter_async_context(
                SingleCalls(addresses[number % len(addresses)], self.fleet.tenant, self.fleet.history)
            )
            for number in range(CLIENTS)
        ]

    async def _start_schedulers(self) -> None:
        try:
            await self.fleet.start(self._size.schedulers, ())
        except AssertionError:
            first = self.fleet.child(self._size.schedulers[0])
            if self._mode.may_be_refused and first.wait() == UNFIT:
                raise Refused(first.log.read_text().strip()) from None
            raise

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    def _put_store(self) -> tuple[RedisServer, Disk]:
        """A server of this mode in the place of the fleet's; on a disk that can lose its power."""
        system = self.fleet.system
        system.redis.stop()
        folder, disk = system.folder / "store", Disk(folder=system.folder / "disk")
        for each in (folder, disk.folder):
            each.mkdir()
        mode = self._mode
        # A rewrite would be a second file in flight; what it does to durability is the server's own business.
        store = RedisServer(
            folder, appendonly=mode.appendonly, appendfsync=mode.appendfsync, auto_aof_rewrite_percentage="0"
        )
        if compiler():
            disk.build()
            store.env = disk.env
        system.redis = store
        store.start()
        return store, disk

    def _end_store(self) -> None:
        # A server whose fsync hangs does not end when it is asked to.
        self.store.kill()
        self.disk.mend()

    async def kill_once(self) -> int:
        """Submit, kill Redis meanwhile, start it again, repeat what was not answered; how many bytes the disk lost."""
        begun, first = len(self._tried), len(self._acknowledged)
        kill_at = first + self.fleet.random.randrange(self._size.submits // 10, self._size.submits * 9 // 10)
        back = asyncio.Event()
        loads = [asyncio.create_task(self._load(client, begun, back)) for client in self._clients]
        try:
            await self._until(lambda: len(self._acknowledged) >= kill_at, loads)
            if self._mode.keeps:
                await asyncio.sleep(self.fleet.random.uniform(0, 0.05))
            else:
                await self._until_unsynced(loads)
            self.store.kill()
            lost_bytes = self.disk.lose_power(self.store.folder) if self._mode.power_lost else 0
            await asyncio.to_thread(self.store.start)
            back.set()
            await asyncio.gather(*loads)
        finally:
            for load in loads:
                load.cancel()
        await self._repeat()
        return lost_bytes

    async def _load(self, client: SingleCalls, begun: int, back: asyncio.Event) -> None:
        """Submit one after the other until all of this kill's are tried and Redis is back."""
        while len(self._tried) - begun < self._size.submits or not back.is_set():
            job_id = f"job-{len(self._tried)}"
            self._tried.append(job_id)
            answer = await client.submit(job_id, self._spec)
            assert answer.outcome != "refused", f"{job_id}: {answer.code}"
            assert answer.seconds < PROMISED_SECONDS
            if answer.outcome == "ok":
                self._acknowledged.add(job_id)
            else:
                self._unknown.add(job_id)
                self.unknown += 1
                await back.wait()

    async def _until(self, condition: object, loads: Iterable[asyncio.Task[None]] = ()) -> None:
        """Look until it holds; what ends a load before is raised."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition():  # type: ignore[operator]
                for load in loads:
                    if load.done():
                        load.result()
                await asyncio.sleep(0.001)

    async def _until_unsynced(self, loads: list[asyncio.Task[None]]) -> None:
        """Until some were acknowledged since the last sync; those of everysec come once a second."""
        if self._mode.power_lost:
            synced = self.disk.sync_count(self.store.folder)
            await self._until(lambda: self.disk.sync_count(self.store.folder) > synced, loads)
        acknowledged = len(self._acknowledged)
        await self._until(lambda: len(self._acknowledged) >= acknowledged + UNSYNCED, loads)

    async def _repeat(self) -> None:
        """Submit again what was not answered, until it is."""
        client = self._clients[0]
        async with asyncio.timeout(PATIENCE_SECONDS):
            for job_id in sorted(self._unknown):
                while (await client.submit(job_id, self._spec)).outcome != "ok":
                    await asyncio.sleep(0.1)
                self._acknowledged.add(job_id)
        self._unknown.clear()

    async def stop_disk(self) -> list[Answer]:
        """No fsync returns from some moment on; the answers to what is submitted afterwards."""
        for client in self._clients:
            assert (await client.submit(f"before-{id(client)}", self._spec)).outcome == "ok"
        self.disk.stop()
        return await asyncio.gather(
            *(client.submit(f"after-{number}", self._spec) for number, client in enumerate(self._clients))
        )

    async def judge(self) -> Judgement:
        """All that the store lists, against all that clients were told."""
        async with self.fleet.client() as client:
            listed = [job async for job in client.list(page_size=1000)]
        jobs = {job.job_id: FinalJob(state=job.state.value) for job in listed}
        assert len(jobs) == len(listed)
        with redis.Redis(unix_socket_path=str(self.store.socket)) as connection:
            assert [] == Keyspace(connection).violations()
        return judge(self.fleet.history.events(), jobs, ends=("queued",))


async def one_mode(mode: Mode, how: Play) -> Round:
    """Wrong is what was lost, or a control that loses nothing."""
    async with Trial(mode, how) as trial:
        cut_bytes = await trial.kill_once()
        judgement = await trial.judge()
        wrong = list(judgement.wrong)
        if not mode.keeps:
            wrong = [] if judgement.lost else ["nothing was lost: the scenario cannot tell what is durable"]
        figures = judgement.figures() | {"kills": 1, "unknown": trial.unknown, "cut_bytes": cut_bytes}
        return Round(wrong=wrong[:MOST_TOLD], figures=figures)


async def stopped_disk(mode: Mode, how: Play) -> Round:
    """The control in which fsync never returns."""
    async with Trial(mode, how) as trial:
        answers = await trial.stop_disk()
    wrong = [f"answered {answer.code}" for answer in answers if answer.outcome != "unknown"]
    slowest = max(answer.seconds for answer in answers)
    if slowest >= PROMISED_SECONDS:
        wrong.append(f"a submit waited {slowest:.1f} s")
    return Round(wrong=wrong[:MOST_TOLD], figures={"unanswered": len(answers), "slowest_seconds": round(slowest, 3)})


async def play(how: Play) -> Round:
    """One kill in each mode, and both ways to wait for a disk that stops."""
    wrong: list[str] = []
    figures: dict[str, object] = {}
    modes = MODES if how.long or not compiler() else [mode for mode in MODES if mode.power_lost or not mode.keeps]
    trials = [(mode.name, mode, one_mode) for mode in modes]
    trials += [(mode.name.replace("power", "stopped"), mode, stopped_disk) for mode in (ALWAYS_POWER, WAITAOF_POWER)]
    for name, mode, trial in trials:
        if why_not := impossible(mode):
            figures[name] = {"skipped": why_not}
            continue
        try:
            came = await trial(mode, how)
        except Refused as refused:
            figures[name] = {"refused": str(refused)}
            continue
        figures[name] = dict(came.figures)
        wrong += [f"{name}: {each}" for each in came.wrong]
    return Round(wrong=wrong, figures=figures)


SCENARIO = Scenario(
    number=6, name="durable", title="What was acknowledged survives SIGKILL of Redis and a loss of power", play=play
)
