"""How the auditor counts what is too much for one script, on a real server: in pages, while everything goes on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from support.invariants import Keyspace
from support.store_bench import WORKER, Bench, a_job
from telecine_scheduler.domain.figures import Repair
from telecine_scheduler.domain.job import FailureKind, JobState
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.store import job_store
from telecine_scheduler.store.keys import prefix

P = prefix()
OTHER = JobClass(queue="other", units=2, requirements=frozenset({"gpu"}))


async def many(bench: Bench) -> None:
    """More than a hundred of a tenant in one state, in two queues and classes."""
    bench.admit()
    await bench.store.submit_all([a_job(f"{number:03}") for number in range(150)])
    await bench.store.submit_all([a_job(f"b{number:03}", job_class=OTHER) for number in range(150)])


class Life:
    """Jobs that go on: each step takes some further, the oldest and the newest."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._steps = 0

    async def step(self) -> None:
        bench, self._steps = self._bench, self._steps + 1
        # The last one that was counted, too.
        state, created = (bench.client.hget(f"{P}meta", "recount") or b"|Q|0").split(b"|")[1:]
        for job_id in bench.client.zrange(f"{P}ix:default:{state.decode()}", created, created, byscore=True):
            await bench.store.cancel(a_job(job_id.decode()).name, reason="")
        grants = await bench.dispatch(free=4)
        for number, grant in enumerate(grants):
            await bench.store.accept(grant.lease)
            if number == 0:
                await bench.succeed(grant.lease)
            elif number == 1:
                await bench.fail(grant.lease, FailureKind.RETRYABLE)
            elif number == 2:
                await bench.store.cancel(grant.lease.name, reason="")
        await bench.submit(f"new{self._steps}")
        await bench.store.cancel(a_job(f"b{149 - self._steps:03}").name, reason="")
        await bench.retry(f"b{149 - self._steps + 1:03}")
        if self._steps % 3 == 0:
            await bench.delete(f"b{149 - self._steps:03}")


async def a_pass(bench: Bench, between: Callable[[], Awaitable[object]]) -> tuple[dict[Repair, int], list[int], str]:
    """What it mended, how much each step looked at, and what was wrong or left out."""
    bench.client.hdel(f"{P}meta", "audited")
    repairs: Counter[Repair] = Counter()
    looked, said, position = [], "", None
    while True:
        audited = await bench.store.audit(position)
        assert audited is not None
        repairs.update(audited.repairs)
        looked.append(audited.looked)
        said = audited.wrong or said
        if (position := audited.position) is None:
            return dict(repairs), looked, said
        await between()


async def nothing() -> None:
    return None


@pytest.mark.parametrize("goes_on", [False, True])
async def test_wrong_counters_of_many_jobs_are_counted_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, goes_on: bool
) -> None:
    """Page by page, right to the last one, whatever changes meanwhile."""
    monkeypatch.setattr(job_store, "AUDIT_LIMIT", 10)
    await many(bench)
    for field, by in (("default|Q", 7), ("other|Q", -2), ("q", 5)):
        bench.client.hincrby(f"{P}n:default", field, by)
    bench.client.hincrby(f"{P}tcl:default", "2", 3)
    life = Life(bench)

    repairs, looked, said = await a_pass(bench, life.step if goes_on else nothing)

    # What may be queued first, and at the end of the count the tenant's two hashes.
    assert ({Repair.COUNTER: 3}, "") == (repairs, said)
    assert max(looked) <= 10 + 128
    assert [] == Keyspace(bench.client).violations()
    assert 0 == bench.client.exists(f"{P}recount")
    assert ({}, "") == (await a_pass(bench, nothing))[::2]


async def test_a_wrong_tenant_spoils_no_other_counter(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The counters over all are right, and stay so in each step on the way."""
    monkeypatch.setattr(job_store, "AUDIT_LIMIT", 10)
    await many(bench)
    right = bench.client.hgetall(f"{P}states")
    bench.client.hincrby(f"{P}n:default", "default|Q", 7)
    seen = []

    async def look() -> None:
        seen.append(bench.client.hgetall(f"{P}states"))

    await a_pass(bench, look)

    assert all(right == each for each in seen)
    assert right == bench.client.hgetall(f"{P}states")


async def test_what_was_not_looked_at_is_not_believed(bench: Bench) -> None:
    """After a pass with an entry that could not be handled the counters over all are left as they are."""
    await bench.succeed(await bench.start())
    bench.client.hset(f"{P}j:default:job", "po", "nonsense")
    bench.client.zrem(f"{P}ret", "default:job")
    bench.client.hincrby(f"{P}states", "F", 2)

    repairs, _, said = await a_pass(bench, nothing)
    assert ({}, True, b"2") == (repairs, bool(said), bench.client.hget(f"{P}states", "F"))

    bench.client.hdel(f"{P}j:default:job", "po")
    assert {Repair.TIMER: 1, Repair.COUNTER: 1} == await bench.audit()


async def test_a_count_that_somebody_else_takes_over_is_begun_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scheduler that counted is gone for longer than the others wait."""
    monkeypatch.setattr(job_store, "AUDIT_LIMIT", 10)
    await many(bench)
    bench.client.hincrby(f"{P}n:default", "default|Q", 7)
    position = None
    while not bench.client.hexists(f"{P}meta", "recount"):
        audited = await bench.store.audit(position)
        assert audited is not None
        position = audited.position
    bench.advance(2 * job_store.AUDIT_HOLD)
    bench.store._scheduler = "b"

    repairs, *_ = await a_pass(bench, Life(bench).step)

    assert {Repair.COUNTER: 1} == repairs
    assert [] == Keyspace(bench.client).violations()


async def test_too_many_tenants_are_said_to_be(bench: Bench) -> None:
    """The counters over all are compared where a thousand tenants at most have jobs."""
    bench.admit()
    jobs = [replace(a_job(), name=replace(a_job().name, tenant=f"t{number}")) for number in range(1000)]
    await asyncio.gather(*(bench.store.submit(job, dispatches=False) for job in jobs))
    assert "" == (await a_pass(bench, nothing))[2]
    await bench.submit()

    _, _, said = await a_pass(bench, nothing)

    assert "with more than 1000 tenants the counters over all of them are not compared" == said


async def test_a_record_without_a_state_is_buried(bench: Bench) -> None:
    """Nothing of it is left that could be found for ever."""
    await bench.submit(labels={"show": "one"})
    bench.client.hdel(f"{P}j:default:job", "st")

    assert Repair.GHOST in await bench.audit()

    assert [] == list(bench.client.scan_iter(f"{P}*default:job"))
    assert {} == await bench.audit()


@pytest.mark.parametrize("end", ["lost", "cancelled", "mass"])
async def test_a_lease_of_nobody_runs_out(bench: Bench, end: str) -> None:
    """A record that lost its worker is no broken one: its job goes on like any whose worker is gone."""
    bench.admit()
    for number in range(6 if end == "mass" else 1):
        lease = await bench.start(f"{number}")
        await bench.store.sweep()
        bench.client.hdel(f"{P}j:default:{number}", "wk")
        bench.client.srem(f"{P}wl:{WORKER.worker_id}", f"default:{number}")
    assert {} == await bench.audit()
    assert [("", None)] == [(each.worker_id, each.outcome) for each in (await bench.job("0")).attempts]
    if end == "cancelled":
        await bench.store.cancel(lease.name, reason="")
    broken, braked = 0, 0
    for _ in range(2):
        bench.advance(bench.times.ttl * 1.1)
        swept = await bench.store.sweep()
        broken, braked = broken + swept.broken, braked + swept.braked

    assert (0, 6 if end == "mass" else 0) == (broken, braked)
    crashes = (bench.client.hget(f"{P}x:default:0", "c") or b"").decode()
    assert (end != "cancelled") == (crashes.startswith("L|") and crashes.endswith("|"))
    assert (JobState.CANCELLED if end == "cancelled" else JobState.QUEUED) is await bench.state("0")
