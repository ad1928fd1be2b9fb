"""Many leases that run out together, on a real server: kept for another TTL, once, because their workers may be cut off."""

from __future__ import annotations

from datetime import timedelta

import pytest

from support.store_bench import WORKER, Bench
from telecine_scheduler.domain.figures import Swept
from telecine_scheduler.domain.lease import Lease, Verdict

SECOND = timedelta(seconds=1)


async def running(bench: Bench, count: int, *, since: timedelta = timedelta()) -> list[Lease]:
    """So many running jobs; *since* goes by after each. Sweeps go on, so that it is no outage where this takes long."""
    bench.admit()
    leases = []
    for number in range(count):
        leases.append(await bench.start(f"{count}-{number}"))
        bench.advance(since)
        await bench.store.sweep()
    return leases


async def run_out(bench: Bench) -> Swept:
    """A TTL without a renewal."""
    bench.advance(bench.times.ttl + SECOND)
    return await bench.store.sweep()


async def test_leases_that_run_out_together_are_kept_once(bench: Bench) -> None:
    """For a TTL, in which their workers may come back; those that do not have crashed then. The alarm is given once."""
    leases = await running(bench, 6)

    first, again = await run_out(bench), await bench.store.sweep()
    assert (True, 6, 0) == (first.alarm, first.braked, first.lost)
    assert (False, 0, 0) == (again.alarm, again.braked, again.lost)
    assert Verdict.KEEP is (await bench.store.renew(leases[0], sequence=1, progress=b"")).verdict

    bench.advance(bench.times.ttl - 2 * SECOND)
    await bench.store.renew(leases[0], sequence=2, progress=b"")
    bench.advance(3 * SECOND)
    last = await bench.store.sweep()
    assert (False, 0, 5) == (last.alarm, last.braked, last.lost)


async def test_the_brake_holds_again_when_all_are_gone(bench: Bench) -> None:
    """The next time is another time."""
    await running(bench, 6)
    await run_out(bench)
    assert 6 == (await run_out(bench)).lost
    await bench.store.sweep()
    for _ in range(6):
        await bench.store.accept((await bench.dispatch())[0].lease)

    assert (await run_out(bench)).alarm


async def test_a_cut_is_seen_though_leases_were_renewed_at_different_times(bench: Bench) -> None:
    """Workers that renew every third of a TTL run out over that long after they were cut off."""
    await running(bench, 6, since=bench.times.ttl / 20)

    bench.advance(bench.times.ttl * 0.75)
    first = await bench.store.sweep()
    bench.advance(bench.times.ttl * 0.3)
    later = await bench.store.sweep()

    assert (True, 0, 0) == (first.alarm, first.lost, later.lost)
    assert 6 == first.braked + later.braked


@pytest.mark.parametrize(("silent", "renewing"), [(5, 0), (6, 14), (9, 21)])
async def test_few_leases_that_run_out_have_crashed(bench: Bench, silent: int, renewing: int) -> None:
    """Up to five, or up to three in ten of all."""
    await running(bench, silent)
    kept = await running(bench, renewing)
    bench.advance(bench.times.ttl - 10 * SECOND)
    for lease in kept:
        await bench.store.renew(lease, sequence=1, progress=b"")
    await bench.store.sweep()
    bench.advance(11 * SECOND)

    swept = await bench.store.sweep()

    assert (False, silent) == (swept.alarm, swept.lost)


async def test_grants_that_nobody_accepted_go_back_at_once(bench: Bench) -> None:
    """However many: nobody runs them."""
    bench.admit()
    for number in range(8):
        await bench.submit(f"{number}")
    assert 8 == len(await bench.dispatch(free=8))

    bench.advance(bench.times.accept_window + SECOND)
    swept = await bench.store.sweep()

    assert (False, 8, 0) == (swept.alarm, swept.returned, swept.braked)


async def test_cancels_are_not_kept_waiting(bench: Bench) -> None:
    """A cancelling job ends at its grace, also while the brake holds."""
    leases = await running(bench, 8)
    for lease in leases[:2]:
        await bench.store.cancel(lease.name, reason="")

    swept = await run_out(bench)

    assert (2, 6) == (swept.cancelled, swept.braked)


async def test_a_worker_that_was_seen_to_leave_has_left(bench: Bench) -> None:
    """Its stream ended by itself: what it held is another's at once, though it held everything."""
    await running(bench, 8)
    await bench.store.disconnect(WORKER, shorten=True)
    bench.advance(bench.times.reconnect_grace + SECOND)

    swept = await bench.store.sweep()

    assert (False, 8) == (swept.alarm, swept.lost)


async def test_streams_that_ended_together_are_cut_off(bench: Bench) -> None:
    """Where a scheduler left the leases alone, because a balancer or a network took many streams, the brake holds."""
    await running(bench, 8)
    await bench.store.disconnect(WORKER, shorten=False)

    assert (await run_out(bench)).alarm


async def test_an_outage_has_its_own_grace(bench: Bench) -> None:
    """After the freeze there is no second TTL for the same."""
    await running(bench, 6)
    bench.client.hincrby("telecine:{p0}:meta", "test_shift_us", 90_000_000)
    assert (await bench.store.sweep()).frozen

    assert 6 == (await run_out(bench)).lost


async def test_more_than_one_sweep_handles_are_all_kept(bench: Bench) -> None:
    """A sweep looks at fifty at a time."""
    await running(bench, 60)

    first = await run_out(bench)
    second = await bench.store.sweep()

    assert (50, True, 10, 0) == (first.braked, first.more, second.braked, second.lost)
