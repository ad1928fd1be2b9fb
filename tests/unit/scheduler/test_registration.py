"""Begins and ends of streams that a partition has not heard of: bounded however long it is away, told all at once, and right
whatever comes between.
"""

from __future__ import annotations

import asyncio

import pytest

from support.registering import Store, begun, ended, registered, stream
from telecine_scheduler.domain.errors import AlreadyConnected, StreamFenced
from telecine_scheduler.domain.reply import RegisterReply
from telecine_scheduler.service.registration import MOST_ENDS


async def test_ends_do_not_gather_while_a_partition_is_away() -> None:
    """A worker comes again and again: it keeps the first ends, one of which may have begun there, and the last one."""
    store = Store()
    registration, partition = registered(store)
    for epoch in range(1, 101):
        for worker in (1, 2):
            await ended(registration, worker, epoch)
    store.away = False
    await registration.catch_up(partition)
    for worker in (1, 2):
        heard = [each.epoch for each in store.heard if each.worker_id == f"w{worker}"]
        assert [*range(1, MOST_ENDS), 100] == heard
    await registration.catch_up(partition)
    assert 2 * MOST_ENDS == len(store.heard)


async def test_ends_are_told_at_once() -> None:
    """Not one after the other: each would wait for the answer to the one before."""
    store = Store()
    registration, partition = registered(store)
    for worker in range(50):
        await ended(registration, worker, 1)
    store.away, store.others = False, asyncio.Barrier(50)
    async with asyncio.timeout(10):
        await registration.catch_up(partition)
    assert 50 == len(store.heard)


async def test_an_end_is_told_once() -> None:
    """However many there are at the same moment: each tells its own."""
    store = Store()
    registration, _ = registered(store)
    store.away = False
    streams = [await begun(registration, worker, 1) for worker in range(50)]
    store.others = asyncio.Barrier(50)
    async with asyncio.timeout(10):
        await asyncio.gather(*(registration.close(each, shorten=True) for each in streams))
    assert 50 == len(store.heard)


async def test_begins_are_told_at_once() -> None:
    """Not one after the other, with one reading of the classes for all of them."""
    there, back = Store(away=False), Store()
    registration, partition = registered(there, back)
    streams = [await begun(registration, worker, 1) for worker in range(50)]
    back.away, back.others = False, asyncio.Barrier(50)
    async with asyncio.timeout(10):
        assert await registration.catch_up(partition)
    assert {each.id for each in streams} == set(back.begun)
    assert 50 == len(back.begun)
    assert all(each.is_in(partition) for each in streams)
    assert 1 == partition.classes.readings


@pytest.mark.parametrize("reply", [RegisterReply.OK, RegisterReply.FENCED])
async def test_a_stream_that_ends_while_it_is_registered_late(reply: RegisterReply) -> None:
    """Its end is told after its begin, so that it does not stay there; and it is not counted on."""
    back = Store()
    registration, partition = registered(Store(away=False), back)
    gone = await begun(registration, 1, 1)
    back.away, back.reply = False, reply
    back.answers.clear()
    back.asked.clear()
    async with asyncio.timeout(10):
        telling = asyncio.create_task(registration.catch_up(partition))
        await back.asked.wait()
        await registration.close(gone, shorten=True)
        assert [] == back.heard
        back.answers.set()
        assert not await telling
    assert [gone.id] == back.begun
    assert ([gone.id], [True]) == (back.heard, back.shortened)
    assert not gone.is_in(partition)


async def test_a_stream_that_ends_before_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """While those before it are registered: it is not registered any more."""
    monkeypatch.setattr("telecine_scheduler.service.registration.MOST_AT_ONCE", 1)
    back = Store()
    registration, partition = registered(Store(away=False), back)
    first, gone = [await begun(registration, worker, 1) for worker in (1, 2)]
    back.away = False
    back.answers.clear()
    back.asked.clear()
    async with asyncio.timeout(10):
        telling = asyncio.create_task(registration.catch_up(partition))
        await back.asked.wait()
        await registration.close(gone, shorten=True)
        back.answers.set()
        assert await telling
    assert [first.id] == back.begun


async def test_a_refusal_waits_for_the_other_partitions() -> None:
    """A slow one hears of the begin and then of the end: in another order the stream would stay there."""
    slow = Store(away=False)
    slow.answers.clear()
    registration, _ = registered(Store(away=False), Store(away=False, reply=RegisterReply.ALREADY_CONNECTED), slow)
    refused = stream(1, 1)

    async def come_and_go() -> None:
        with pytest.raises(AlreadyConnected):
            await registration.open(refused, [])
        await registration.close(refused, shorten=True)

    async with asyncio.timeout(10):
        coming = asyncio.create_task(come_and_go())
        await slow.asked.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        assert [] == slow.heard
        slow.answers.set()
        await coming
    assert ([refused.id], [refused.id]) == (slow.begun, slow.heard)


async def test_a_refused_stream_is_not_registered_late() -> None:
    """Where a partition did not answer, it hears of the end only."""
    back = Store()
    registration, partition = registered(
        Store(away=False), Store(away=False, reply=RegisterReply.ALREADY_CONNECTED), back
    )
    refused = stream(1, 1)
    with pytest.raises(AlreadyConnected):
        await registration.open(refused, [])
    back.away = False
    assert not await registration.catch_up(partition)
    await registration.close(refused, shorten=True)
    assert ([], [refused.id]) == (back.begun, back.heard)


@pytest.mark.parametrize("comes_back", [True, False])
async def test_the_late_end_of_a_stream_that_another_one_follows(comes_back: bool) -> None:
    """The worker has its leases on the next stream, which the partition does not know yet: they keep their time."""
    back = Store(away=False)
    registration, partition = registered(Store(away=False), back)
    old = await begun(registration, 1, 1)
    back.away = True
    await registration.close(old, shorten=True)
    if comes_back:
        await begun(registration, 1, 2)
    back.away = False
    assert comes_back is await registration.catch_up(partition)
    assert ([old.id], [not comes_back]) == (back.heard, back.shortened)


async def test_an_older_stream_that_is_still_here_does_not_count() -> None:
    """The worker left it for the one that ends now: its leases are shortened."""
    store = Store(away=False)
    registration, _ = registered(store)
    _, new = [await begun(registration, 1, epoch) for epoch in (1, 2)]
    await registration.close(new, shorten=True)
    assert ([new.id], [True]) == (store.heard, store.shortened)


async def test_a_second_stream_of_the_same_id_does_not_end_the_first() -> None:
    """It is refused. What may have heard it begin hears of its end when the first one ends."""
    unsure, fences = Store(), Store(away=False)
    unsure.known_away = True
    registration, _ = registered(unsure, fences)
    first = await begun(registration, 1, 1)
    fences.reply = RegisterReply.FENCED
    unsure.known_away = False
    second = stream(1, 1)
    with pytest.raises(StreamFenced):
        await registration.open(second, [])
    unsure.away = False
    await registration.close(second, shorten=True)
    assert ([], []) == (unsure.heard, fences.heard)
    await registration.close(first, shorten=True)
    assert ([first.id], [first.id]) == (unsure.heard, fences.heard)


async def test_a_stream_of_an_id_that_is_open_elsewhere_ends_nothing() -> None:
    """On another scheduler: a partition that fenced this one hears nothing of its end."""
    fences = Store(away=False, reply=RegisterReply.FENCED)
    registration, partition = registered(fences)
    second = stream(1, 1)
    with pytest.raises(StreamFenced):
        await registration.open(second, [])
    await registration.close(second, shorten=True)
    await registration.catch_up(partition)
    assert [] == fences.heard


async def test_a_stream_that_was_never_opened_may_be_closed() -> None:
    """Its Hello failed before: nobody is told."""
    store = Store(away=False)
    registration, _ = registered(store)
    await registration.close(stream(1, 1), shorten=True)
    assert [] == store.heard
