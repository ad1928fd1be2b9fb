"""Batches on a real server: all of them, or none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from support.store_bench import Bench, a_job
from telecine_scheduler.domain.admission import BatchRefused
from telecine_scheduler.domain.errors import JobIdSpent, QueueFull, TooManyClasses
from telecine_scheduler.domain.job import JobState
from telecine_scheduler.domain.submission import JobClass, Submission
from telecine_scheduler.store.keys import prefix


def batch(ids: Iterable[str], **changes: object) -> list[Submission]:
    return [a_job(job_id, **changes) for job_id in ids]  # type: ignore[arg-type]


def of_class(job_id: str, queue: str) -> Submission:
    return a_job(job_id, job_class=JobClass(queue=queue, units=1, requirements=frozenset()))


def fingerprint(bench: Bench) -> dict[bytes, bytes | None]:
    """Every key and its value, to see that nothing changed."""
    return {key: bench.client.dump(key) for key in bench.client.scan_iter() if not key.endswith(b"meta")}


async def refused(bench: Bench, jobs: list[Submission]) -> BatchRefused:
    """The refusal of a batch, of which nothing is kept."""
    before = fingerprint(bench)
    with pytest.raises(BatchRefused) as refusal:
        await bench.store.submit_all(jobs)
    assert before == fingerprint(bench)
    return refusal.value


async def test_a_batch_is_stored_whole_and_in_order(bench: Bench) -> None:
    """500 jobs, which are granted as they were given, and answered as they are read."""
    bench.admit()
    ids = [f"job{number:03}" for number in range(500)]

    stored = await bench.store.submit_all(batch(ids, labels={"a": "1"}))

    assert [(job_id, False) for job_id in ids] == [(job.name.job_id, existed) for job, existed in stored]
    assert sorted({job.create for job, _ in stored}) == [job.create for job, _ in stored]
    assert replace(stored[7][0], spec=b"spec") == await bench.job("job007")
    assert ids[:3] == [grant.lease.name.job_id for grant in await bench.dispatch(free=3)]


async def test_a_batch_sent_twice_is_stored_once(bench: Bench) -> None:
    """Jobs that are there with an equal digest are answered as that, beside new ones."""
    await bench.store.submit_all(batch("ab"))

    stored = await bench.store.submit_all(batch("abc"))

    assert [True, True, False] == [existed for _, existed in stored]
    assert 3 == len(bench.client.keys(f"{prefix()}j:*"))


async def test_another_job_with_the_id_refuses_the_batch(bench: Bench) -> None:
    """It is named, for the caller to compare the specs; nothing of the batch is kept."""
    await bench.submit("b", digest=b"other digest", spec=b"other spec")

    refusal = await refused(bench, batch("abc"))

    assert ((1,), {}) == (refusal.existing, refusal.errors)


async def test_specs_that_turn_out_equal_can_be_said_to_be(bench: Bench) -> None:
    """The same batch with the digest that is stored goes through."""
    await bench.submit("b", digest=b"other digest")
    jobs = batch("abc")
    refusal = await refused(bench, jobs)

    assert (1,) == refusal.existing
    jobs[1] = replace(jobs[1], digest=b"other digest")

    assert [False, True, False] == [existed for _, existed in await bench.store.submit_all(jobs)]


async def test_specs_are_not_read_for_a_batch(bench: Bench) -> None:
    """Those of five hundred existing jobs would be megabytes: neither equal nor other ones are, and the answers have none."""
    await bench.submit("a")
    await bench.submit("b", digest=b"other digest")
    before = bench.client.info("commandstats").get("cmdstat_get", {"calls": 0})["calls"]

    [(job, existed), _] = await bench.store.submit_all(batch("ac"))
    await refused(bench, batch("ab"))
    await bench.store.check(batch("a"))

    assert (True, b"", b"d" * 16) == (existed, job.spec, job.digest)
    assert before == bench.client.info("commandstats").get("cmdstat_get", {"calls": 0})["calls"]


async def test_a_deleted_id_refuses_the_batch(bench: Bench) -> None:
    """As a single submit would be."""
    await bench.succeed(await bench.start("b"))
    await bench.delete("b")

    refusal = await refused(bench, batch("abc"))

    assert {1: JobIdSpent} == {at: type(error) for at, error in refusal.errors.items()}


async def test_the_whole_batch_counts_against_the_limits(bench: Bench) -> None:
    """Those that there is no room for are named; jobs that exist need none."""
    await bench.submit("a")

    refusal = await refused(bench, batch("abcdef"))

    assert {4: QueueFull, 5: QueueFull} == {at: type(error) for at, error in refusal.errors.items()}
    assert "tenant default has 4" in str(refusal.errors[4])
    assert 4 == len(await bench.store.submit_all(batch("abcd")))


async def test_jobs_that_are_refused_take_no_room(bench: Bench) -> None:
    """A bad item is not counted against those after it."""
    await bench.submit("b", digest=b"other digest")

    refusal = await refused(bench, batch("abcd"))

    assert ((1,), {}) == (refusal.existing, refusal.errors)


async def test_new_classes_of_a_batch_count_together(bench: Bench) -> None:
    """A tenant's bound is kept by the batch as a whole; a class counts once."""
    bench.admit(max_classes_per_tenant=2)
    jobs = [of_class("a", "x"), of_class("b", "y"), of_class("c", "x"), of_class("d", "z"), of_class("e", "z")]

    refusal = await refused(bench, jobs)

    assert {3: TooManyClasses, 4: TooManyClasses} == {at: type(error) for at, error in refusal.errors.items()}
    assert 3 == len(await bench.store.submit_all(jobs[:3]))


async def test_classes_nobody_uses_make_room_for_a_batch(bench: Bench) -> None:
    """But not those that the batch itself is of."""
    bench.admit(max_classes=2)
    for queue in ("default", "other"):
        job = of_class(queue, queue)
        await bench.store.submit(job, dispatches=False)
        [grant] = await bench.dispatch()
        await bench.succeed(grant.lease)

    refusal = await refused(bench, [of_class("a", "x"), of_class("b", "default"), of_class("c", "y")])
    assert {2: TooManyClasses} == {at: type(error) for at, error in refusal.errors.items()}

    await bench.store.submit_all([of_class("a", "x"), of_class("b", "default")])
    assert 2 == bench.client.hlen(f"{prefix()}classes")
    assert 1 == len(await bench.dispatch(free=2))


async def test_every_refusal_is_named(bench: Bench) -> None:
    """Items are refused for different reasons in one answer."""
    await bench.succeed(await bench.start("spent"))
    await bench.delete("spent")
    await bench.submit("taken", digest=b"other digest")

    refusal = await refused(bench, batch(["spent", "taken", "1", "2", "3", "4"]))

    assert ({0: JobIdSpent, 5: QueueFull}, (1,)) == (
        {at: type(error) for at, error in refusal.errors.items()}, refusal.existing,
    )  # fmt: skip


async def test_a_batch_out_of_bounds_is_a_defect(bench: Bench) -> None:
    """Callers check: empty, too many, two tenants, one id twice."""
    for jobs in ([], batch(f"job{n}" for n in range(501)), [a_job("a"), a_job("a", tenant="b")], batch("aa")):
        with pytest.raises(ValueError, match="batch"):
            await bench.store.submit_all(jobs)


async def test_delayed_jobs_of_a_batch_wait(bench: Bench) -> None:
    """Each item keeps its own time."""
    await bench.store.submit_all([a_job("now"), a_job("later", not_before=2**52)])

    assert (JobState.QUEUED, JobState.WAITING) == (await bench.state("now"), await bench.state("later"))
    assert ["now"] == [grant.lease.name.job_id for grant in await bench.dispatch(free=5)]
