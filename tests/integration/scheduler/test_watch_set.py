"""The jobs of one stream on a real store, step by step: what waits, what is read, and from where it would resume."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from prometheus_client import CollectorRegistry

from support.redis_server import RedisServer
from support.store_bench import Bench, a_job
from support.store_partition import partition_of
from telecine_scheduler.domain.job import Job, JobName
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.service import watch_set
from telecine_scheduler.service.broken_records import BrokenRecords
from telecine_scheduler.service.following import Following
from telecine_scheduler.service.watch_set import Batch, Filter, WatchSet
from telecine_scheduler.service.watch_sets import WatchSets
from telecine_scheduler.service.watching import Watching
from telecine_scheduler.store import feed as feeds
from telecine_scheduler.store.feed import Change, Feed
from telecine_scheduler.store.job_store import JobStore
from telecine_scheduler.store.partition import Partitions
from telecine_scheduler.store.routed_store import RoutedStore

EVERYTHING = Filter(labels={})


@dataclass(kw_only=True)
class Follow:
    """Watch sets, and the feed that is read when the test says so."""

    sets: WatchSets
    watching: Following
    feed: Feed

    async def feed_on(self) -> list[Change]:
        """Read the feed once, and tell the followers."""
        changes, missed = await self.feed.read()
        self.watching.follow(changes, missed=missed, position=self.feed.position)
        return changes


@pytest.fixture
async def follow(bench: Bench, redis_server: RedisServer) -> AsyncIterator[Follow]:
    bench.admit(max_queued=1000, max_queued_per_tenant=0)
    broken = BrokenRecords(SchedulerMetrics(CollectorRegistry()))
    async with partition_of(bench, redis_server) as partition:
        partitions = Partitions([partition])
        store = RoutedStore(partitions)
        watching = Watching(partitions, store)
        sets = WatchSets(partitions, store, watching, broken)
        yield Follow(sets=sets, watching=watching.of(partition), feed=partition.feed)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the jobs that were read."""
    ids: list[str] = []
    get = JobStore.get

    async def counted(self: JobStore, name: JobName, *, full: bool) -> Job | None:
        ids.append(name.job_id)
        return await get(self, name, full=full)

    monkeypatch.setattr(JobStore, "get", counted)
    return ids


async def drain(watched: WatchSet) -> list[Batch]:
    """Everything there is to send, after which the caller adds nothing."""
    watched.half_close()
    return [batch async for batch in watched.batches()]


async def test_what_is_removed_does_not_wait(follow: Follow, reads: list[str]) -> None:
    """A caller who adds and removes, and reads nothing, leaves nothing behind that would be read."""
    with follow.sets.open("default", followed=None, position="") as watched:
        for number in range(300):
            assert watched.add(f"job{number}", 0)
            watched.remove(f"job{number}")
        assert [] == await drain(watched)

    assert [] == reads


async def test_what_waits_is_bounded_however_it_came(
    bench: Bench, follow: Follow, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where all jobs are followed, names that were added and removed again are forgotten: the feed has what changed."""
    monkeypatch.setattr(watch_set, "MOST_WAITING", 10)
    await bench.submit("before")
    await follow.feed_on()
    with follow.sets.open("default", followed=EVERYTHING, position="") as watched:
        batches = watched.batches()
        await anext(batches)
        for number in range(300):
            assert watched.add(f"job{number}", 0)
            watched.remove(f"job{number}")
        await bench.submit("after")
        await follow.feed_on()
        told = await anext(batches)
        await batches.aclose()

    assert ["after"] == [job.name.job_id for job in told.jobs]
    assert len(reads) <= 12


async def test_a_token_never_runs_past_what_was_not_sent(
    bench: Bench, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change that comes in the same instant as the time for a new token is sent before one resumes behind it."""
    monkeypatch.setattr(watch_set, "TOKEN_SECONDS", 0.05)
    await follow.feed_on()
    with follow.sets.open("default", followed=EVERYTHING, position="") as watched:
        batches = watched.batches()
        await anext(batches)
        await bench.submit()
        changes, _ = await follow.feed.read()
        waiting = asyncio.ensure_future(anext(batches))
        # Behind the timer, which is due in the same turn of a loop that is late.
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)
        loop.call_later(0.06, lambda: follow.watching.follow(changes, missed=False, position=follow.feed.position))
        time.sleep(0.1)
        batch = await waiting
        await batches.aclose()

    assert ["job"] == [job.name.job_id for job in batch.jobs]
    assert follow.feed.position == batch.position


async def test_what_was_told_is_not_told_again_from_the_feed(
    bench: Bench, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader who is behind gets each job as it is now, once, though the feed has an older change of it before a newer one."""
    for module in (feeds, watch_set):
        monkeypatch.setattr(module, "MAX_ENTRIES", 10)
    monkeypatch.setattr(watch_set, "MOST_WAITING", 5)
    await follow.feed_on()
    with follow.sets.open("default", followed=EVERYTHING, position="") as watched:
        batches = watched.batches()
        await anext(batches)
        for number in range(25):
            await bench.submit(f"job{number}")
        await bench.store.cancel(a_job("job0").name, reason="")
        while await follow.feed_on():
            pass
        told: list[str] = []
        while len(set(told)) < 25 or "job24" not in told:
            told += [job.name.job_id for job in (await anext(batches)).jobs]
        told += [job.name.job_id for batch in [await _rest(bench, follow, batches)] for job in batch.jobs]
        await batches.aclose()

    assert sorted([*(f"job{number}" for number in range(25)), "last"]) == sorted(told)


async def _rest(bench: Bench, follow: Follow, batches: AsyncIterator[Batch]) -> Batch:
    """What comes next when one more job is submitted."""
    await bench.submit("last")
    await follow.feed_on()
    return await anext(batches)
