"""A load that goes on while it is counted: callers in a loop, and a window of time in the middle of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from bench.drivers.costs import Meter, per_job

# Of the window; goes before it and does not count.
WARM_UP = 0.2
# Where nothing is done.
LONGEST_SECONDS = 20.0


class Tally:
    """What a load has done so far; it ends when *running* is false."""

    def __init__(self) -> None:
        self.running = True
        self.done = 0
        self.seen: Counter[str] = Counter()


Load = Callable[[Tally], Awaitable[object]]


def callers(count: int, call: Callable[[], Awaitable[int]], *, jobs: int = 1) -> Load:
    """*count* callers, each repeats *call* as soon as it is answered; one call is so many *jobs*.

    *call* says how many messages it took; 0: that cannot be seen.
    """

    async def repeat(tally: Tally) -> None:
        while tally.running:
            messages = await call()
            # Not in one statement with the call: others add theirs meanwhile.
            tally.seen["messages"] += messages
            tally.done += jobs

    return lambda tally: asyncio.gather(*(repeat(tally) for _ in range(count)))


async def rate(name: str, load: Load, meter: Meter, seconds: float) -> dict[str, float]:
    """NAME_per_s: what *load* does in a second, what each costs, and for whatever else it saw, how many a job."""
    tally = Tally()
    running = asyncio.ensure_future(load(tally))
    try:
        await pause(running, seconds * WARM_UP, until=lambda: tally.done)
        before, done, seen, began = meter.read(), tally.done, Counter(tally.seen), time.perf_counter()
        await pause(running, seconds, until=lambda: tally.done > done)
        after, jobs, took = meter.read(), tally.done - done, time.perf_counter() - began
        found = tally.seen - seen
    finally:
        tally.running = False
        await asyncio.gather(running, return_exceptions=True)
    running.result()
    counts = {f"{name}_cost.{what}": count / max(jobs, 1) for what, count in found.items()}
    return {f"{name}_per_s": jobs / took, **per_job(name, before, after, jobs), **counts}


async def pause(running: asyncio.Future[object], seconds: float, until: Callable[[], object]) -> None:
    """Let the load run so long, and on where it has not done anything; raises what ends it before its time."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while True:
        ended, _ = await asyncio.wait({running}, timeout=seconds)
        if ended:
            running.result()
            raise AssertionError("a load ends when it is told to")
        if until():
            return
        assert time.monotonic() < deadline, f"nothing was done in {LONGEST_SECONDS:g} s"
