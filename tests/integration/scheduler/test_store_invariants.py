"""The invariants that every test on a store ends with: each of them bites."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
import redis

from support.invariants import Keyspace
from support.store_bench import OFFER, WORKER, Bench, a_job
from telecine_scheduler.domain.job import FailureKind
from telecine_scheduler.domain.submission import Limits
from telecine_scheduler.domain.worker import WorkerReport
from telecine_scheduler.store.keys import prefix

P = prefix()
Harm = Callable[[redis.Redis], object]


def job(job_id: str) -> str:
    return f"{P}j:default:{job_id}"


async def some(bench: Bench) -> None:
    """A job in each state but LEASED, with all that goes with it."""
    bench.admit()
    await bench.store.report_workers([WorkerReport(stream=WORKER, offer=OFFER, draining=False)])
    await bench.succeed(await bench.start("S"))
    await bench.fail(await bench.start("F"), FailureKind.PERMANENT)
    await bench.submit("X")
    await bench.store.cancel(a_job("X").name, reason="")
    await bench.fail(await bench.start("W"), FailureKind.RETRYABLE)
    await bench.store.cancel((await bench.start("C")).name, reason="")
    lease = await bench.start("R", labels={"a": "b"}, limits=Limits(total=timedelta(hours=1)))
    await bench.store.renew(lease, sequence=5, progress=b"progress")
    await bench.submit("Q")


HARMS: dict[str, tuple[str, Harm]] = {
    "a spec gone": ("I1", lambda c: c.delete(f"{P}s:default:Q")),
    "a deleted job that is there": ("I1", lambda c: c.zadd(f"{P}tomb", {"default:Q": 9e15})),
    "a result gone": ("I2", lambda c: c.hdel(f"{P}x:default:S", "r")),
    "a result of a failed job": ("I2", lambda c: c.hset(f"{P}x:default:F", "r", "result")),
    "a result under another token": ("I2", lambda c: c.hincrby(job("S"), "tk", 1)),
    "a token behind that of an attempt": ("I3", lambda c: c.hset(job("F"), "tk", "1")),
    "a token ahead of the clock": ("I3", lambda c: c.hset(job("R"), "tk", str(2**53))),
    "attempts that are not in order": ("I3", lambda c: c.rpush(f"{P}a:default:F", "1|w1|5|1|2|LOST|0|0|")),
    "too many attempts": ("I3", lambda c: c.rpush(f"{P}a:default:W", *(f"{n}|w|{n}|1|2|LOST|0|0|" for n in range(10)))),
    "a home gone": ("I4", lambda c: c.zrem(f"{P}lease", "default:R")),
    "a second home": ("I4", lambda c: c.zadd(f"{P}due", {"default:R": 9e15})),
    "a home without a job": ("I4", lambda c: c.zadd(f"{P}ret", {"default:none": 9e15})),
    "another place in the order": ("I4", lambda c: c.zadd(f"{P}rdy:1:default", {"Q": 5})),
    "an age gone": ("I4", lambda c: c.delete(f"{P}age:1")),
    "an age of a job that is not ready": ("I4", lambda c: c.zadd(f"{P}age:1", {"default:R": 5})),
    "an index without its job": ("I4", lambda c: c.zrem(f"{P}ix:default:S", "S")),
    "an index with another's job": ("I4", lambda c: c.zadd(f"{P}ix:default:F", {"S": 5})),
    "an index of labels without its job": ("I4", lambda c: c.zrem(f"{P}il:default:a=b", "R")),
    "a worker's set without its lease": ("I4", lambda c: c.srem(f"{P}wl:w1", "default:R")),
    "a worker's set with a job that is not leased": ("I4", lambda c: c.sadd(f"{P}wl:w1", "default:Q")),
    "a timer of limits of nothing": ("I4", lambda c: c.zadd(f"{P}dl", {"default:none": 5})),
    "a tenant without a turn": ("I5", lambda c: c.zrem(f"{P}fair:1", "default")),
    "a turn for nothing": ("I5", lambda c: c.zadd(f"{P}fair:1", {"other": 5})),
    "a class that is not noted": ("I5", lambda c: c.srem(f"{P}tc:default", "1")),
    "a floor of a class that is gone": ("I5", lambda c: c.hset(f"{P}vt", "77", "5")),
    "a debt where nobody waits": ("I5", lambda c: c.zadd(f"{P}v:77", {"default": 5})),
    "a revision ahead of the clock": ("I7", lambda c: c.hset(job("Q"), "rv", str(2**53))),
    "changes that are not in order": ("I7", lambda c: c.rpush(f"{P}h:default:R", "5|R|STARTED")),
    "a last change to another state": ("I7", lambda c: c.rpush(f"{P}h:default:R", f"{2**52}|W|DUE")),
    "a change after the end": ("I7", lambda c: c.hincrby(job("S"), "rv", 1)),
    "too many changes": ("I7", lambda c: c.lpush(f"{P}h:default:R", *(f"{n}|Q|DUE" for n in range(20, 0, -1)))),
    "no attempt left": ("I8", lambda c: c.hset(job("W"), "fa", "3")),
    "a crash that was not charged": ("I8", lambda c: c.hset(f"{P}x:default:W", "c", "L|5|w1")),
    "more crashes than there were": ("I8", lambda c: c.hset(job("W"), "cr", "1")),
    "a crash under a token that was not given": (
        "I3",
        lambda c: (c.hset(job("W"), mapping={"cr": 1, "lo": 1}), c.hset(f"{P}x:default:W", "c", f"L|{2**52}|w1")),
    ),
    "a lease for an hour": ("I10: default:R", lambda c: c.zincrby(f"{P}lease", 3600e6, "default:R")),
    "a freeze without an end": ("I10: frozen", lambda c: c.hset(f"{P}meta", "frozen_until", str(2**53))),
    "a brake without an end": ("I10: brake", lambda c: c.hset(f"{P}meta", "brake", str(2**53))),
    "a limit without a timer": ("I10", lambda c: c.zrem(f"{P}dl", "default:R")),
    "a timer without a limit": ("I10", lambda c: c.zadd(f"{P}dl", {"default:Q": 5})),
    "a count of states": ("counters of states", lambda c: c.hincrby(f"{P}states", "Q", 1)),
    "a count of classes": ("counters of classes", lambda c: c.hincrby(f"{P}cjobs", "1", 1)),
    "a tenant's count of classes": ("counters of tenant classes", lambda c: c.hincrby(f"{P}tcl:default", "1", 1)),
    "a tenant's count": ("counters of tenants", lambda c: c.hincrby(f"{P}n:default", "default|Q", 1)),
    "a large value without a record": ("record", lambda c: c.hset(f"{P}x:default:none", "p", "1")),
    "a class without its name": ("record", lambda c: c.hdel(f"{P}class_ids", "default|1|")),
    "a class gone": ("record", lambda c: c.delete(f"{P}classes", f"{P}class_ids")),
    "a window of a job that does not run": ("record", lambda c: c.hset(job("Q"), "pb", "5")),
    "a wait without a reason": ("record", lambda c: c.hdel(job("W"), "wr")),
    "an end without a time": ("record", lambda c: c.hdel(job("S"), "et")),
    "an avoided worker for ever": ("record", lambda c: c.hset(job("Q"), "av", "worker")),
    "a long value": ("record", lambda c: c.hset(job("Q"), "qu", "q" * 65)),
    "a worker without an offer": ("workers", lambda c: c.delete(f"{P}wo:w1")),
    "a worker without a stream": ("workers", lambda c: c.hset(f"{P}w:w1", "up", "0")),
    "a tenant that is not known": ("registry", lambda c: c.delete(f"{P}tenants")),
    "a worker that is not known": ("registry", lambda c: c.delete(f"{P}holders")),
}


@pytest.mark.parametrize("what", HARMS)
async def test_a_broken_keyspace_is_reported(bench: Bench, what: str) -> None:
    """By its rule; and before that there was nothing to report."""
    await some(bench)
    assert [] == Keyspace(bench.client).violations(slots={"w1": 2})
    rule, harm = HARMS[what]
    harm(bench.client)

    violations = Keyspace(bench.client).violations()

    assert any(each.startswith(rule) for each in violations), violations
    bench.client.flushall()


async def test_a_worker_with_more_than_its_slots_is_reported(bench: Bench) -> None:
    """I8, where the slots are known."""
    await some(bench)

    assert ["I8: worker 'w1' holds 2 units and has 1 slots"] == Keyspace(bench.client).violations(slots={"w1": 1})


CHANGES: dict[str, tuple[str, Harm]] = {
    "a job gone": ("I1", lambda c: c.delete(job("Q"))),
    "a final job gone before its time": ("I1", lambda c: c.delete(job("S"))),
    "a job made anew": ("I1", lambda c: c.hincrby(job("Q"), "ct", 1)),
    "a result changed": ("I2", lambda c: c.hset(f"{P}x:default:S", "r", "another")),
    "a smaller token": ("I3", lambda c: c.hincrby(job("R"), "tk", -1)),
    "an attempt fewer": ("I3", lambda c: c.hincrby(job("W"), "at", -1)),
    "another state after the end": ("I6", lambda c: c.hset(job("S"), "st", "F")),
    "another generation of a running job": ("I6", lambda c: c.hset(job("R"), "gn", "2")),
    "two generations at once": ("I6", lambda c: c.hset(job("F"), "gn", "3")),
    "a smaller revision": ("I7", lambda c: c.hincrby(job("Q"), "rv", -1)),
    "another state at the same revision": ("I7", lambda c: c.hset(job("R"), "st", "C")),
    "an earlier progress": ("I9", lambda c: c.hset(job("R"), "ps", "4")),
    "another progress at the same sequence": ("I9", lambda c: c.hset(f"{P}x:default:R", "p", "earlier")),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_a_wrong_change_is_reported(bench: Bench, what: str) -> None:
    """What may not happen between two calls is found by comparing."""
    await some(bench)
    keyspace = Keyspace(bench.client)
    before = keyspace.moment()
    assert [] == before.broken_by(keyspace.moment())
    rule, harm = CHANGES[what]
    harm(bench.client)

    violations = before.broken_by(keyspace.moment())

    assert rule in {each.split(":")[0] for each in violations}
    bench.client.flushall()


async def test_jobs_go_when_they_may(bench: Bench) -> None:
    """A final job whose retention is over, or that a caller deleted, is no loss."""
    await some(bench)
    keyspace = Keyspace(bench.client)
    before = keyspace.moment()
    await bench.delete("S")
    bench.advance(timedelta(days=8))
    assert 2 == (await bench.store.sweep()).purged

    assert [] == [each for each in before.broken_by(keyspace.moment()) if each.startswith("I1")]
