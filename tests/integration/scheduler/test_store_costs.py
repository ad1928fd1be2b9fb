"""What calls cost Redis, counted on a real server: commands within scripts included. A limit here is raised only knowingly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable

from support.store_bench import WORKER, Bench
from telecine_scheduler.domain.lease import Lease

# Of the connection, and of the counting.
NOT_COUNTED = {"info", "evalsha", "script|load", "hello", "client|setname", "client|setinfo"}
# What the calls of a job's usual path cost before they learned to adopt, to forgive and to be audited.
MOST = {
    "first submit": 35, "submit": 30, "dispatch": 20, "accept": 22, "renew": 4, "progress": 9, "publish": 5, "finish": 29,
    "sweep": 11, "empty dispatch": 7,
}  # fmt: skip
CLASSES = {"1": 1}


def counted(bench: Bench) -> Counter[str]:
    """Commands so far, by name."""
    stats = bench.client.info("commandstats")
    each = {name.removeprefix("cmdstat_"): each["calls"] for name, each in stats.items()}
    return Counter({name: number for name, number in each.items() if name not in NOT_COUNTED})


async def granted(bench: Bench) -> list[Lease]:
    return [grant.lease for grant in (await bench.store.dispatch(WORKER, free=1, classes=CLASSES)).grants]


async def a_life(bench: Bench) -> None:
    """A job from its submit to its success, after which all scripts are known."""
    lease = await bench.start("before")
    await bench.store.renew(lease, sequence=1, progress=b"progress")
    await bench.store.publish(lease)
    await bench.succeed(lease)
    await bench.store.sweep()
    await bench.classes.refresh()


async def test_the_usual_path_costs_no_more_than_it_did(bench: Bench) -> None:
    """Each call of it, while another job waits."""
    bench.admit()
    await a_life(bench)
    costs: dict[str, Counter[str]] = {}

    async def cost(call: str, asked: Awaitable[object]) -> None:
        before = counted(bench)
        await asked
        costs[call] = counted(bench) - before

    await cost("first submit", bench.submit("job"))
    await cost("submit", bench.submit("another"))
    before = counted(bench)
    [lease] = await granted(bench)
    costs["dispatch"] = counted(bench) - before
    await cost("accept", bench.store.accept(lease))
    await cost("renew", bench.store.renew(lease, sequence=1, progress=b""))
    await cost("progress", bench.store.renew(lease, sequence=2, progress=b"progress"))
    await cost("publish", bench.store.publish(lease))
    await cost("finish", bench.succeed(lease))
    await cost("sweep", bench.store.sweep())
    await granted(bench)
    await granted(bench)
    await cost("empty dispatch", granted(bench))

    assert {} == {call: each for call, each in costs.items() if each.total() > MOST[call]}
    assert MOST.keys() == costs.keys()
