"""What should be impossible on a real server: it is mended or put off, counted, and stops nobody else."""

from __future__ import annotations

from datetime import timedelta

from support.store_bench import WORKER, Bench
from telecine_scheduler.domain.job import JobState
from telecine_scheduler.domain.submission import Limits
from telecine_scheduler.store.keys import prefix

SECOND = timedelta(seconds=1)


async def test_a_broken_record_stops_nobody(bench: Bench) -> None:
    """What cannot be handled is put off for a minute and counted, and the rest of the sweep goes on."""
    await bench.start("broken")
    await bench.start("fine")
    bench.client.hset(f"{prefix()}j:default:broken", "po", "nonsense")
    bench.advance(bench.times.ttl + SECOND)

    swept = await bench.store.sweep()
    bench.client.hdel(f"{prefix()}j:default:broken", "po")

    assert (1, 1, True) == (swept.broken, swept.lost, bool(swept.wrong))
    bench.client.flushall()


async def test_a_lease_set_without_its_job_is_mended(bench: Bench) -> None:
    """An entry that should not be there does not keep its worker from connecting."""
    bench.client.sadd(f"{prefix()}wl:w1", "default:ghost")

    assert [] == await bench.store.reclaim(WORKER, [])
    assert 0 == bench.client.exists(f"{prefix()}wl:w1")


async def test_a_timer_without_its_job_stops_nobody(bench: Bench) -> None:
    """What should be impossible is taken out and counted, and the rest of the sweep goes on."""
    await bench.start()
    bench.client.zadd(f"{prefix()}lease", {b"default:ghost": 1})
    bench.client.zadd(f"{prefix()}due", {b"default:ghost": 1})
    bench.advance(bench.times.ttl + SECOND)

    swept = await bench.store.sweep()

    assert (2, 1) == (swept.repaired, swept.lost)


async def test_a_job_without_limits_is_not_ended_by_one(bench: Bench) -> None:
    """An entry among the timers of limits that should not be there is taken out."""
    await bench.submit("queued")
    await bench.start("running", priority=100, limits=Limits(queue=SECOND))
    for job_id in ("queued", "running"):
        bench.client.zadd(f"{prefix()}dl", {f"default:{job_id}": 1})

    swept = await bench.store.sweep()

    assert (2, 0) == (swept.repaired, swept.queue_timeout)
    assert (JobState.QUEUED, JobState.RUNNING) == (await bench.state("queued"), await bench.state("running"))
