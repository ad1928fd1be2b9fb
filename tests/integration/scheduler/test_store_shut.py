"""Workers that refuse everything, on a real server: they are asked seldom, and what they refuse shuts nobody else out."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from support.store_bench import WORKER, Bench, a_job
from telecine_scheduler.domain.lease import StreamId
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.leases import MAX_GRANTS

SECOND = timedelta(seconds=1)
GPU = JobClass(queue="default", units=1, requirements=frozenset({"gpu"}))


async def granted(bench: Bench, stream: StreamId = WORKER, free: int = 1) -> list[str]:
    return [grant.lease.name.job_id for grant in await bench.dispatch(stream, free)]


@pytest.mark.parametrize("bad", [1, 2, 3])
async def test_who_refuses_everything_costs_nobody_else(bench: Bench, bad: int) -> None:
    """Beside workers that refuse all they are offered, another has a job whenever it asks for one."""
    bench.admit()
    good = await bench.connect("good")
    streams = [await bench.connect(f"bad{number}") for number in range(bad)]
    # Three tenants, eight refusals each a minute and bad worker: so many jobs may wait at worst, and sixty are left.
    for tenant in range(3):
        await bench.store.submit_all([a_job(f"job{number}", tenant=f"t{tenant}") for number in range(20 + 8 * bad)])
    done = []
    for _ in range(60):
        for stream in streams:
            await bench.refuse(stream, "UNHEALTHY")
        for grant in await bench.dispatch(good):
            await bench.succeed(grant.lease)
            done.append(grant.lease.name)
        bench.advance(SECOND)
        await bench.store.sweep()

    assert 60 == len(done)


@pytest.mark.parametrize("bad", [1, 2, 3])
@pytest.mark.parametrize(("free", "most"), [(1, 8), (16, MAX_GRANTS)])
async def test_who_refuses_everything_is_asked_seldom(bench: Bench, bad: int, free: int, most: int) -> None:
    """No livelock: however often they ask, and whoever else refuses, few grants a minute, worker and tenant come to nothing."""
    bench.admit()
    streams = [await bench.connect(f"bad{number}") for number in range(bad)]
    await bench.store.submit_all([a_job(f"job{number}") for number in range(200)])
    counts = []
    for _ in range(3):
        refused = 0
        for _ in range(15):
            for stream in streams * 2:
                refused += len(await bench.refuse(stream, "UNHEALTHY", free))
            bench.advance(4 * SECOND)
            await bench.store.sweep()
        counts.append(refused)

    assert max(counts) <= bad * most
    assert 0 < min(counts)


async def test_eight_refusals_shut_a_class_for_a_minute(bench: Bench) -> None:
    """To that process, of that tenant; seven do not, nor do eight that took longer than a minute."""
    bench.admit()
    for number in range(30):
        await bench.submit(f"job{number}")
    for _ in range(7):
        assert 1 == len(await bench.refuse())
    bench.advance(61 * SECOND)
    for _ in range(8):
        assert 1 == len(await bench.refuse())
    await bench.submit("urgent", priority=100)
    assert [] == await granted(bench)
    await bench.submit("gpu", job_class=GPU)
    await bench.submit("others", tenant="other")
    assert {"gpu", "others"} == set(await granted(bench, free=16))
    bench.advance(59 * SECOND)
    assert [] == await granted(bench)
    bench.advance(2 * SECOND)

    assert ["urgent"] == await granted(bench)


async def test_a_class_is_shut_to_one_process(bench: Bench) -> None:
    """The next one with the worker's id begins anew."""
    bench.admit()
    for number in range(10):
        await bench.submit(f"job{number}")
    await bench.refuse(free=8)
    await bench.submit("urgent", priority=100)
    assert [] == await granted(bench)
    await bench.store.disconnect(WORKER, shorten=False)

    assert ["urgent"] == await granted(bench, await bench.connect(WORKER.worker_id, "s2"))


async def refused_until(bench: Bench, good: str) -> int:
    """Refuse whatever is not that tenant's; how many looks came to nothing before there was something of it."""
    empty = 0
    for _ in range(2000):
        grants = await bench.dispatch(free=64)
        for grant in grants:
            if grant.lease.name.tenant == good:
                return empty
            await bench.store.accept(grant.lease, refusal="UNSUPPORTED")
        empty += not grants
        assert empty < 50
    raise AssertionError("it was never reached")


@pytest.mark.parametrize(("tenants", "jobs"), [(80, 1), (80, 10), (200, 1)])
async def test_a_tenant_behind_many_that_a_worker_refuses_is_reached(bench: Bench, tenants: int, jobs: int) -> None:
    """A look ends after 64 jobs passed over, and the next one gets further, at once."""
    bench.admit()
    for number in range(tenants):
        await bench.store.submit_all([a_job(f"job{job}", tenant=f"t{number}") for job in range(jobs)])
    await bench.submit("job", tenant="z")

    assert await refused_until(bench, "z") <= tenants * min(jobs, 8) / 64 + 1


async def test_a_tenant_behind_many_classes_that_a_worker_refuses_is_reached(bench: Bench) -> None:
    """Twelve classes of one tenant, each with more than is looked at."""
    bench.admit()
    classes = [JobClass(queue="default", units=1 + number % 3, requirements=frozenset()) for number in range(3)]
    classes += [replace(each, queue="other") for each in classes]
    classes += [replace(each, requirements=frozenset({"gpu"})) for each in classes]
    for number, job_class in enumerate(classes):
        await bench.store.submit_all([a_job(f"{number}-{job}", tenant="a", job_class=job_class) for job in range(40)])
    await bench.submit("job", tenant="z", job_class=classes[-1])

    assert 12 == len(classes)
    assert await refused_until(bench, "z") <= 12 * 8 / 64 + 1


async def test_a_look_is_bounded(bench: Bench) -> None:
    """After 64 jobs passed over it ends, whatever is behind; its scheduler is noted, and others are served all the same."""
    bench.admit()
    other = await bench.connect("w2")
    for number in range(80):
        await bench.submit("job", tenant=f"t{number}")
    for _ in range(5):
        await bench.refuse(free=16)
    wake = f"{prefix()}wake:a"
    # The next process to ask has seen nothing yet of what is to be passed over.
    bench.client.delete(*bench.client.keys(f"{prefix()}shut:*"), wake)
    before = bench.client.info("commandstats")["cmdstat_hmget"]["calls"]

    assert [] == await granted(bench)

    assert bench.client.info("commandstats")["cmdstat_hmget"]["calls"] - before <= 65 + 5
    await bench.submit("next")
    assert 1 == bench.client.llen(wake)
    assert 16 == len(await granted(bench, other, free=100))
