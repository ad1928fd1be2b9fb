"""The directory of workers on a real server."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from support.store_bench import WORKER, Bench
from telecine_scheduler.domain.lease import StreamId
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.domain.worker import WorkerOffer, WorkerReport
from telecine_scheduler.store.keys import prefix

OFFER = WorkerOffer(
    queues=frozenset({"default", "other"}), capabilities=frozenset({"gpu", "task/ffmpeg"}), slots=4, version="1.2"
)


def report(stream: StreamId = WORKER, **changes: object) -> WorkerReport:
    return replace(WorkerReport(stream=stream, offer=OFFER), **changes)  # type: ignore[arg-type]


async def listed(bench: Bench) -> list[str]:
    return [record.worker_id for record in await bench.store.workers("", 100)]


async def test_a_worker_is_listed_once_it_is_reported(bench: Bench) -> None:
    """With everything it offers, and when it connected and was seen."""
    assert [] == await listed(bench)
    assert [] == await bench.store.report_workers([report()])

    [record] = await bench.store.workers("", 100)

    assert (WORKER.worker_id, OFFER, 0, False) == (record.worker_id, record.offer, record.busy, record.draining)
    assert 0 < record.connected <= record.last_seen


async def test_an_offer_is_sent_once(bench: Bench) -> None:
    """Later reports say only that the worker is there; the store asks for what it does not have."""
    await bench.store.report_workers([report()])
    before = bench.client.info("commandstats")["cmdstat_set"]["calls"]
    [first] = await bench.store.workers("", 100)
    bench.advance(timedelta(seconds=2))
    await bench.store.report_workers([report(draining=True)])

    [second] = await bench.store.workers("", 100)

    assert before == bench.client.info("commandstats")["cmdstat_set"]["calls"]
    assert (True, first.connected) == (second.draining, second.connected)
    assert second.last_seen - first.last_seen >= 2_000_000


async def test_busy_counts_units(bench: Bench) -> None:
    """Of granted, running and cancelling jobs alike."""
    await bench.store.report_workers([report()])
    await bench.submit("heavy", job_class=JobClass(queue="default", units=3, requirements=frozenset()))
    await bench.submit("light")
    leases = [grant.lease for grant in await bench.dispatch(free=4)]
    assert [4] == [record.busy for record in await bench.store.workers("", 100)]
    await bench.store.cancel(leases[0].name, reason="")
    await bench.succeed(leases[1])

    assert [3] == [record.busy for record in await bench.store.workers("", 100)]


async def test_a_worker_that_leaves_is_not_listed(bench: Bench) -> None:
    """Nor brought back by a report that comes late."""
    await bench.store.report_workers([report()])
    await bench.store.disconnect(WORKER, shorten=False)
    assert [] == await listed(bench)

    assert [WORKER] == await bench.store.report_workers([report()])
    assert [] == await listed(bench)


async def test_a_worker_is_gone_with_its_scheduler(bench: Bench) -> None:
    """A scheduler that has not swept for five seconds is dead, and so is what it knows; when it is back it says so again."""
    await bench.store.report_workers([report()])
    bench.advance(bench.times.live + timedelta(seconds=1))
    assert [] == await listed(bench)
    assert 0 == bench.client.exists(f"{prefix()}workers", f"{prefix()}wo:w1")

    await bench.store.sweep()
    await bench.store.report_workers([report()])

    assert ["w1"] == await listed(bench)


async def test_a_reconnected_worker_stays_listed(bench: Bench) -> None:
    """The same process on a new stream offers what it did; the old stream's reports mean nothing any more."""
    await bench.store.report_workers([report()])
    newer = replace(WORKER, epoch=2)
    await bench.store.register(newer)
    assert ["w1"] == await listed(bench)

    assert [WORKER] == await bench.store.report_workers([report(), report(newer)])
    await bench.store.disconnect(WORKER, shorten=True)
    assert ["w1"] == await listed(bench)


async def test_a_new_process_says_anew_what_it_offers(bench: Bench) -> None:
    """What its predecessor offered is not taken for its own."""
    await bench.store.report_workers([report()])
    await bench.store.disconnect(WORKER, shorten=False)
    newer = await bench.connect("w1", "s2")
    assert [] == await listed(bench)
    offer = replace(OFFER, slots=1)
    await bench.store.report_workers([report(newer, offer=offer)])

    assert [offer] == [record.offer for record in await bench.store.workers("", 100)]


async def test_a_process_that_takes_a_dead_ones_place_offers_its_own(bench: Bench) -> None:
    """Where the stream's end was never told."""
    await bench.store.report_workers([report()])
    bench.advance(bench.times.live + timedelta(seconds=1))
    newer = await bench.connect("w1", "s2")
    await bench.store.sweep()

    assert [] == await listed(bench)
    await bench.store.report_workers([report(newer)])
    assert ["w1"] == await listed(bench)


async def test_workers_come_in_pages(bench: Bench) -> None:
    """By id; those that are gone do not make a page short."""
    ids = [f"w{number}" for number in range(10, 20)]
    streams = [await bench.connect(each) for each in ids]
    await bench.store.report_workers([report(stream) for stream in streams])
    # As though its scheduler had died.
    for gone in ids[1:4]:
        bench.client.hset(f"{prefix()}w:{gone}", "sch", "dead")

    first = [record.worker_id for record in await bench.store.workers("", 4)]
    rest = [record.worker_id for record in await bench.store.workers(first[-1], 100)]

    assert (["w10", "w14", "w15", "w16"], ["w17", "w18", "w19"]) == (first, rest)
    assert 7 == bench.client.zcard(f"{prefix()}workers")


async def test_a_worker_that_never_comes_back_is_forgotten(bench: Bench) -> None:
    """Its record goes after a week, counted anew from every stream."""
    remaining = bench.client.pttl(f"{prefix()}w:{WORKER.worker_id}")

    assert timedelta(days=6) < timedelta(milliseconds=remaining) <= timedelta(days=7)
