"""Scenario 12: watchers behind proxies that stall for up to 15 s and then let late answers pass or break (RST) their
connections, while the schedulers are restarted one after the other; and watchers that never read.

PASS: every other watcher gets the end of its job exactly once, and revisions that rise strictly over all its streams; it
knows every change of state, because snapshots that were left out are made up for by `recent_changes` (WatchJob has no
`resync`: it conflates); the end comes within 3 s after its commit where the stream was open and undisturbed from then on; a
scheduler's memory grows by at most 100 MB; where a watcher's host is gone the scheduler ends the watch within 30 s; jobs get
done at least 95 % as fast as without watchers.

A watcher that hangs, and whose connection lives, is not closed: it costs one snapshot (ARCHITECTURE.md: bounded memory by flow
control, no cut-off to tune). That is looked at by the bound of memory, and by schedulers that stop in time in spite of it.

Half of the watchers are the client's, half bare WatchJobs. Long: 1,000 watchers, 100 jobs, 50 that never read, three
restarts; short: 100, 20, 6 and one, stalls of up to 3 s, 75 % (CI shares its cores), and no host that is gone: noticing takes
15 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from chaos.crowd.process import crowd
from chaos.rig.checker import judge
from chaos.rig.fleet import SCHEDULERS, Fleet
from chaos.rig.quiescence import quiesce
from chaos.rig.scenario import Play, Round, Scenario
from chaos.rig.specs import stand_in_spec
from chaos.watchers.memory import Memory
from chaos.watchers.silent import SilentWatchers, watches
from chaos.watchers.watcher import BareWatch, Seen, client_watch
from chaos.watchers.weather import Weather
from telecine_client import AsyncClient, Job, JobState

LOAD_QUEUE = "load"
LOAD_WORKERS, LOAD_SLOTS, LOAD_SECONDS = 2, 2, 0.5
# What there is of it besides what is measured: throughput is looked at as soon as all watches are open.
LOAD_AHEAD_SECONDS = 10.0
LOAD_PER_SECOND = LOAD_WORKERS * LOAD_SLOTS / LOAD_SECONDS
# Watchers that share a client, its connections and their weather.
GROUP = 20
LATE_SECONDS = 3.0
# From the end of a job to the last watcher that knows, whatever the weather.
LATEST_SECONDS = 60.0
GROWTH_MB = 100.0
STOP_SECONDS = 15.0
GONE_SECONDS = 30.0
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """*measured_seconds*: of each of the two looks at the throughput; *longest* and *shortest*: of the watched jobs."""

    watchers: int
    jobs: int
    silent: int
    worst_stall_seconds: float
    measured_seconds: float
    shortest_seconds: float
    longest_seconds: float
    least_throughput: float
    schedulers: tuple[str, ...]
    restarts: int
    hosts_go: bool


LONG = Size(
    watchers=1000, jobs=100, silent=50, worst_stall_seconds=15, measured_seconds=15, shortest_seconds=5,
    longest_seconds=60, least_throughput=0.95, schedulers=SCHEDULERS, restarts=3, hosts_go=True,
)  # fmt: skip
SHORT = Size(
    watchers=100, jobs=20, silent=6, worst_stall_seconds=3, measured_seconds=2, shortest_seconds=2, longest_seconds=8,
    least_throughput=0.75, schedulers=SCHEDULERS[:2], restarts=1, hosts_go=False,
)  # fmt: skip


class Torture:
    """The watched jobs of one round, their watchers, and what was seen."""

    def __init__(self, fleet: Fleet, size: Size, client: AsyncClient) -> None:
        self._fleet = fleet
        self._size = size
        self._client = client
        self._load = 0
        self.seen: dict[Seen, Weather] = {}
        self.bare: list[Seen] = []
        self.stops: list[float] = []

    async def submit(self, prefix: str, count: int, seconds: Sequence[float], queue: str) -> list[str]:
        """So many jobs at once; their ids."""
        ids = [f"{prefix}-{number}" for number in range(count)]
        specs = []
        for number, job_id in enumerate(ids):
            lasts = seconds[number % len(seconds)]
            specs.append(stand_in_spec(self._fleet.source, self._fleet.out, f"{job_id}.mp4", seconds=lasts))
            specs[-1].queue = queue
        await asyncio.gather(*(
            self._fleet.history.call("submit", job_id, self._client.submit(spec, job_id=job_id))
            for job_id, spec in zip(ids, specs, strict=True)
        ))  # fmt: skip
        return ids

    async def load(self) -> None:
        """Jobs that keep its workers busy for as long as throughput is looked at."""
        seconds = 3 * self._size.measured_seconds + LOAD_AHEAD_SECONDS
        self._load = int(seconds * LOAD_PER_SECOND)
        await self.submit("load", self._load, [LOAD_SECONDS], LOAD_QUEUE)

    async def watched_jobs(self) -> list[str]:
        """Running for a random while each."""
        size, draw = self._size, self._fleet.random.uniform
        lasts = [draw(size.shortest_seconds, size.longest_seconds) for _ in range(size.jobs)]
        return await self.submit("watched", size.jobs, lasts, "default")

    async def throughput(self) -> float:
        """How many jobs of the load succeed in a second."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (before := await self._succeeded()):
                await asyncio.sleep(0.05)
        began = time.monotonic()
        await asyncio.sleep(self._size.measured_seconds)
        after = await self._succeeded()
        return (after - before) / (time.monotonic() - began)

    async def _succeeded(self) -> int:
        return (await self._client.queue_stats(LOAD_QUEUE)).jobs_by_state.get(JobState.SUCCEEDED, 0)

    async def unloaded(self) -> None:
        """Until the load is done, too."""
        async with asyncio.timeout(PATIENCE_SECONDS + self._load / LOAD_PER_SECOND):
            while await self._succeeded() < self._load:
                await asyncio.sleep(0.5)

    @contextlib.asynccontextmanager
    async def watching(self, ids: Sequence[str]) -> AsyncGenerator[None, None]:
        """Every watcher of *ids*; leaving waits until each knows the end of its job."""
        async with AsyncExitStack() as stack:
            tasks: list[asyncio.Task[None]] = []
            for first in range(0, self._size.watchers, GROUP):
                numbers = range(first, min(first + GROUP, self._size.watchers))
                tasks += await self._group(stack, [Seen(ids[number % len(ids)]) for number in numbers], first)
            yield
            ended, running = await asyncio.wait(tasks, timeout=self._size.longest_seconds + LATEST_SECONDS)
            for task in running:
                task.cancel()
            for task in ended:
                task.result()

    async def _group(self, stack: AsyncExitStack, group: Sequence[Seen], first: int) -> list[asyncio.Task[None]]:
        weather = await stack.enter_async_context(
            Weather(
                addresses_of(self._fleet),
                worst_seconds=self._size.worst_stall_seconds,
                seed=self._fleet.random.randrange(1 << 30),
            )
        )
        self.seen.update(dict.fromkeys(group, weather))
        if first // GROUP % 2:
            client = await stack.enter_async_context(self._fleet.client(",".join(weather.addresses)))
            return [asyncio.create_task(client_watch(client, seen)) for seen in group]
        bare = BareWatch(weather.addresses, self._fleet.tenant)
        stack.push_async_callback(bare.close)
        self.bare += group
        return [asyncio.create_task(bare.watch(seen)) for seen in group]

    async def roll(self) -> None:
        """Restart the schedulers in turn, and note how long each took to stop."""
        for name in self._size.schedulers[: self._size.restarts]:
            child, began = self._fleet.child(name), time.monotonic()
            self._fleet.history.note("nemesis", action="stop", target=name)
            await asyncio.to_thread(child.stop)
            self.stops.append(time.monotonic() - began)
            self._fleet.restart(name)
            await self._fleet.settle()

    def wrong(self, jobs: Mapping[str, Job]) -> list[str]:
        """What watchers were told that is not right."""
        wrong = [each for seen in self.seen for each in seen.wrong]
        for seen in self.seen:
            if seen.finals != 1:
                wrong.append(f"a watcher of {seen.job_id} was told the end {seen.finals} times")
                continue
            changes = {c.revision: f"JOB_STATE_{c.state.name}" for c in jobs[seen.job_id].recent_changes}
            if changes != seen.changes:
                wrong.append(f"a watcher of {seen.job_id} knows {seen.changes}, not {changes}")
            if self.late(seen, jobs) > LATEST_SECONDS:
                wrong.append(f"a watcher of {seen.job_id} was told the end after {self.late(seen, jobs):.1f} s")
        return wrong + [
            f"an undisturbed watcher of {seen.job_id} was told the end after {self.late(seen, jobs):.1f} s"
            for seen in self.undisturbed(jobs)
            if self.late(seen, jobs) > LATE_SECONDS
        ]

    def late(self, seen: Seen, jobs: Mapping[str, Job]) -> float:
        """From the commit to its coming."""
        return seen.final_came - ended_at(jobs[seen.job_id])

    def undisturbed(self, jobs: Mapping[str, Job]) -> list[Seen]:
        """Bare watchers whose stream was open before the end and was not disturbed from then on."""
        found = []
        for seen in self.bare:
            end = ended_at(jobs[seen.job_id])
            if seen.finals and seen.stream_began < end and not self.seen[seen].disturbed(end, seen.final_came):
                found.append(seen)
        return found


def ended_at(job: Job) -> float:
    """By the clock of the wall, which is Redis' here."""
    assert job.end_time
    return job.end_time.timestamp()


def addresses_of(fleet: Fleet) -> list[str]:
    """Of the schedulers."""
    return [child.argv[2] for child in fleet.schedulers.values()]


async def play(how: Play) -> Round:
    """Throughput alone, then with watchers in bad weather, then restarts; then hosts that go."""
    size = LONG if how.long else SHORT
    async with how.fleet() as fleet:
        await fleet.start(size.schedulers, ())
        mass = crowd(fleet, 10, slots=max(1, size.jobs // 10), progress_seconds=0.5)
        load = crowd(fleet, LOAD_WORKERS, slots=LOAD_SLOTS, queue=LOAD_QUEUE, name="load")
        await asyncio.gather(asyncio.to_thread(mass.start), asyncio.to_thread(load.start))
        async with fleet.client() as client:
            torture = Torture(fleet, size, client)
            await torture.load()
            alone = await torture.throughput()
            memory = Memory(fleet)
            following = asyncio.create_task(memory.follow())
            ids = await torture.watched_jobs()
            both = {"hung": size.silent // 2, "gone": size.silent - size.silent // 2}
            async with (
                SilentWatchers(addresses_of(fleet), fleet.tenant, ids[0], **both),
                torture.watching(ids),
            ):
                watched = await torture.throughput()
                await torture.roll()
            gone = await hosts_go(fleet, torture, size) if size.hosts_go else 0.0
            following.cancel()
            await torture.unloaded()
            jobs = {job_id: await client.get(job_id) for job_id in ids}
        ended, left = await quiesce(fleet)
        judgement = judge(fleet.history.events(), ended)
    wrong = [*left, *judgement.wrong, *torture.wrong(jobs)]
    wrong += [f"a scheduler took {each:.1f} s to stop" for each in torture.stops if each > STOP_SECONDS]
    if memory.growth_mb > GROWTH_MB:
        wrong.append(f"a scheduler's memory grew by {memory.growth_mb:.0f} MB")
    if watched < size.least_throughput * alone:
        wrong.append(f"{watched:.1f} jobs a second got done with watchers, {alone:.1f} without")
    if gone > GONE_SECONDS:
        wrong.append(f"watches of hosts that were gone were still open after {gone:.0f} s")
    return Round(wrong=wrong, figures=judgement.figures() | figures(torture, jobs, memory, (alone, watched), gone))


async def hosts_go(fleet: Fleet, torture: Torture, size: Size) -> float:
    """How long watches stay open whose hosts are gone, beside as many that only hang."""
    await torture.submit("silent", 1, [GONE_SECONDS + 15], "default")
    half = size.silent // 2
    async with (
        asyncio.timeout(PATIENCE_SECONDS),
        SilentWatchers(addresses_of(fleet), fleet.tenant, "silent-0", hung=half, gone=half),
    ):
        # The gauge is set every two seconds.
        while watches(fleet) < 2 * half:
            await asyncio.sleep(0.5)
        began = time.monotonic()
        while watches(fleet) > half:
            await asyncio.sleep(0.5)
        return time.monotonic() - began


def figures(
    torture: Torture, jobs: Mapping[str, Job], memory: Memory, rates: tuple[float, float], gone: float
) -> dict[str, object]:
    """For the line of the round."""
    undisturbed = [torture.late(seen, jobs) for seen in torture.undisturbed(jobs)]
    return {
        "watchers": len(torture.seen), "snapshots": sum(seen.snapshots for seen in torture.seen),
        "streams_of_bare": sum(seen.streams for seen in torture.bare),
        "resets": sum({weather: weather.breaks for weather in torture.seen.values()}.values()),
        "undisturbed": len(undisturbed), "latest_undisturbed_seconds": round(max(undisturbed, default=0.0), 3),
        "latest_seconds": round(max((torture.late(seen, jobs) for seen in torture.seen if seen.finals), default=0.0), 3),
        "growth_mb": round(memory.growth_mb, 1), "alone_per_s": round(rates[0], 2), "watched_per_s": round(rates[1], 2),
        "slowest_stop_seconds": round(max(torture.stops), 2), "gone_seconds": round(gone, 1),
    }  # fmt: skip


SCENARIO = Scenario(
    number=12, name="watch_torture", play=play,
    title="watchers in bad weather and over restarts miss nothing; those who never read cost little",
)  # fmt: skip
