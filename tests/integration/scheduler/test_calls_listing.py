"""ListJobs and GetQueueStats on a real server: filters, views, stable pages, tokens."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import grpc
import pytest

from support.rpc_errors import refusal
from support.running_scheduler import Running, ScriptedWorker, a_spec
from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.rpc import queries
from telecine_scheduler.store.job_store import JobStore

Code = grpc.StatusCode
Queued, Running_, Succeeded, Cancelled = (
    job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_CANCELLED,
)  # fmt: skip


async def fill(scheduler: Running, count: int, prefix: str = "job", tenant: str = "", **changes: Any) -> None:
    """So many jobs, one after the other in order."""
    requests = [
        pb.SubmitJobRequest(tenant=tenant, job_id=f"{prefix}{number}", spec=a_spec(**changes))
        for number in range(count)
    ]
    await scheduler.jobs.BatchSubmitJobs(pb.BatchSubmitJobsRequest(requests=requests))


async def page(scheduler: Running, **request: Any) -> pb.ListJobsResponse:
    return await scheduler.jobs.ListJobs(pb.ListJobsRequest(**request))


async def pages(scheduler: Running, **request: Any) -> list[str]:
    """The ids on all pages."""
    ids: list[str] = []
    token = ""
    while True:
        response = await page(scheduler, page_token=token, **request)
        ids += [job.job_id for job in response.jobs]
        token = response.next_page_token
        if not token:
            return ids


async def cancel(scheduler: Running, job_id: str) -> None:
    await scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id=job_id))


async def test_jobs_are_listed_newest_first_page_by_page(scheduler: Running) -> None:
    """Every job once, fifty a page unless asked otherwise, and no token after the last."""
    await fill(scheduler, 120)
    newest_first = [f"job{number}" for number in reversed(range(120))]

    first = await page(scheduler)
    assert (newest_first[:50], True) == ([job.job_id for job in first.jobs], bool(first.next_page_token))
    for size in (7, 120, 1000):
        assert newest_first == await pages(scheduler, page_size=size)


async def test_a_list_is_narrowed_by_states_and_labels(scheduler: Running) -> None:
    """States are alternatives, labels must all match; what nobody has gives nothing."""
    await fill(scheduler, 4, "news", labels={"show": "news", "part": "1"})
    await fill(scheduler, 4, "film", labels={"show": "film", "part": "1"})
    await fill(scheduler, 1, "plain")
    await cancel(scheduler, "news0")
    await cancel(scheduler, "plain0")

    assert ["news3", "news2", "news1", "news0"] == await pages(scheduler, labels={"show": "news"})
    assert 8 == len(await pages(scheduler, labels={"part": "1"}, page_size=3))
    assert ["plain0", "news0"] == await pages(scheduler, states=[Cancelled])
    assert ["news0"] == await pages(scheduler, states=[Cancelled, Succeeded], labels={"show": "news", "part": "1"})
    assert [] == await pages(scheduler, labels={"show": "never"})
    assert [] == await pages(scheduler, labels={"never": ""})
    assert [] == await pages(scheduler, states=[Running_])


async def test_labels_may_hold_anything(scheduler: Running) -> None:
    """Separators, quotes, other scripts and NUL are just characters, in the list and in the answer."""
    values = ["a=b", "|,:", '"\\', "\0", "映画", "", " "]
    for number, value in enumerate(values):
        await fill(scheduler, 1, f"odd{number}-", labels={"a/b.c-d_e": value})

    for number, value in enumerate(values):
        [job] = (await page(scheduler, labels={"a/b.c-d_e": value})).jobs
        assert (f"odd{number}-0", value) == (job.job_id, job.labels["a/b.c-d_e"])


async def test_views_hold_what_they_say(scheduler: Running) -> None:
    """Basic without spec, attempts and artifacts; full with all of them."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        result = job_pb2.JobResult(artifacts=[job_pb2.Artifact(path="out.mp4")], measurements={"a": 1})
        await worker.finish((await worker.grant()).lease, succeeded=result)

    [basic] = (await page(scheduler)).jobs
    [full] = (await page(scheduler, view=job_pb2.JOB_VIEW_FULL)).jobs
    assert (False, 0, 0, 1) == (
        basic.HasField("spec"), len(basic.attempts), len(basic.result.artifacts), basic.result.measurements["a"],
    )  # fmt: skip
    assert (True, 1, ["out.mp4"]) == (
        full.HasField("spec"), len(full.attempts), [each.path for each in full.result.artifacts],
    )  # fmt: skip


async def test_pages_are_stable_while_everything_moves(scheduler: Running) -> None:
    """Jobs that stay are listed exactly once, while others are submitted, cancelled and deleted between and during pages."""
    await fill(scheduler, 200, "stay")
    await fill(scheduler, 100, "go")
    going = list(range(100))
    random.Random(7).shuffle(going)

    async def stir() -> None:
        for number, place in enumerate(going):
            await fill(scheduler, 3, f"new{number}-")
            await cancel(scheduler, f"go{place}")
            if number % 2:
                await scheduler.jobs.DeleteJob(pb.DeleteJobRequest(job_id=f"go{place}"))

    moving = asyncio.create_task(stir())
    for size in (7, 31, 100):
        ids = await pages(scheduler, page_size=size, states=[Queued])
        stayed = [each for each in ids if each.startswith("stay")]
        assert [f"stay{number}" for number in reversed(range(200))] == stayed
        assert len(set(ids)) == len(ids)
    await moving


async def test_a_job_that_leaves_the_filter_is_not_shown_with_a_wrong_state(scheduler: Running) -> None:
    """What was cancelled between two pages is not on the second."""
    await fill(scheduler, 4)
    first = await page(scheduler, states=[Queued], page_size=2)
    await cancel(scheduler, "job1")
    second = await page(scheduler, states=[Queued], page_size=2, page_token=first.next_page_token)

    assert ["job3", "job2", "job0"] == [job.job_id for job in (*first.jobs, *second.jobs)]


async def test_a_job_that_changes_while_a_page_is_made_is_left_out(
    scheduler: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cancelled or deleted between the finding of its name and its reading: neither is shown, and the rest is."""
    await fill(scheduler, 4)
    find = JobStore.list_names

    async def found_then_changed(self: JobStore, *args: Any, **options: Any) -> Any:
        names = await find(self, *args, **options)
        await cancel(scheduler, "job1")
        await cancel(scheduler, "job2")
        await scheduler.jobs.DeleteJob(pb.DeleteJobRequest(job_id="job2"))
        return names

    monkeypatch.setattr(JobStore, "list_names", found_then_changed)
    listed = await page(scheduler, states=[Queued])

    assert ["job3", "job0"] == [job.job_id for job in listed.jobs]


async def test_a_page_of_large_jobs_is_cut_short(scheduler: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """And goes on exactly behind the cut."""
    monkeypatch.setattr(queries, "MAX_PAGE_BYTES", 20_000)
    await fill(scheduler, 60, labels={"text": "x" * 256, "more": "y" * 256})

    first = await page(scheduler, page_size=1000)
    assert (True, True) == (len(first.jobs) < 60, bool(first.next_page_token))
    assert [f"job{number}" for number in reversed(range(60))] == await pages(scheduler, page_size=1000)


async def tokens_of(scheduler: Running) -> dict[str, str]:
    """Tokens that do not belong to a plain list of the default tenant."""
    await fill(scheduler, 3, labels={"a": "b"})
    await fill(scheduler, 3, tenant="other")
    plain = (await page(scheduler, page_size=1)).next_page_token
    return {
        "garbage": "no token at all", "base64": "QUJDREVGR0hJSktMTU5P", "short": plain[:-3], "longer": plain + "AA",
        "changed": plain[:-2] + ("AA" if plain[-2:] != "AA" else "BB"),
        "tenant": (await page(scheduler, tenant="other", page_size=1)).next_page_token,
        "states": (await page(scheduler, states=[Queued], page_size=1)).next_page_token,
        "labels": (await page(scheduler, labels={"a": "b"}, page_size=1)).next_page_token,
    }  # fmt: skip


async def test_a_token_of_another_request_is_refused(scheduler: Running) -> None:
    """Tampered, cut, invented, or of another tenant, state or label: INVALID_ARGUMENT on page_token."""
    for kind, token in (await tokens_of(scheduler)).items():
        assert token, kind
        refused = await refusal(page(scheduler, page_token=token))
        assert (kind, Code.INVALID_ARGUMENT, ["page_token"]) == (kind, refused.code, refused.fields)


async def test_a_token_does_not_mind_order_and_size(scheduler: Running) -> None:
    """States and labels are sets; page size and view may change between pages."""
    await fill(scheduler, 5, labels={"a": "1", "b": "2"})
    first = await page(scheduler, states=[Queued, Cancelled], labels={"a": "1", "b": "2"}, page_size=1)
    second = await page(
        scheduler, states=[Cancelled, Queued], labels={"b": "2", "a": "1"}, page_size=3, view=job_pb2.JOB_VIEW_FULL,
        page_token=first.next_page_token,
    )  # fmt: skip

    assert ["job3", "job2", "job1"] == [job.job_id for job in second.jobs]


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [
        ({"page_size": -1}, "page_size"),
        ({"page_size": 1001}, "page_size"),
        ({"page_token": "x" * 513}, "page_token"),
        ({"states": [0]}, "states[0]"),
        ({"states": [99]}, "states[0]"),
        ({"states": [Queued, Queued]}, "states"),
        ({"labels": {"no key!": "x"}}, 'labels["no key!"]'),
        ({"labels": {"key": "x" * 257}}, 'labels["key"]'),
        ({"tenant": "No Tenant"}, "tenant"),
        ({"view": 9}, "view"),
    ],
)
async def test_bad_requests_are_refused(scheduler: Running, request_fields: dict[str, Any], field: str) -> None:
    """Each names its field."""
    refused = await refusal(page(scheduler, **request_fields))

    assert (Code.INVALID_ARGUMENT, [field]) == (refused.code, refused.fields)


async def test_stats_count_a_tenants_jobs_by_queue(scheduler: Running) -> None:
    """All seven states, in one queue or in all; a granted job counts as queued; the oldest waits longest."""
    await fill(scheduler, 3)
    await fill(scheduler, 2, "night", queue="night")
    await fill(scheduler, 4, "other", tenant="other")
    await cancel(scheduler, "night0")
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        await worker.accept((await worker.grant()).lease)
        everything, night, nothing = [
            await scheduler.jobs.GetQueueStats(pb.GetQueueStatsRequest(queue=queue)) for queue in ("", "night", "never")
        ]

    names = {"waiting", "queued", "running", "cancelling", "succeeded", "failed", "cancelled"}
    assert names == set(everything.jobs_by_state) == set(nothing.jobs_by_state)
    assert {"queued": 3, "running": 1, "cancelled": 1} == {k: v for k, v in everything.jobs_by_state.items() if v}
    assert {"queued": 1, "cancelled": 1} == {k: v for k, v in night.jobs_by_state.items() if v}
    assert everything.oldest_queued_duration.ToTimedelta() >= night.oldest_queued_duration.ToTimedelta()
    assert [True, True, False] == [each.HasField("oldest_queued_duration") for each in (everything, night, nothing)]
    assert [(1, 2, 1, 1), (0, 0, 0, 1), (0, 0, 0, 0)] == [
        (each.worker_count, each.slot_count, each.busy_slot_count, each.blocked_job_count)
        for each in (everything, night, nothing)
    ]


async def test_stats_of_a_queue_that_cannot_be_are_refused(scheduler: Running) -> None:
    """The name has to be one."""
    refused = await refusal(scheduler.jobs.GetQueueStats(pb.GetQueueStatsRequest(queue="No Queue")))

    assert (Code.INVALID_ARGUMENT, ["queue"]) == (refused.code, refused.fields)
