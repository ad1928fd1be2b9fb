"""Calls whose reply was lost, on a real server: sent again they answer the same, or ALREADY, and change nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest
import redis

from support.store_bench import OFFER, WORKER, Bench, a_job
from support.store_states import STATES
from telecine_scheduler.domain.job import FailureKind, JobName, JobState
from telecine_scheduler.domain.lease import Ack, Lease
from telecine_scheduler.domain.reply import RegisterReply
from telecine_scheduler.domain.worker import WorkerReport
from telecine_scheduler.store.keys import pack, prefix
from telecine_scheduler.store.scripts import VERBS

P = prefix()
JOB = JobName(tenant="default", job_id="job")


@dataclass(frozen=True, kw_only=True)
class Resent:
    """A call; in which state a job is before it; and what the second answer is where it is not the first one."""

    call: Callable[[Bench, Lease], Awaitable[Any]]
    state: str = ""
    again: Any = None


async def report(bench: Bench) -> object:
    return await bench.store.report_workers([WorkerReport(stream=WORKER, offer=OFFER, draining=False)])


async def submitted(bench: Bench) -> object:
    # The second answer has the spec too, so that it can be compared.
    return replace(await bench.submit(), spec=b"")


async def submit_all(bench: Bench) -> object:
    return [job for job, _ in await bench.store.submit_all([a_job(), a_job("other")])]


async def resync(bench: Bench) -> object:
    return await bench.store._fast.call("resync", ("this server", 30_000_000), ())


async def classes(bench: Bench) -> object:
    await bench.classes.refresh()
    return bench.classes.served_by(queues=frozenset({"default"}), capabilities=frozenset(), slots=1)


NEXT_EPOCH = replace(WORKER, epoch=2)
RESENT = {
    "submit": Resent(call=lambda bench, _: submitted(bench)),
    "submit_all": Resent(call=lambda bench, _: submit_all(bench)),
    "check": Resent(call=lambda bench, _: bench.store.check([a_job()])),
    "get": Resent(call=lambda bench, _: bench.find(), state="R"),
    "list": Resent(
        call=lambda bench, _: bench.store.list_names("default", states=(), labels={}, before=None, limit=5), state="R"
    ),
    "counts": Resent(call=lambda bench, _: bench.store.queue_counts("default", ""), state="R"),
    "classes": Resent(call=lambda bench, _: classes(bench), state="R"),
    "stats": Resent(call=lambda bench, _: bench.store.stats(), state="R"),
    "cancel": Resent(call=lambda bench, lease: bench.store.cancel(lease.name, reason="why"), state="R"),
    "retry": Resent(call=lambda bench, _: bench.retry(expected=1), state="F"),
    "delete": Resent(call=lambda bench, _: bench.delete(), state="S"),
    # What is ready is leased once; that nobody got the grants is mended by the accept window.
    "dispatch": Resent(call=lambda bench, _: bench.dispatch(), state="Q", again=[]),
    "accept": Resent(call=lambda bench, lease: bench.store.accept(lease), state="L"),
    "renew": Resent(call=lambda bench, lease: bench.store.renew(lease, sequence=3, progress=b"progress"), state="R"),
    "publish": Resent(call=lambda bench, lease: bench.store.publish(lease), state="R"),
    "finish": Resent(call=lambda bench, lease: bench.succeed(lease), state="R", again=Ack.ALREADY),
    "adopt": Resent(call=lambda bench, lease: bench.store.adopt(lease, WORKER), state="Q"),
    "register": Resent(call=lambda bench, _: bench.store.register(NEXT_EPOCH), again=RegisterReply.FENCED),
    "beat": Resent(call=lambda bench, _: report(bench)),
    "workers": Resent(call=lambda bench, _: bench.store.workers("", 5)),
    "reclaim": Resent(call=lambda bench, _: bench.store.reclaim(WORKER, []), state="R", again=[]),
    "disconnect": Resent(call=lambda bench, _: bench.store.disconnect(WORKER, shorten=True), state="R"),
    "sweep": Resent(call=lambda bench, _: bench.store.sweep(), state="R"),
    "audit": Resent(call=lambda bench, _: bench.audit(), state="R"),
    "resync": Resent(call=lambda bench, _: resync(bench), again=b"SAME"),
}


def test_every_verb_is_sent_twice() -> None:
    """None is forgotten here."""
    assert {*VERBS} == {*RESENT}


@pytest.mark.parametrize("verb", RESENT)
async def test_a_repeated_call_changes_nothing(bench: Bench, verb: str) -> None:
    """Neither a record nor an index nor a counter nor the feed; timers that count from now may be set again."""
    resent = RESENT[verb]
    lease = await STATES[resent.state](bench) if resent.state else Lease(name=JOB, token=1)
    if verb == "adopt":
        lease = bench.lose()
    first = await resent.call(bench, lease)
    before = picture(bench.client)

    second = await resent.call(bench, lease)

    assert before == picture(bench.client)
    if resent.again is None:
        assert unhurried(first) == unhurried(second)
    else:
        assert resent.again == getattr(second, "ack", second)


def unhurried(answer: Any) -> Any:
    """An answer without how long ago something was, or how long it took."""
    if hasattr(answer, "waited"):
        return answer.verdict
    if hasattr(answer, "oldest"):
        return answer.jobs
    if hasattr(answer, "leases"):
        return (answer.jobs, answer.leases)
    return answer


def picture(client: redis.Redis) -> dict[bytes, object]:
    """All that is kept, but for what every call of this kind does anew: times from now on."""
    kept: dict[bytes, object] = {}
    for key in client.scan_iter("*"):
        if key.startswith(f"{P}idle:".encode()):
            continue
        kind, name = client.type(key), key.removeprefix(P.encode())
        if kind == b"hash":
            fields = client.hgetall(key)
            for field in (b"clock", b"beat", b"audited", b"pb", b"sn", b"ct" if name.startswith(b"w:") else b""):
                fields.pop(field, None)
            kept[name] = fields
        elif kind == b"zset":
            entries = client.zrange(key, 0, -1, withscores=True)
            kept[name] = [entry[0] for entry in entries] if name in (b"lease", b"schedulers") else entries
        elif kind == b"set":
            kept[name] = client.smembers(key)
        elif kind == b"list":
            kept[name] = client.lrange(key, 0, -1)
        elif kind == b"stream":
            kept[name] = client.xrange(key)
        else:
            kept[name] = client.get(key)
    return kept


@pytest.mark.parametrize("outcome", [FailureKind.RETRYABLE, FailureKind.CRASH, FailureKind.PERMANENT, None])
async def test_an_outcome_is_recorded_once(bench: Bench, outcome: FailureKind | None) -> None:
    """Whichever it was: the second time it is ALREADY, or STALE where the job went on meanwhile; nothing is charged twice."""
    lease = await bench.start()

    async def report_it() -> Ack:
        return (await (bench.fail(lease, outcome) if outcome else bench.give_back(lease))).ack

    await report_it()
    before = picture(bench.client)
    assert Ack.ALREADY is await report_it()
    assert before == picture(bench.client)
    bench.advance(timedelta(minutes=1))
    await bench.store.sweep()
    if await bench.dispatch():
        before = picture(bench.client)
        assert Ack.STALE is await report_it()
        assert before == picture(bench.client)


async def test_grants_whose_reply_was_lost_go_back(bench: Bench) -> None:
    """Nobody was charged, each job is where it was, and the next worker gets them in the same order."""
    bench.admit()
    for number, priority in ((0, 50), (1, 90), (2, 50), (3, 10)):
        await bench.submit(f"{number}", priority=priority)
    order = [grant.lease.name.job_id for grant in await bench.dispatch(free=8)]
    scores = bench.client.zrange(f"{P}rdy:1:default", 0, -1, withscores=True)
    assert [] == scores

    # The reply was lost, so nobody accepts; meanwhile a later job comes.
    await bench.submit("4")
    bench.advance(bench.times.accept_window + timedelta(milliseconds=100))
    swept = await bench.store.sweep()

    assert (4, 0) == (swept.returned, swept.lost)
    assert ["1", "0", "2", "3"] == order
    again = await bench.dispatch(free=8)
    assert ["1", "0", "2", "4", "3"] == [grant.lease.name.job_id for grant in again]
    assert {1} == {grant.attempt for grant in again}
    for number in range(5):
        job = await bench.job(f"{number}")
        assert (JobState.LEASED, 0, ()) == (job.state, job.attempt_count, job.attempts)
        charged = bench.client.hmget(f"{P}j:".encode() + pack(job.name), "fa", "cr", "re", "rf")
        assert [None] * 4 == charged
