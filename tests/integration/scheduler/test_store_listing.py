"""Lists and counts on a real server: the index by state, the index by label, pages, and a tenant's figures."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

import pytest

from support.store_bench import DEFAULT_CLASS, WORKER, Bench, a_job
from support.store_states import STATES
from telecine_scheduler.domain.job import FailureKind, JobName, JobState
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.store.keys import prefix

# Jobs that any test here lists page by page.
MOST = 250
GPU = JobClass(queue="other", units=1, requirements=frozenset({"gpu"}))
EVERY = JobState.WAITING, JobState.QUEUED, JobState.RUNNING, JobState.CANCELLING, JobState.SUCCEEDED, JobState.FAILED


async def page(
    bench: Bench, states: Collection[JobState] = (), labels: Mapping[str, str] | None = None, *, limit: int = 100,
    before: int | None = None, tenant: str = "default",
) -> tuple[list[str], int | None]:  # fmt: skip
    names, more = await bench.store.list_names(tenant, states=states, labels=labels or {}, before=before, limit=limit)
    assert {tenant} >= {name.tenant for name in names}
    return [name.job_id for name in names], more


async def pages(bench: Bench, *, limit: int, labels: Mapping[str, str] | None = None) -> list[str]:
    """All pages, one after the other."""
    found, more = await page(bench, labels=labels, limit=limit)
    while more is not None:
        next_page, more = await page(bench, labels=labels, limit=limit, before=more)
        found += next_page
        assert len(found) <= MOST, "the pages come to no end"
    return found


async def several(bench: Bench) -> None:
    """A job in every state but QUEUED, LEASED among them; each is named for its state."""
    bench.admit()
    for state in "SFX":
        lease = await bench.start(state)
        if state == "S":
            await bench.succeed(lease)
        elif state == "F":
            await bench.fail(lease, FailureKind.PERMANENT)
        else:
            await bench.store.cancel(lease.name, reason="")
            await bench.succeed(lease)
    await bench.fail(await bench.start("W"), FailureKind.RETRYABLE)
    await bench.start("R")
    await bench.store.cancel((await bench.start("C")).name, reason="")
    await bench.submit("L")
    await bench.lease("L")


async def test_jobs_are_listed_newest_first(bench: Bench) -> None:
    """Over all states, whatever happened to them since; of the tenant that is asked for."""
    await several(bench)
    await bench.submit("elsewhere", tenant="other")

    assert (["L", "C", "R", "W", "X", "F", "S"], None) == await page(bench)
    assert (["elsewhere"], None) == await page(bench, tenant="other")
    assert ([], None) == await page(bench, tenant="nobody")


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ({JobState.FAILED}, ["F"]),
        ({JobState.QUEUED}, ["L"]),
        ({JobState.SUCCEEDED, JobState.RUNNING, JobState.CANCELLED}, ["R", "X", "S"]),
        (set(EVERY), ["L", "C", "R", "W", "F", "S"]),
    ],
)
async def test_states_narrow_a_list(bench: Bench, states: set[JobState], expected: list[str]) -> None:
    """Several states are merged by age; a job that is granted and not begun is QUEUED."""
    await several(bench)

    assert (expected, None) == await page(bench, states)


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_cover_everything_once(bench: Bench, limit: int) -> None:
    """The last page says that it is the last, also when it is full."""
    await several(bench)

    assert ["L", "C", "R", "W", "X", "F", "S"] == await pages(bench, limit=limit)
    assert None is (await page(bench, limit=7))[1]


async def test_pages_are_stable(bench: Bench) -> None:
    """A job that stays is listed exactly once, whatever comes, goes and changes its state between two pages."""
    await several(bench)
    first, more = await page(bench, limit=3)
    await bench.submit("newer")
    await bench.delete("F")
    await bench.store.cancel(JobName(tenant="default", job_id="W"), reason="")

    assert (["L", "C", "R"], ["W", "X", "S"]) == (first, (await page(bench, before=more))[0])


async def test_a_list_longer_than_a_chunk_is_whole(bench: Bench) -> None:
    """The script reads its sets a hundred entries at a time."""
    bench.admit()
    for number in range(250):
        await bench.submit(f"job{number:03}")

    expected = [f"job{number:03}" for number in reversed(range(250))]
    assert (expected, None) == await page(bench, limit=1000)
    assert expected == await pages(bench, limit=99)


async def test_labels_narrow_a_list(bench: Bench) -> None:
    """All labels must match; one that no job has ever had finds none."""
    await bench.submit("a", labels={"show": "1", "kind": "trailer"})
    await bench.submit("b", labels={"show": "1"})
    await bench.submit("c", labels={"show": "2", "kind": "trailer"})
    await bench.submit("d")

    assert ["b", "a"] == (await page(bench, labels={"show": "1"}))[0]
    assert ["a"] == (await page(bench, labels={"show": "1", "kind": "trailer"}))[0]
    assert ([], None) == await page(bench, labels={"show": "1", "kind": "film"})
    assert ([], None) == await page(bench, labels={"never": "seen"})
    assert ["c", "a"] == await pages(bench, limit=1, labels={"kind": "trailer"})


async def test_labels_and_states_narrow_together(bench: Bench) -> None:
    """Whichever of the two has less to go through: here the labels beside QUEUED, the states beside the others."""
    lease = await bench.start("done", labels={"show": "1"})
    await bench.succeed(lease)
    await bench.submit("queued", labels={"show": "1"})
    for number in range(3):
        await bench.submit(f"plain{number}")

    assert ["done"] == (await page(bench, {JobState.SUCCEEDED}, {"show": "1"}))[0]
    assert ["queued"] == (await page(bench, {JobState.QUEUED}, {"show": "1"}))[0]
    assert [] == (await page(bench, {JobState.FAILED}, {"show": "1"}))[0]


@pytest.mark.parametrize("value", ["", "=", "a=b", "\x00\x01|:", '"\\', "\u00e9\U0001f3ac", "x" * 256, "[]", "{}"])
async def test_a_label_may_say_anything(bench: Bench, value: str) -> None:
    """What goes in comes out and is found, and its index goes with the record."""
    lease = await bench.start(labels={"a/b.c-d_e": value, "b": ""})
    await bench.succeed(lease)

    assert {"a/b.c-d_e": value, "b": ""} == (await bench.job()).labels
    assert ["job"] == (await page(bench, labels={"a/b.c-d_e": value}))[0]
    await bench.delete()
    assert [] == bench.client.keys(f"{prefix()}il:*")


async def test_a_job_without_labels_keeps_none(bench: Bench) -> None:
    """Nothing is stored for them."""
    await bench.submit()

    assert ({}, 0) == ((await bench.job()).labels, bench.client.exists(f"{prefix()}x:default:job"))


async def test_a_call_looks_at_a_thousand_jobs(bench: Bench) -> None:
    """A list that fits almost nothing comes in short pages, with a place to go on from."""
    bench.admit()
    await bench.submit("first", labels={"a": "1", "b": "1"})
    for number in range(1005):
        labels = {"a": "1"} if number % 2 else {"b": "1"}
        await bench.submit(f"job{number}", labels={"c": "1"} | labels)
    both = {"a": "1", "b": "1"}
    # The smallest of the sets has 503 jobs; that of "c" would have more than a call looks at.
    assert (["first"], None) == await page(bench, labels=both)

    names, more = await page(bench, labels={"c": "1", "never": "seen"})
    assert ([], None) == (names, more)
    bench.client.zadd(f"{prefix()}il:default:never=seen", {f"ghost{number}": number for number in range(2000)})
    names, more = await page(bench, labels={"c": "1", "never": "seen"})
    bench.client.delete(f"{prefix()}il:default:never=seen")

    assert ([], True) == (names, more is not None)


async def test_what_jobs_are_asked_counts_as_looks(bench: Bench) -> None:
    """Sixteen labels to look at make pages shorter, and they cover everything all the same."""
    bench.admit()
    labels = {f"key{number}": "value" for number in range(16)}
    await bench.store.submit_all([a_job(f"job{number}", labels=labels) for number in range(MOST)])
    before = bench.client.info("commandstats").get("cmdstat_zscore", {"calls": 0})["calls"]

    first, more = await page(bench, {JobState.QUEUED}, labels, limit=1000)

    assert bench.client.info("commandstats")["cmdstat_zscore"]["calls"] - before < 1000 + 16
    assert (True, True) == (50 < len(first) < 80, more is not None)
    assert [f"job{number}" for number in reversed(range(MOST))] == await pages(bench, limit=1000, labels=labels)


async def test_the_looks_of_a_count_are_shared_by_its_classes(bench: Bench) -> None:
    """A thousand are enough for one class of six hundred jobs, and not for two: then the first by rank stand for them."""
    bench.admit()
    for job_class in (DEFAULT_CLASS, GPU):
        for tenant, jobs in (("other", range(300)), ("default", range(300, 301))):
            await bench.store.submit_all(
                [a_job(f"{job_class.queue}{n}", tenant=tenant, priority=0, job_class=job_class) for n in jobs]
            )
    bench.advance(timedelta(minutes=1))
    for job_class in (DEFAULT_CLASS, GPU):
        for jobs in (range(400, 700), range(700, 1000)):
            await bench.store.submit_all(
                [a_job(f"{job_class.queue}{n}", priority=100, job_class=job_class) for n in jobs]
            )

    everything, one = [await bench.store.queue_counts("default", queue) for queue in ("", "other")]

    assert (everything.oldest or timedelta.max) < timedelta(minutes=1) <= (one.oldest or timedelta())
    assert (2 * 601, 601) == tuple(sum(number for _, number in each.ready) for each in (everything, one))


@pytest.mark.parametrize("state", STATES)
async def test_a_job_is_counted_where_callers_see_it(bench: Bench, state: str) -> None:
    """All seven states are there, and one of them has the job; a granted one is QUEUED, a publishing one RUNNING."""
    await STATES[state](bench)

    counts = await bench.store.queue_counts("default", "")

    seen = {"L": "Q", "P": "R"}.get(state, state)
    assert {letter: int(letter == seen) for letter in "WQRCSFX"} == {s.value: n for s, n in counts.jobs.items()}


async def test_counts_are_of_a_queue_or_of_all(bench: Bench) -> None:
    """A tenant's queues are counted apart, and no other tenant's with them."""
    await bench.submit("a")
    await bench.submit("b", job_class=GPU)
    await bench.submit("c", job_class=GPU)
    await bench.submit("d", tenant="other")

    queued = [
        (await bench.store.queue_counts("default", queue)).jobs[JobState.QUEUED] for queue in ("", "default", "other")
    ]

    assert [3, 1, 2] == queued
    assert [(GPU, 2)] == list((await bench.store.queue_counts("default", "other")).ready)
    everything = (await bench.store.queue_counts("default", "")).ready
    assert {(DEFAULT_CLASS, 1), (GPU, 2)} == set(everything)


async def test_the_oldest_is_the_one_that_was_queued_first(bench: Bench) -> None:
    """By how long it has been ready, not by priority, and not another tenant's."""
    await bench.submit("others", tenant="other")
    bench.advance(timedelta(minutes=1))
    await bench.submit("old", priority=0)
    bench.advance(timedelta(minutes=1))
    await bench.submit("young", priority=100, job_class=GPU)

    oldest = (await bench.store.queue_counts("default", "")).oldest
    young = (await bench.store.queue_counts("default", "other")).oldest

    assert oldest is not None
    assert timedelta(minutes=1) <= oldest < timedelta(minutes=2)
    assert young is not None
    assert young < timedelta(minutes=1)
    assert None is (await bench.store.queue_counts("nobody", "")).oldest


async def test_the_oldest_behind_a_thousand_others_is_found(bench: Bench) -> None:
    """Where other tenants have waited longer, the tenant's own ready jobs are looked at."""
    bench.admit()
    for number in range(1001):
        await bench.submit(f"job{number}", tenant="big")
    await bench.submit("low", priority=0)
    bench.advance(timedelta(minutes=1))
    await bench.submit("high", priority=100)

    oldest = (await bench.store.queue_counts("default", "")).oldest

    assert oldest is not None
    assert oldest >= timedelta(minutes=1)


async def test_the_limit_of_a_tenant_counts_over_its_queues(bench: Bench) -> None:
    """What is queued is one number a tenant, and goes when nothing is."""
    lease = await bench.start("a", job_class=GPU)
    await bench.submit("b")
    assert b"1" == bench.client.hget(f"{prefix()}n:default", "q")

    await bench.store.cancel(JobName(tenant="default", job_id="b"), reason="")
    await bench.succeed(lease)

    assert {b"other|S": b"1", b"default|X": b"1"} == bench.client.hgetall(f"{prefix()}n:default")
    assert WORKER.worker_id == (await bench.job("a")).attempts[0].worker_id
