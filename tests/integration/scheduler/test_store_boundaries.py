"""The ends of what is possible, on a real server: last numbers, empty stores, no item and fifty, keys that are gone, clocks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from support.store_bench import OFFER, WORKER, Bench, a_job
from telecine_scheduler.domain.errors import StreamFenced
from telecine_scheduler.domain.job import FailureKind, JobState
from telecine_scheduler.domain.lease import Ack, Lease, Verdict
from telecine_scheduler.domain.reply import CancelReply, DeleteReply, RetryReply
from telecine_scheduler.domain.worker import WorkerReport
from telecine_scheduler.store.job_store import RegisterReply
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.scripts import VERBS, script

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
P = prefix()
META = f"{P}meta"
# The last number of the clock that scripts work with: September 2309.
LAST = 9_007_199_254_000_000


def jump(bench: Bench, by: timedelta) -> None:
    """Redis' TIME is set, and nobody is told."""
    bench.client.hincrby(META, "test_shift_us", round(by / timedelta(microseconds=1)))


async def test_the_last_numbers_are_exact(bench: Bench) -> None:
    """Just below 2^53 no digit is lost: tokens, revisions and places in the order differ by one and are found again."""
    bench.client.hset(META, "clock", LAST - 100)
    jobs = [await bench.submit(f"{number}", priority=100) for number in range(3)]
    assert [LAST - 99 + number for number in range(3)] == [job.create for job in jobs]

    leases = [grant.lease for grant in await bench.dispatch(free=3)]

    assert ["0", "1", "2"] == [lease.name.job_id for lease in leases]
    assert [LAST - 96 + number for number in range(3)] == [lease.token for lease in leases]
    for lease in leases:
        assert Verdict.KEEP is (await bench.store.renew(lease, sequence=2**53 - 1, progress=b"p")).verdict
        assert Ack.COMMITTED is (await bench.succeed(lease)).ack


async def test_a_clock_that_is_spent_is_refused(bench: Bench) -> None:
    """Before a number could be given twice; nothing is written."""
    bench.client.hset(META, "clock", LAST + 1)

    with pytest.raises(Exception, match="year 2309"):
        await bench.submit()

    assert 0 == bench.client.exists(f"{P}states")
    bench.client.hset(META, "clock", 1)


# Items of the others are empty.
@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb not in ("resync", "stats", "classes")])
def test_no_item_is_no_work(bench: Bench, verb: str) -> None:
    """A script without an item answers with an empty list and changes nothing."""
    before = sorted(bench.client.scan_iter("*"))

    assert [] == bench.client.eval(script(verb).source, 1, P, 0, *["0"] * 20)

    assert before == sorted(bench.client.scan_iter("*"))


@pytest.mark.parametrize("count", [1, 50, 51])
async def test_batches_are_carried_out_in_order(bench: Bench, count: int) -> None:
    """One call, as many as a script takes, and one more."""
    bench.admit()
    jobs = await asyncio.gather(*(bench.submit(f"{number:02}") for number in range(count)))
    assert sorted(job.create for job in jobs) == [job.create for job in jobs]
    await bench.dispatch(free=1)
    leases = []
    while grants := await bench.dispatch(free=60):
        leases += [grant.lease for grant in grants]
    accepted = await asyncio.gather(*map(bench.store.accept, leases))
    acks = await asyncio.gather(*map(bench.succeed, leases))

    assert [f"{number:02}" for number in range(1, count)] == [lease.name.job_id for lease in leases]
    assert {Verdict.KEEP} >= {ruling.verdict for ruling in accepted}
    assert {Ack.COMMITTED} >= {answer.ack for answer in acks}


NOBODY = Lease(name=a_job().name, token=1)
EMPTY: dict[str, tuple[Callable[[Bench], Awaitable[object]], object]] = {
    "get": (lambda bench: bench.find(), None),
    "list": (
        lambda bench: bench.store.list_names("default", states=(), labels={"a": "b"}, before=None, limit=5), ([], None)
    ),
    "cancel": (lambda bench: bench.store.cancel(NOBODY.name, reason=""), (CancelReply.NOT_FOUND, None)),
    "retry": (lambda bench: bench.retry(), (RetryReply.NOT_FOUND, None)),
    "delete": (lambda bench: bench.delete(), DeleteReply.NOT_FOUND),
    "accept": (lambda bench: bench.store.accept(NOBODY), Verdict.STALE),
    "renew": (lambda bench: bench.store.renew(NOBODY, sequence=1, progress=b"p"), Verdict.STALE),
    "publish": (lambda bench: bench.store.publish(NOBODY), Verdict.STALE),
    "finish": (lambda bench: bench.succeed(NOBODY), Ack.STALE),
    "adopt": (lambda bench: bench.store.adopt(NOBODY, WORKER), False),
    "register": (lambda bench: bench.store.register(WORKER), RegisterReply.OK),
    "disconnect": (lambda bench: bench.store.disconnect(WORKER, shorten=True), None),
    "workers": (lambda bench: bench.store.workers("", 5), []),
    "audit": (lambda bench: bench.audit(), {}),
    "check": (lambda bench: bench.store.check([a_job()]), [None]),
}  # fmt: skip


@pytest.mark.parametrize("verb", EMPTY)
async def test_an_empty_store_has_an_answer(bench: Bench, verb: str) -> None:
    """Whatever is asked of a store that has nothing."""
    bench.client.flushall()
    ask, expected = EMPTY[verb]

    answer = await ask(bench)

    assert expected == getattr(answer, "verdict", getattr(answer, "ack", answer))


async def test_an_empty_store_has_no_stream(bench: Bench) -> None:
    """A worker that it does not know is fenced, and connects anew."""
    bench.client.flushall()

    with pytest.raises(StreamFenced):
        await bench.dispatch()
    with pytest.raises(StreamFenced):
        await bench.store.reclaim(WORKER, [])
    report = WorkerReport(stream=WORKER, offer=OFFER, draining=False)
    assert [WORKER] == await bench.store.report_workers([report])
    swept = await bench.store.sweep()
    assert (0, False, 0) == (swept.broken, swept.frozen, swept.repaired)


@pytest.mark.parametrize(
    "key",
    [
        "states",
        "cjobs",
        "tcl:default",
        "n:default",
        "ix:default:R",
        "wl:w1",
        "x:default:job",
        "h:default:job",
        "vt",
        "feed",
    ],
)
async def test_a_key_that_is_gone_stops_no_job(bench: Bench, key: str) -> None:
    """Whoever took it, the job that runs ends, and another one is taken in; the auditor mends what is left of it."""
    lease = await bench.start()
    await bench.store.renew(lease, sequence=1, progress=b"p")
    bench.client.delete(f"{P}{key}")

    assert Verdict.ALLOWED is (await bench.store.publish(lease)).verdict
    assert Ack.COMMITTED is (await bench.succeed(lease)).ack
    assert JobState.SUCCEEDED is await bench.state()
    await bench.succeed(await bench.start("next"))
    await bench.audit()


async def test_numbers_rise_when_the_clock_is_set_back(bench: Bench) -> None:
    """Tokens and revisions go on from where they were, and so does time: a sweep notes how far Redis is behind."""
    first = await bench.start("first")
    before = await bench.job("first")
    jump(bench, -HOUR)

    later = await bench.submit("later")
    await bench.store.sweep()
    second = await bench.lease("later")

    assert before.revision < later.create < second.token
    assert later.create - before.revision < 60e6
    assert Verdict.KEEP is (await bench.store.renew(first, sequence=1, progress=b"p")).verdict
    assert (await bench.job("first")).revision > second.token


@pytest.mark.parametrize("swept_first", [True, False])
async def test_leases_run_as_ever_when_the_clock_is_set_back(bench: Bench, swept_first: bool) -> None:
    """They do not run out at once, and a dead worker's does not live for an hour more."""
    kept, dead = await bench.start("kept"), await bench.start("dead")
    jump(bench, -HOUR)
    if swept_first:
        await bench.store.sweep()
    assert Verdict.KEEP is (await bench.store.renew(kept, sequence=1, progress=b"")).verdict
    assert 0 == (await bench.store.sweep()).lost

    bench.advance(bench.times.ttl - SECOND)
    await bench.store.renew(kept, sequence=2, progress=b"")
    assert 0 == (await bench.store.sweep()).lost
    bench.advance(4 * SECOND)

    assert 1 == (await bench.store.sweep()).lost
    assert (JobState.RUNNING, JobState.QUEUED) == (await bench.state("kept"), await bench.state("dead"))
    assert Ack.STALE is (await bench.succeed(dead)).ack


async def test_what_is_granted_before_a_sweep_notices_is_a_lease(bench: Bench) -> None:
    """Time stands still until then, so it does not run out in the moment when time is found to be ahead."""
    await bench.submit()
    jump(bench, -HOUR)
    lease = await bench.lease()
    await bench.store.accept(lease)

    swept = await bench.store.sweep()

    assert (0, 0) == (swept.lost, swept.returned)
    assert JobState.RUNNING is await bench.state()


async def test_what_waits_becomes_due_when_the_clock_is_set_back(bench: Bench) -> None:
    """A backoff of ten seconds is one of ten seconds, and a dead scheduler's workers are free within five."""
    await bench.fail(await bench.start(), FailureKind.RETRYABLE)
    jump(bench, -HOUR)
    await bench.store.sweep()
    bench.advance(11 * SECOND)

    assert 1 == (await bench.store.sweep()).promoted


async def test_time_catches_up_slowly(bench: Bench) -> None:
    """What it is ahead shrinks by a tenth of the time that goes by, never so that time goes back."""
    job = await bench.submit("first")
    jump(bench, -timedelta(seconds=3))
    await bench.store.sweep()
    ahead = [int(bench.client.hget(META, "ahead") or 0)]
    for _ in range(40):
        bench.client.hincrby(META, "test_shift_us", 1_000_000)
        await bench.store.sweep()
        ahead.append(int(bench.client.hget(META, "ahead") or 0))

    assert 2.9e6 < ahead[0] <= 3e6
    assert sorted(ahead, reverse=True) == ahead
    assert 0 == ahead[-1]
    assert 2.7e6 < ahead[1] < 2.95e6
    assert (await bench.submit("last")).create - job.create > 30e6


async def test_a_clock_that_is_set_right_again_is_followed(bench: Bench) -> None:
    """Set back by an hour and forward again: time goes on, and no lease runs out for it. What is left is caught up."""
    lease = await bench.start()
    for by in (-HOUR, HOUR):
        jump(bench, by)
        assert 0 == (await bench.store.sweep()).lost

    assert 0 <= int(bench.client.hget(META, "ahead") or 0) <= 2_000_000
    assert Verdict.KEEP is (await bench.store.renew(lease, sequence=1, progress=b"")).verdict


async def test_a_clock_that_leaps_ends_no_lease(bench: Bench) -> None:
    """An hour forward is like an outage of an hour: every worker has a TTL to renew."""
    await bench.start()
    jump(bench, HOUR)

    swept = await bench.store.sweep()

    assert (True, 0) == (swept.frozen, swept.lost)
