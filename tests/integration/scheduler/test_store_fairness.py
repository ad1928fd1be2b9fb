"""What tenants are charged for being served, on a real server: in every class where they wait, and nobody has credit."""

from __future__ import annotations

from support.store_bench import DEFAULT_CLASS, WORKER, Bench
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.store.keys import prefix

GPU = JobClass(queue="default", units=1, requirements=frozenset({"gpu"}))


async def grant_only(bench: Bench, job_class: JobClass) -> str | None:
    """The tenant of the next job of one class; it is done at once."""
    await bench.classes.refresh()
    class_id = bench.classes.id_of(job_class)
    assert class_id
    for grant in (await bench.store.dispatch(WORKER, free=1, classes={class_id: 1})).grants:
        await bench.succeed(grant.lease)
        return grant.lease.name.tenant
    return None


async def test_what_others_were_served_elsewhere_starves_nobody(bench: Bench) -> None:
    """A newcomer to one class starts where that class is, however much was served in another."""
    bench.store._admission = bench.store._admission.__class__()
    for number in range(30):
        await bench.submit(f"other{number}", tenant="a")
    for number in range(20):
        await bench.submit(f"big{number}", tenant="b", job_class=GPU)
    for _ in range(30):
        assert "a" == await grant_only(bench, DEFAULT_CLASS)
    for number in range(5):
        await bench.submit(f"small{number}", tenant="c", job_class=GPU)

    served = [await grant_only(bench, GPU) for _ in range(10)]

    assert (5, 5) == (served.count("b"), served.count("c"))


async def test_a_second_class_is_no_second_share(bench: Bench) -> None:
    """What a tenant is served in one class counts in the others where it waits."""
    bench.store._admission = bench.store._admission.__class__()
    for tenant in ("a", "b"):
        for number in range(12):
            await bench.submit(f"{tenant}{number}", tenant=tenant)
    for number in range(12):
        await bench.submit(f"gpu{number}", tenant="a", job_class=GPU)

    served = []
    for _ in range(6):
        [grant] = await bench.dispatch()
        await bench.succeed(grant.lease)
        served.append(grant.lease.name.tenant)

    assert (3, 3) == (served.count("a"), served.count("b"))


async def test_a_grant_that_came_to_nothing_costs_nothing(bench: Bench) -> None:
    """The charge of a refused grant is given back, also when the job then waits."""
    await bench.submit("x", tenant="a")
    await bench.submit("y", tenant="b")
    for _ in range(3):
        [grant] = await bench.dispatch()
        assert ("x", {b"a": 1.0}) == (grant.lease.name.job_id, ahead(bench, "v"))
        await bench.store.accept(grant.lease, refusal="NO_SLOT")

    assert ({}, {b"b": 0.0}) == (ahead(bench, "v"), ahead(bench, "fair"))


async def test_a_returned_job_gives_back_its_charge_in_every_class(bench: Bench) -> None:
    """Where its tenant waits, it is as far as it was before the grant."""
    bench.admit()
    for number in range(6):
        await bench.submit(f"a{number}", tenant="a")
        await bench.submit(f"b{number}", tenant="b")
        await bench.submit(f"gpu{number}", tenant="a", job_class=GPU)
    leases = [grant.lease for grant in await bench.dispatch(free=4)]
    before = [ahead(bench, "fair", class_id) for class_id in (1, 2)]
    [grant] = await bench.dispatch()
    assert before != [ahead(bench, "fair", class_id) for class_id in (1, 2)]
    await bench.give_back(grant.lease)

    assert before == [ahead(bench, "fair", class_id) for class_id in (1, 2)]
    assert 4 == len(leases)


async def test_no_credit_comes_of_what_was_charged_elsewhere(bench: Bench) -> None:
    """A grant that comes to nothing puts its tenant back to the floor at most in a class where it was not charged for it."""
    bench.admit()
    await bench.submit("heavy", tenant="a", job_class=JobClass(queue="default", units=30, requirements=frozenset()))
    [heavy] = await bench.dispatch(free=30)
    for number in range(8):
        await bench.submit(f"a{number}", tenant="a", job_class=GPU)
        await bench.submit(f"b{number}", tenant="b", job_class=GPU)
    for _ in range(4):
        await grant_only(bench, GPU)
    await bench.store.accept(heavy.lease, refusal="NO_SLOT")
    floor = float(bench.client.hget(f"{prefix()}vt", "2") or 0)
    assert 0 < floor == min(ahead(bench, "fair", 2).values())

    served = [await grant_only(bench, GPU) for _ in range(8)]

    assert served.count("a") <= 5


async def test_tenants_that_are_gone_are_forgotten(bench: Bench) -> None:
    """What one was ahead is kept while others wait whom it kept waiting, and no longer."""
    bench.admit()
    for number in range(20):
        await bench.submit("job", tenant=f"t{number}")
        await bench.succeed(await bench.lease())
    assert {} == ahead(bench, "v")
    for number in range(20):
        await bench.submit("again", tenant=f"t{number}")
    for number in range(20):
        await bench.submit(f"job{number}", tenant="z")
    for _ in range(20):
        await bench.succeed((await bench.dispatch())[0].lease)
    assert {f"t{number}".encode() for number in range(20)} >= set(ahead(bench, "v"))
    for _ in range(5):
        await bench.succeed((await bench.dispatch())[0].lease)
    await bench.submit("late", tenant="late")
    while b"late" not in ahead(bench, "v"):
        await bench.succeed((await bench.dispatch())[0].lease)

    assert {b"late"} == set(ahead(bench, "v"))


def ahead(bench: Bench, key: str, class_id: int = 1) -> dict[bytes, float]:
    """Virtual times in a class: of tenants that wait (fair), or that do not and are ahead of the floor (v)."""
    return dict(bench.client.zrange(f"{prefix()}{key}:{class_id}", 0, -1, withscores=True))
