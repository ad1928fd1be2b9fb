"""Publishing on a real server: what a worker is promised for its window, and that the promise ends with it (T7p)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from support.store_bench import WORKER, Bench
from telecine_scheduler.domain.job import JobState, Timeout
from telecine_scheduler.domain.lease import Verdict
from telecine_scheduler.domain.reply import CancelReply
from telecine_scheduler.domain.submission import Limits

SECOND = timedelta(seconds=1)


async def test_a_publish_window_is_not_shortened(bench: Bench) -> None:
    """T7p: neither a renewal nor a broken stream takes away time a worker was promised for publishing."""
    lease = await bench.start()
    await bench.store.publish(lease)
    await bench.store.renew(lease, sequence=1, progress=b"")
    await bench.store.disconnect(WORKER, shorten=True)
    bench.advance(bench.times.publish_window - SECOND)

    assert 0 == (await bench.store.sweep()).lost


async def test_asking_to_publish_shortens_nothing(bench: Bench) -> None:
    """Where the TTL is longer than the window, the lease keeps what it has; nor does a second yes take back the first."""
    bench.store._times = replace(bench.times, publish_window=5 * SECOND)
    lease = await bench.start()
    await bench.store.publish(lease)
    bench.advance(bench.times.ttl - SECOND)

    assert 0 == (await bench.store.sweep()).lost
    bench.store._times = bench.times
    await bench.store.publish(lease)
    bench.store._times = replace(bench.times, publish_window=5 * SECOND)
    await bench.store.publish(lease)
    bench.advance(bench.times.publish_window - SECOND)
    assert 0 == (await bench.store.sweep()).lost
    assert CancelReply.PUBLISHING is (await bench.store.cancel(lease.name, reason=""))[0]


async def test_after_its_window_a_broken_stream_shortens_the_lease(bench: Bench) -> None:
    """The promise was for the window."""
    lease = await bench.start()
    await bench.store.publish(lease)
    bench.advance(bench.times.publish_window + SECOND)
    await bench.store.renew(lease, sequence=1, progress=b"")
    await bench.store.disconnect(WORKER, shorten=True)
    bench.advance(bench.times.reconnect_grace + SECOND)

    assert 1 == (await bench.store.sweep()).lost


@pytest.mark.parametrize("ask", ["renew", "publish", "sweep"])
async def test_the_promise_of_a_window_ends(bench: Bench, ask: str) -> None:
    """Renewals do not lengthen the window: once it is over, a limit ends an attempt that asked to publish long ago."""
    lease = await bench.start(limits=Limits(total=20 * SECOND))
    await bench.store.publish(lease)
    bench.advance(bench.times.publish_window - SECOND)
    assert Verdict.KEEP is (await bench.store.renew(lease, sequence=1, progress=b"")).verdict
    assert 0 == (await bench.store.sweep()).total_timeout
    bench.advance(2 * SECOND)

    if ask == "sweep":
        assert 1 == (await bench.store.sweep()).total_timeout
    else:
        asked = bench.store.publish(lease) if ask == "publish" else bench.store.renew(lease, sequence=2, progress=b"")
        assert Timeout.TOTAL_TIMEOUT is (await asked).timeout
    assert JobState.FAILED is await bench.state()


async def test_after_its_window_an_attempt_can_be_cancelled(bench: Bench) -> None:
    """It goes on running when it renews, and is promised nothing any more, unless it asks again."""
    lease = await bench.start()
    await bench.store.publish(lease)
    bench.advance(bench.times.publish_window - SECOND)
    await bench.store.renew(lease, sequence=1, progress=b"")
    assert CancelReply.PUBLISHING is (await bench.store.cancel(lease.name, reason=""))[0]
    bench.advance(2 * SECOND)
    await bench.store.publish(lease)
    assert CancelReply.PUBLISHING is (await bench.store.cancel(lease.name, reason=""))[0]
    bench.advance(bench.times.publish_window - SECOND)
    await bench.store.renew(lease, sequence=2, progress=b"")
    bench.advance(2 * SECOND)

    assert CancelReply.OK is (await bench.store.cancel(lease.name, reason=""))[0]
    assert Verdict.CANCEL is (await bench.store.publish(lease)).verdict
