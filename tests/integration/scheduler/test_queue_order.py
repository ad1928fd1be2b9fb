"""Who is served first: priority that ages, FIFO among equals, tenants by turns, units and classes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from support.store_bench import DEFAULT_CLASS, WORKER, Bench
from telecine_scheduler.domain.errors import QueueFull, TooManyClasses
from telecine_scheduler.domain.job import FailureKind
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.store.keys import prefix


async def order(bench: Bench) -> list[str]:
    """The ids of everything ready, in the order it is granted."""
    return [grant.lease.name.job_id for grant in await bench.dispatch(free=10)]


async def test_equal_jobs_come_first_in_first_out(bench: Bench) -> None:
    """Jobs of one priority are granted in the order they were submitted."""
    for job_id in ("c", "a", "b"):
        await bench.submit(job_id)

    assert ["c", "a", "b"] == await order(bench)


async def test_a_higher_priority_comes_first(bench: Bench) -> None:
    """Among jobs submitted together the highest priority is granted first."""
    for priority in (10, 90, 50):
        await bench.submit(f"p{priority}", priority=priority)

    assert ["p90", "p50", "p10"] == await order(bench)


async def test_one_level_of_priority_is_worth_ten_minutes(bench: Bench) -> None:
    """A job that has waited longer than the difference is served before a higher one."""
    await bench.submit("old", priority=49)
    bench.advance(timedelta(minutes=10, seconds=1))
    await bench.submit("new", priority=50)

    assert ["old", "new"] == await order(bench)


async def test_less_waiting_than_the_difference_does_not_make_up_for_it(bench: Bench) -> None:
    """Just under ten minutes, the higher priority still wins."""
    await bench.submit("old", priority=49)
    bench.advance(timedelta(minutes=9, seconds=59))
    await bench.submit("new", priority=50)

    assert ["new", "old"] == await order(bench)


async def test_a_returned_job_keeps_its_place(bench: Bench) -> None:
    """A job given back unharmed is granted before those submitted after it."""
    lease = await bench.start("first")
    await bench.submit("second")
    await bench.give_back(lease)

    assert ["first", "second"] == await order(bench)


async def test_a_retried_job_goes_behind(bench: Bench) -> None:
    """After a backoff a job takes a new place, so that a failing one cannot hold the head."""
    lease = await bench.start("failing")
    await bench.submit("other")
    await bench.fail(lease, FailureKind.RETRYABLE)
    bench.advance(timedelta(seconds=11))
    await bench.store.sweep()

    assert ["other", "failing"] == await order(bench)


async def test_tenants_take_turns(bench: Bench) -> None:
    """One tenant's backlog does not keep another waiting, whatever the priorities."""
    for number in range(3):
        await bench.submit(f"big{number}", tenant="big", priority=100)
    await bench.submit("small", tenant="small", priority=0)

    assert 1 >= (await order(bench)).index("small")


async def test_an_idle_tenant_banks_no_credit(bench: Bench) -> None:
    """A tenant that comes back gets its turns, not all those it did not use."""
    for number in range(4):
        await bench.succeed(await bench.start(f"b{number}", tenant="busy"))
    for number in range(3):
        await bench.submit(f"back{number}", tenant="back")
    for number in range(2):
        await bench.submit(f"busy{number}", tenant="busy")

    assert "busy0" in (await order(bench))[:3]


async def test_a_heavy_job_is_waited_for(bench: Bench) -> None:
    """A head that needs more units than are free is not passed by smaller jobs behind it."""
    heavy = JobClass(queue="default", units=2, requirements=frozenset())
    await bench.submit("heavy", job_class=heavy)
    await bench.submit("light")

    assert [] == await bench.dispatch(free=1)
    assert ["heavy"] == [grant.lease.name.job_id for grant in await bench.dispatch(free=2)]


async def test_a_worker_is_granted_only_what_it_serves(bench: Bench) -> None:
    """A job whose queue or requirements the worker does not offer stays where it is."""
    await bench.submit("elsewhere", job_class=JobClass(queue="elsewhere", units=1, requirements=frozenset()))
    await bench.submit("asks", job_class=JobClass(queue="default", units=1, requirements=frozenset({"zone/eu"})))
    await bench.submit("fits", job_class=JobClass(queue="other", units=1, requirements=frozenset({"gpu"})))

    assert ["fits"] == await order(bench)


async def test_the_queue_has_a_limit(bench: Bench) -> None:
    """One job too many, in all or of one tenant, is refused, and nothing of it is kept."""
    for number in range(4):
        await bench.submit(f"job{number}")
    with pytest.raises(QueueFull, match="tenant default has 4"):
        await bench.submit("fifth")
    await bench.submit("other", tenant="other")
    with pytest.raises(QueueFull, match="the queue has 5"):
        await bench.submit("sixth", tenant="third")


async def test_a_running_job_is_not_queued(bench: Bench) -> None:
    """The limit counts what waits, not what runs."""
    for number in range(4):
        await bench.submit(f"job{number}")
    [grant] = await bench.dispatch()
    await bench.store.accept(grant.lease)

    assert "fifth" == (await bench.submit("fifth")).name.job_id


async def test_classes_are_bounded(bench: Bench) -> None:
    """A tenant may have so many distinct sets of needs with unfinished jobs; finished ones make room."""
    bench.store._admission = bench.store._admission.__class__(max_classes_per_tenant=2)
    leases = [await bench.start("a")]
    await bench.submit("b", job_class=JobClass(queue="b", units=1, requirements=frozenset()))
    third = JobClass(queue="c", units=1, requirements=frozenset())
    with pytest.raises(TooManyClasses, match="at most 2"):
        await bench.submit("c", job_class=third)

    await bench.succeed(leases[0])

    assert "c" == (await bench.submit("c", job_class=third)).name.job_id


async def test_classes_nobody_uses_make_room(bench: Bench) -> None:
    """When the table is full, classes without unfinished jobs are dropped from it."""
    bench.store._admission = bench.store._admission.__class__(max_classes=1)
    for number in range(3):
        await bench.submit(f"a{number}")
    await bench.submit("other", tenant="other")
    for _ in range(4):
        [grant] = await bench.dispatch()
        await bench.succeed(grant.lease)
    await bench.dispatch()
    kept = [key.encode() for key in (f"{prefix()}idle:1", f"{prefix()}vt")]
    assert 2 == bench.client.exists(*kept)

    await bench.submit("b", job_class=JobClass(queue="b", units=1, requirements=frozenset()))

    assert [] == [key for key in kept if bench.client.exists(key)]
    await bench.classes.refresh()
    assert bench.classes.id_of(DEFAULT_CLASS) is None


async def test_a_class_that_made_room_is_not_served_again(bench: Bench) -> None:
    """A scheduler that has not heard of it asks for nothing, and leaves nothing behind."""
    await bench.submit()

    assert ["job"] == [
        grant.lease.name.job_id
        for grant in (await bench.store.dispatch(WORKER, free=2, classes={"99": 1, "1": 1})).grants
    ]
    assert [f"{prefix()}idle:1".encode()] == bench.client.keys(f"{prefix()}idle:*")


async def test_a_dispatch_for_a_fenced_stream_gets_nothing(bench: Bench) -> None:
    """Only the registered stream of a worker is granted anything."""
    from dataclasses import replace

    from telecine_scheduler.domain.errors import StreamFenced

    await bench.submit()
    with pytest.raises(StreamFenced):
        await bench.dispatch(replace(WORKER, epoch=0))


async def test_a_job_that_was_refused_keeps_its_place(bench: Bench) -> None:
    """After its wait it comes before those submitted later."""
    await bench.submit("first")
    for _ in range(3):
        await bench.store.accept(await bench.lease("first"), refusal="NO_SLOT")
    await bench.submit("second")
    bench.advance(timedelta(seconds=16))
    await bench.store.sweep()

    assert ["first", "second"] == await order(bench)
