"""The feed on a real server: where a reader is, and what came after."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from support.redis_server import RedisServer
from support.store_bench import WORKER, Bench
from telecine_scheduler.domain.job import JobState
from telecine_scheduler.domain.submission import Limits
from telecine_scheduler.store.feed import START, Feed
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.link import close, connect


@pytest.fixture
async def feed(redis_server: RedisServer) -> AsyncIterator[Feed]:
    client = connect(redis_server.url)
    yield Feed(client, prefix())
    await close(client)


async def test_a_reader_knows_where_it_is(bench: Bench, feed: Feed) -> None:
    """From its first read on, and after it lost track."""
    assert "" == feed.position
    await feed.read()
    assert START == feed.position
    await bench.submit()
    [change], _ = await feed.read()
    assert change.position == feed.position
    feed.lost_track()

    assert change.position == feed.position


async def test_what_came_after_a_position_can_be_read_again(bench: Bench, feed: Feed) -> None:
    """All of it, in order, and no more."""
    await feed.read()
    await bench.submit("a")
    await bench.submit("b")
    changes, _ = await feed.read()
    await bench.submit("c")

    after_a, whole = await feed.since(changes[0].position)

    assert (["b", "c"], True) == ([change.name.job_id for change in after_a], whole)
    assert ([], True) == await feed.since(after_a[-1].position)
    from_start, whole = await feed.since(START)
    assert (["a", "b", "c"], True) == ([change.name.job_id for change in from_start], whole)


async def test_long_absences_are_read_in_pages(bench: Bench, feed: Feed) -> None:
    """500 at a time, each saying where it is."""
    bench.admit()
    for number in range(520):
        await bench.submit(f"job{number}")

    first, _ = await feed.since(START)
    second, whole = await feed.since(first[-1].position)

    assert (500, 20, True) == (len(first), len(second), whole)
    assert [f"job{number}" for number in range(520)] == [change.name.job_id for change in first + second]


async def test_a_trimmed_feed_says_so(bench: Bench, feed: Feed) -> None:
    """Whoever was away too long has to list again."""
    for job_id in "abc":
        await bench.submit(job_id)
    changes, whole = await feed.since(START)
    assert whole
    bench.client.xtrim(f"{prefix()}feed", maxlen=1, approximate=False)

    assert [False, False, True] == [
        (await feed.since(at))[1] for at in (START, changes[0].position, changes[2].position)
    ]  # fmt: skip


async def test_a_position_that_is_ahead_is_not_trusted(bench: Bench, feed: Feed) -> None:
    """Redis lost its end since, or is another one."""
    assert ([], True) == await feed.since(START)
    assert ([], False) == await feed.since("5-0")
    await bench.submit()

    assert ([], False) == await feed.since("9999999999999-0")


@pytest.mark.parametrize(
    "position", ["", "5", "5-", "-5", "a-b", "5-0 ", "5-0\n", "+", "$", "0x5-0", "\u0665-0", "5-0-0", "9" * 30 + "-0"]
)
async def test_what_is_no_position_is_refused(bench: Bench, feed: Feed, position: str) -> None:
    """Before Redis sees it."""
    with pytest.raises(ValueError, match="no position"):
        await feed.since(position)


async def test_a_cancel_tells_the_workers_grace(bench: Bench, feed: Feed) -> None:
    """The job's own, where it has one."""
    await feed.read()
    for job_id, limits in (("own", Limits(cancel_grace=timedelta(seconds=3))), ("plain", Limits())):
        lease = await bench.start(job_id, limits=limits)
        await bench.store.cancel(lease.name, reason="")
    changes, _ = await feed.since(START)

    cancels = [change for change in changes if change.cancel]

    assert [(WORKER.worker_id, timedelta(seconds=3)), (WORKER.worker_id, None)] == [
        (change.worker_id, change.cancel_grace) for change in cancels
    ]  # fmt: skip


async def test_a_retry_and_a_deletion_are_told(bench: Bench, feed: Feed) -> None:
    """Watchers hear of both."""
    job = await bench.submit()
    await bench.store.cancel(job.name, reason="")
    await bench.retry()
    await bench.store.cancel(job.name, reason="")
    await bench.delete()

    changes, _ = await feed.since(START)

    assert [JobState.QUEUED, JobState.CANCELLED, JobState.QUEUED, JobState.CANCELLED, None] == [
        c.state for c in changes
    ]


async def test_wake_ups_that_nobody_takes_do_not_pile_up(bench: Bench) -> None:
    """A scheduler that is gone has at most 256, which go a minute after the last."""
    await bench.submit("first")
    await bench.succeed(await bench.lease("first"))
    assert [] == await bench.dispatch()
    wake = f"{prefix()}wake:a"
    bench.client.lpush(wake, *range(300))

    await bench.submit("second")

    assert 256 == bench.client.llen(wake)
    assert 0 < bench.client.pttl(wake) <= 60_000
