"""The auditor on a real server: what should be impossible is found, mended and counted by one pass, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
import redis

from support.invariants import Keyspace
from support.store_bench import WORKER, Bench, a_job
from telecine_scheduler.domain.figures import Repair
from telecine_scheduler.domain.job import FailureKind, JobState
from telecine_scheduler.domain.submission import JobClass, Limits
from telecine_scheduler.store.keys import prefix

SECOND = timedelta(seconds=1)
P = prefix()
OTHER = JobClass(queue="other", units=2, requirements=frozenset({"gpu"}))


async def one_of_each(bench: Bench) -> None:
    """A job in each state, in two queues and classes, with labels and limits; their ids are their states."""
    bench.admit()
    limits, labels = Limits(queue=timedelta(hours=1), total=timedelta(hours=2)), {"show": "one"}
    for job_id in ("R", "C", "S", "F", "L"):
        await bench.submit(job_id, limits=limits, labels=labels)
        lease = await bench.lease(job_id)
        if job_id != "L":
            await bench.store.accept(lease)
        if job_id == "C":
            await bench.store.cancel(lease.name, reason="")
        if job_id == "S":
            await bench.succeed(lease)
        if job_id == "F":
            await bench.fail(lease, FailureKind.PERMANENT)
    await bench.submit("W", limits=limits, labels=labels, not_before=2**52)
    await bench.submit("Q", limits=limits, labels=labels)
    await bench.submit("Q2", job_class=OTHER)
    await bench.submit("X")
    await bench.store.cancel(a_job("X").name, reason="")
    other = replace(a_job("Q"), name=replace(a_job().name, tenant="other", job_id="Q"))
    await bench.store.submit(other, dispatches=False)


@dataclass(frozen=True, kw_only=True)
class Damage:
    """Something that no script does, and what mends it."""

    do: Callable[[redis.Redis], object]
    repairs: dict[Repair, int]


def name(job_id: str) -> str:
    return f"default:{job_id}"


def gone(client: redis.Redis) -> object:
    """The record of a job, and nothing else of it."""
    return client.delete(f"{P}j:default:Q")


DAMAGES = {
    **{
        f"a {state} job without its lease": Damage(
            do=lambda client, state=state: client.zrem(f"{P}lease", name(state)), repairs={Repair.TIMER: 1}
        )
        for state in "LRC"
    },
    **{
        f"a final job without its retention ({state})": Damage(
            do=lambda client, state=state: client.zrem(f"{P}ret", name(state)), repairs={Repair.TIMER: 1}
        )
        for state in "SFX"
    },
    "a waiting job without its time": Damage(do=lambda c: c.zrem(f"{P}due", name("W")), repairs={Repair.TIMER: 1}),
    "no timer of limits": Damage(
        do=lambda c: c.zrem(f"{P}dl", *map(name, "WQLR")), repairs={Repair.TIMER: 4}
    ),
    "all leases gone": Damage(do=lambda c: c.delete(f"{P}lease"), repairs={Repair.TIMER: 3}),
    "a ready job out of its set": Damage(
        do=lambda c: c.zrem(f"{P}rdy:1:default", "Q"), repairs={Repair.READY: 1, Repair.TURN: 1}
    ),
    "a ready job out of the ages": Damage(do=lambda c: c.zrem(f"{P}age:1", name("Q")), repairs={Repair.READY: 1}),
    "a ready job out of both": Damage(
        do=lambda c: (c.zrem(f"{P}rdy:1:default", "Q"), c.zrem(f"{P}age:1", name("Q"))),
        repairs={Repair.READY: 1, Repair.TURN: 1},
    ),
    "a ready job in another's place": Damage(do=lambda c: c.zadd(f"{P}rdy:1:default", {"Q": 7}), repairs={Repair.READY: 1}),
    "a tenant missing in the turns": Damage(do=lambda c: c.zrem(f"{P}fair:1", "default"), repairs={Repair.TURN: 1}),
    "a tenant too many in the turns": Damage(do=lambda c: c.zadd(f"{P}fair:2", {"other": 5}), repairs={Repair.TURN: 1}),
    "the turns gone": Damage(do=lambda c: c.delete(f"{P}fair:1", f"{P}fair:2"), repairs={Repair.TURN: 3}),
    "a class missing among a tenant's": Damage(do=lambda c: c.srem(f"{P}tc:default", "2"), repairs={Repair.TURN: 1}),
    "a job out of the index of its state": Damage(
        do=lambda c: c.zrem(f"{P}ix:default:S", "S"), repairs={Repair.INDEX: 1}
    ),
    "the indexes gone": Damage(
        do=lambda c: c.delete(*(f"{P}ix:default:{state}" for state in "WQRCSFX")), repairs={Repair.INDEX: 9}
    ),
    "a job in the index of another state": Damage(
        do=lambda c: (c.zrem(f"{P}ix:default:Q", "L"), c.zadd(f"{P}ix:default:S", {"L": 5})), repairs={Repair.INDEX: 2}
    ),
    "a job at another time in its index": Damage(
        do=lambda c: c.zadd(f"{P}ix:default:F", {"F": 5}), repairs={Repair.INDEX: 1}
    ),
    "a job out of the index of a label": Damage(
        do=lambda c: c.zrem(f"{P}il:default:show=one", "W"), repairs={Repair.INDEX: 1}
    ),
    "a lease that its worker's set lacks": Damage(
        do=lambda c: c.srem(f"{P}wl:w1", name("R")), repairs={Repair.LEASE_SET: 1}
    ),
    "a worker's set with a job that is not leased": Damage(
        do=lambda c: c.sadd(f"{P}wl:w1", name("Q")), repairs={Repair.LEASE_SET: 1}
    ),
    "a worker's set with another's lease": Damage(
        do=lambda c: (c.sadd(f"{P}wl:w2", name("R")), c.zadd(f"{P}holders", {"w2": 0})), repairs={Repair.LEASE_SET: 1}
    ),
    "a queued job with a lease": Damage(do=lambda c: c.zadd(f"{P}lease", {name("Q"): 5e15}), repairs={Repair.STRAY: 1}),
    "a running job with a time to become ready": Damage(
        do=lambda c: c.zadd(f"{P}due", {name("R"): 5e15}), repairs={Repair.STRAY: 1}
    ),
    "a queued job with a retention": Damage(do=lambda c: c.zadd(f"{P}ret", {name("Q"): 5e15}), repairs={Repair.STRAY: 1}),
    "a final job with limits": Damage(do=lambda c: c.zadd(f"{P}dl", {name("S"): 5e15}), repairs={Repair.STRAY: 1}),
    "a running job that is ready": Damage(
        do=lambda c: (c.zadd(f"{P}rdy:1:default", {"R": 5}), c.zadd(f"{P}age:1", {name("R"): 5})), repairs={Repair.STRAY: 2}
    ),
    "a record missing behind its indexes": Damage(do=gone, repairs={Repair.GHOST: 3, Repair.COUNTER: 4}),
    "something that never was": Damage(
        do=lambda c: (c.zadd(f"{P}lease", {name("never"): 5e15}), c.sadd(f"{P}wl:w1", name("never"))),
        repairs={Repair.GHOST: 2},
    ),
    "a count of a state off": Damage(do=lambda c: c.hincrby(f"{P}states", "L", 1), repairs={Repair.COUNTER: 1}),
    "the counts of states gone": Damage(do=lambda c: c.delete(f"{P}states"), repairs={Repair.COUNTER: 1}),
    "a tenant's count off": Damage(do=lambda c: c.hincrby(f"{P}n:default", "default|R", 3), repairs={Repair.COUNTER: 1}),
    "a tenant's count in another queue": Damage(
        do=lambda c: (c.hincrby(f"{P}n:default", "other|Q", -1), c.hincrby(f"{P}n:default", "default|Q", 1)),
        repairs={Repair.COUNTER: 1},
    ),
    "a tenant's queued jobs off": Damage(do=lambda c: c.hincrby(f"{P}n:default", "q", -2), repairs={Repair.COUNTER: 1}),
    "a tenant's counts gone": Damage(do=lambda c: c.delete(f"{P}n:default"), repairs={Repair.COUNTER: 1}),
    "a tenant's count of a class off": Damage(do=lambda c: c.hincrby(f"{P}tcl:default", "2", 1), repairs={Repair.COUNTER: 1}),
    "a count of a class off": Damage(do=lambda c: c.hincrby(f"{P}cjobs", "1", -1), repairs={Repair.COUNTER: 1}),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGES)
async def test_one_pass_mends_it(bench: Bench, what: str) -> None:
    """Counted once by its kind; afterwards everything is as it must be, and the next pass finds nothing."""
    await one_of_each(bench)
    assert {} == await bench.audit()
    damage = DAMAGES[what]
    damage.do(bench.client)
    assert [] != Keyspace(bench.client).violations()

    repairs = await bench.audit()

    assert [] == Keyspace(bench.client).violations()
    assert damage.repairs == repairs
    assert {} == await bench.audit()


async def test_a_job_that_lost_its_lease_goes_on(bench: Bench) -> None:
    """It has a TTL from the repair on: its worker keeps it, or loses it then."""
    lease = await bench.start()
    bench.client.zrem(f"{P}lease", "default:job")
    await bench.store.renew(lease, sequence=1, progress=b"")
    await bench.audit()
    bench.advance(bench.times.ttl - SECOND)
    assert 0 == (await bench.store.sweep()).lost
    bench.advance(2 * SECOND)

    assert 1 == (await bench.store.sweep()).lost


async def test_a_job_that_lost_its_place_is_dispatched(bench: Bench) -> None:
    """In the place that it had."""
    for job_id in ("first", "second"):
        await bench.submit(job_id)
    bench.client.zrem(f"{P}rdy:1:default", "first")
    await bench.audit()

    assert ["first", "second"] == [grant.lease.name.job_id for grant in await bench.dispatch(free=2)]


async def test_a_limit_that_lost_its_timer_ends_its_job(bench: Bench) -> None:
    """Also when it was over before anybody noticed."""
    await bench.submit(limits=Limits(queue=SECOND))
    bench.client.delete(f"{P}dl")
    bench.advance(2 * SECOND)
    await bench.audit()

    assert 1 == (await bench.store.sweep()).queue_timeout
    assert JobState.FAILED is await bench.state()


async def test_a_store_from_before_is_taken_in(bench: Bench) -> None:
    """One whose tenants and workers were never noted: they are found by what they have, and it is no defect."""
    await one_of_each(bench)
    bench.client.delete(f"{P}tenants", f"{P}holders")

    assert {} == await bench.audit()

    assert {b"default", b"other"} == {*bench.client.zrange(f"{P}tenants", 0, -1)}
    assert [b"w1"] == bench.client.zrange(f"{P}holders", 0, -1)


async def test_tenants_and_workers_that_are_gone_are_forgotten(bench: Bench) -> None:
    """A tenant without a job, and a worker without a lease that was not here for a week."""
    await bench.submit()
    await bench.store.cancel(a_job().name, reason="")
    await bench.delete()
    bench.client.delete(f"{P}w:w1")

    assert {} == await bench.audit()

    assert 0 == bench.client.exists(f"{P}tenants", f"{P}holders")
    await bench.submit("again")
    assert [b"default"] == bench.client.zrange(f"{P}tenants", 0, -1)


async def test_a_step_is_bounded_and_a_pass_sees_all(bench: Bench) -> None:
    """Sets that are longer than a step are walked in pages; what is wrong at the end of the last one is found."""
    bench.admit()
    await bench.store.submit_all([a_job(f"{number:03}") for number in range(400)])
    for key, member in ((f"{P}age:1", "default:399"), (f"{P}ix:default:Q", "007"), (f"{P}rdy:1:default", "200")):
        assert 1 == bench.client.zrem(key, member)
    position, looked, repairs = None, [], 0
    while True:
        audited = await bench.store.audit(position)
        assert audited is not None
        looked.append(audited.looked)
        repairs += sum(audited.repairs.values())
        if (position := audited.position) is None:
            break

    # A short set comes as a whole: Redis keeps up to 128 entries in one piece.
    assert max(looked) <= 50 + 128
    assert 3 * 400 <= sum(looked)
    assert (3, []) == (repairs, Keyspace(bench.client).violations())


async def test_many_jobs_are_counted_again_only_when_the_sum_is_wrong(bench: Bench) -> None:
    """More than a hundred of a tenant in one state."""
    bench.admit()
    await bench.store.submit_all([a_job(f"{number:03}") for number in range(150)])
    await bench.store.submit_all([a_job(f"b{number:03}", job_class=OTHER) for number in range(150)])
    assert {} == await bench.audit()
    bench.client.hincrby(f"{P}n:default", "other|Q", 5)
    bench.client.hincrby(f"{P}tcl:default", "1", -1)

    assert {Repair.COUNTER: 2} == await bench.audit()


async def test_one_scheduler_walks_at_a_time(bench: Bench) -> None:
    """The others leave the walk to the one that began it, until that one is silent for half a minute."""
    bench.admit()
    await bench.store.submit_all([a_job(f"{number:03}") for number in range(150)])
    first = await bench.store.audit(None)
    assert first is not None
    assert first.position is not None

    bench.store._scheduler = "b"
    assert None is await bench.store.audit(None)
    bench.advance(timedelta(seconds=31))
    assert None is not await bench.store.audit(None)
    bench.store._scheduler = "a"
    assert None is await bench.store.audit(first.position)


async def test_after_a_pass_all_rest(bench: Bench) -> None:
    """For two minutes, whoever walked."""
    await bench.audit()
    for scheduler in ("a", "b"):
        bench.store._scheduler = scheduler
        assert None is await bench.store.audit(None)
    bench.advance(timedelta(minutes=2, seconds=1))

    assert None is not await bench.store.audit(None)


async def test_a_broken_record_does_not_stop_the_walk(bench: Bench) -> None:
    """What cannot be handled is counted, and the rest is mended."""
    await one_of_each(bench)
    bench.client.hset(f"{P}j:default:S", "po", "nonsense")
    bench.client.zrem(f"{P}ret", "default:S", "default:F")

    audited = await bench.store.audit(None)

    assert audited is not None
    assert ({Repair.TIMER: 1}, True, True) == (audited.repairs, audited.broken > 0, bool(audited.wrong))
    bench.client.hdel(f"{P}j:default:S", "po")
    assert {Repair.TIMER: 1} == await bench.audit()


@pytest.mark.parametrize(
    "limits", [Limits(), Limits(queue=timedelta(hours=1)), Limits(queue=timedelta(hours=1), total=timedelta(hours=2))]
)
async def test_a_keyspace_in_use_is_not_mended(bench: Bench, limits: Limits) -> None:
    """A job at each step of its life; `test_store_random` has steps of the auditor among its calls."""
    bench.admit()
    for job_id in map(str, range(3)):
        await bench.submit(job_id, limits=limits)
        assert {} == await bench.audit()
        lease = await bench.lease(job_id)
        assert {} == await bench.audit()
        await bench.store.accept(lease)
        await bench.store.publish(lease)
        assert {} == await bench.audit()
        await bench.fail(lease, FailureKind.RETRYABLE)
        assert {} == await bench.audit()
    await bench.store.disconnect(WORKER, shorten=True)
    assert {} == await bench.audit()
