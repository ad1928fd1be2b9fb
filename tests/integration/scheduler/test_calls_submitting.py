"""BatchSubmitJobs, SubmitJobs and validate_only on a real server: all or none, each on its own, and nothing at all."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from support.redis_server import RedisServer
from support.rpc_errors import of_status, refusal
from support.running_scheduler import NEWER_KIND, Running, ScriptedWorker, a_spec, running_scheduler
from telecine.v1 import job_pb2
from telecine.v1 import lease_service_pb2 as lease_pb
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.domain.admission import Admission

Code = grpc.StatusCode
QUEUED = job_pb2.JOB_STATE_QUEUED


def a_submit(job_id: str = "", **changes: Any) -> pb.SubmitJobRequest:
    return pb.SubmitJobRequest(job_id=job_id, spec=a_spec(**changes))


def some(count: int) -> list[pb.SubmitJobRequest]:
    return [a_submit(f"job{number}") for number in range(count)]


async def batch(scheduler: Running, *requests: pb.SubmitJobRequest) -> list[pb.SubmitJobResponse]:
    return list((await scheduler.jobs.BatchSubmitJobs(pb.BatchSubmitJobsRequest(requests=requests))).responses)


async def listed(scheduler: Running) -> list[str]:
    """The ids of all jobs, oldest first."""
    page = await scheduler.jobs.ListJobs(pb.ListJobsRequest(page_size=1000))
    return [job.job_id for job in reversed(page.jobs)]


async def test_a_batch_is_accepted_in_its_order(scheduler: Running) -> None:
    """Same order as asked and as queued; ids are made for those without one."""
    responses = await batch(scheduler, a_submit("first"), a_submit(), a_submit("third", labels={"show": "news"}))

    ids = [response.job.job_id for response in responses]
    assert (["first", "third"], ids) == ([ids[0], ids[2]], await listed(scheduler))
    assert [(QUEUED, False)] * 3 == [(response.job.state, response.duplicate) for response in responses]
    assert {"show": "news"} == dict(responses[2].job.labels)


async def test_a_batch_of_the_most_is_accepted(scheduler: Running) -> None:
    """Five hundred, and again: then all are duplicates."""
    first = await batch(scheduler, *some(500))
    again = await batch(scheduler, *some(500))

    assert ({False}, {True}) == ({each.duplicate for each in first}, {each.duplicate for each in again})
    assert [each.job.revision for each in first] == [each.job.revision for each in again]


async def test_one_bad_item_stores_nothing_and_every_violation_is_told(scheduler: Running) -> None:
    """Rules of the protos, of several fields, and between items, each by its place."""
    bad = a_submit("bad id", queue="No Queue")
    bad.spec.limits.queue_timeout.FromTimedelta(timedelta(hours=2))
    bad.spec.limits.total_timeout.FromTimedelta(timedelta(hours=1))
    bad.spec.inputs["in"].uri = "http://user@host/in.mp4"
    foreign = pb.SubmitJobRequest(tenant="other", job_id="first", spec=a_spec(), validate_only=True)

    refused = await refusal(batch(scheduler, a_submit("first"), bad, a_submit("third"), foreign))

    assert (Code.INVALID_ARGUMENT, "INVALID_REQUEST") == (refused.code, refused.reason)
    assert {
        "requests[1].job_id", "requests[1].spec.queue", "requests[1].spec.limits.queue_timeout",
        'requests[1].spec.inputs["in"].uri', "requests[3].tenant", "requests[3].validate_only", "requests[3].job_id",
    } == set(refused.fields)  # fmt: skip
    assert [] == await listed(scheduler)


async def test_a_batch_with_something_that_comes_later_stores_nothing(scheduler: Running) -> None:
    """UNIMPLEMENTED names the place."""
    later = a_submit("later")
    later.spec.task.ParseFromString(NEWER_KIND)

    refused = await refusal(batch(scheduler, a_submit("first"), later))

    assert (Code.UNIMPLEMENTED, True) == (refused.code, "requests[1]: the task kind with the number" in refused.message)
    assert [] == await listed(scheduler)


async def test_a_batch_with_taken_ids_stores_nothing(scheduler: Running) -> None:
    """Every item whose id is taken by another spec is named; one with an equal spec is none of them."""
    await batch(scheduler, a_submit("same"), a_submit("other"), a_submit("more"))

    refused = await refusal(
        batch(scheduler, a_submit("new"), a_submit("same"), a_submit("other", priority=1), a_submit("more", queue="q"))
    )

    assert (Code.ALREADY_EXISTS, "JOB_EXISTS", "2,3") == (refused.code, refused.reason, refused.metadata["requests"])
    assert ("spec.priority", "QUEUED") == (refused.metadata["fields"], refused.metadata["state"])
    assert ["same", "other", "more"] == await listed(scheduler)


async def test_a_batch_that_does_not_fit_stores_nothing(redis_server: RedisServer, client: object) -> None:
    """The limit counts the whole batch; an item that can never pass is said before one that may pass later."""
    admission = Admission(max_queued=3)
    async with asyncio.timeout(30), running_scheduler(redis_server.url, admission=admission) as scheduler:
        await batch(scheduler, a_submit("there"))
        full = await refusal(batch(scheduler, *some(3)))
        both = await refusal(batch(scheduler, *some(3), a_submit("there", priority=1)))
        left = await listed(scheduler)

    assert (Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", 5.0) == (full.code, full.reason, full.retry_seconds)
    assert ("2", "JOB_EXISTS", "2,3") == (full.metadata["requests"], both.reason, both.metadata["requests"])
    assert ["there"] == left


async def test_distinct_needs_are_bounded(redis_server: RedisServer, client: object) -> None:
    """One more set of queue and requirements than there may be is refused by every call, and known ones are not."""
    admission = Admission(max_classes_per_tenant=1)
    async with asyncio.timeout(30), running_scheduler(redis_server.url, admission=admission) as scheduler:
        await scheduler.submit("there")
        other = a_submit("other", queue="night")
        refused = [
            await refusal(scheduler.jobs.SubmitJob(other)),
            await refusal(batch(scheduler, a_submit("x"), other)),
        ]
        [answer] = await streamed(scheduler, pb.SubmitJobsRequest(requests=[other, a_submit("same")]))
        refused.append(of_status(answer.results[0].error))

    assert [(Code.RESOURCE_EXHAUSTED, "CLASS_LIMIT", 30.0)] * 3 == [
        (each.code, each.reason, each.retry_seconds) for each in refused
    ]
    assert "same" == answer.results[1].response.job.job_id


@pytest.mark.parametrize("count", [0, 501])
async def test_a_batch_has_a_bounded_number_of_items(scheduler: Running, count: int) -> None:
    """None and too many are refused alike, by the call and by the stream."""
    refused = await refusal(batch(scheduler, *some(count)))
    stream = scheduler.jobs.SubmitJobs(iter([pb.SubmitJobsRequest(requests=some(count))]))
    ended = await refusal(stream.read())

    assert [(Code.INVALID_ARGUMENT, ["requests"])] * 2 == [(each.code, each.fields) for each in (refused, ended)]


async def test_a_batch_has_bounded_bytes(scheduler: Running) -> None:
    """Between 4 MiB and what the server would take at all, the refusal is ours and says so."""
    large = a_submit()
    large.spec.inputs["in"].uri = "https://host/in.mp4"
    large.spec.inputs["in"].headers.update({f"h{number}": "x" * 8000 for number in range(7)})
    requests = [large] * 80

    refused = await refusal(batch(scheduler, *requests))
    ended = await refusal(scheduler.jobs.SubmitJobs(iter([pb.SubmitJobsRequest(requests=requests)])).read())

    assert [(Code.INVALID_ARGUMENT, ["requests"])] * 2 == [(each.code, each.fields) for each in (refused, ended)]
    assert "4194304" in refused.message


async def grants(worker: ScriptedWorker, count: int) -> set[str]:
    """The ids of so many granted jobs, and credit for no more."""
    await worker.send(credit=lease_pb.Credit(limit=count))
    granted: set[str] = set()
    while len(granted) < count:
        granted |= {grant.lease.job_id for grant in (await worker.read()).grants}
    return granted


async def test_a_batch_reaches_idle_workers(scheduler: Running) -> None:
    """Jobs of a batch are granted like any others."""
    async with ScriptedWorker(scheduler.address, slots=3) as worker:
        await worker.welcome()
        waiting = asyncio.create_task(grants(worker, 3))
        await batch(scheduler, *some(3))
        granted = await waiting

    assert {"job0", "job1", "job2"} == granted


async def test_validate_only_changes_nothing(scheduler: Running) -> None:
    """The answer is that of a real call, without a revision and times; the job is not there afterwards."""
    later = datetime.now(UTC) + timedelta(days=1)
    waits = a_submit("waits")
    waits.spec.not_before_time.FromDatetime(later)
    response = await scheduler.jobs.SubmitJob(a_submit("job", labels={"show": "news"}))
    one, two = await batch(
        scheduler, *(pb.SubmitJobRequest(job_id=each, spec=waits.spec, validate_only=True) for each in ("w1", "w2"))
    )
    fresh = pb.SubmitJobRequest(job_id="fresh", spec=a_spec(labels={"show": "news"}), validate_only=True)
    drawn = (await scheduler.jobs.SubmitJob(fresh)).job

    assert (QUEUED, "fresh", 0, False, {"show": "news"}) == (
        drawn.state, drawn.job_id, drawn.revision, drawn.HasField("create_time"), dict(drawn.labels),
    )  # fmt: skip
    assert "no worker is connected" in drawn.blocked_reason
    assert [(job_pb2.JOB_STATE_WAITING, job_pb2.WAIT_REASON_NOT_BEFORE)] * 2 == [
        (each.job.state, each.job.wait_reason) for each in (one, two)
    ]
    assert [response.job.job_id] == await listed(scheduler)


async def test_validate_only_finds_what_a_submit_would(scheduler: Running) -> None:
    """A duplicate is one, another spec is refused, and so is whatever breaks a rule: alone, in a batch and in a stream."""
    await scheduler.submit()
    same, other = (
        pb.SubmitJobRequest(job_id="job", spec=a_spec(**changes), validate_only=True)
        for changes in ({}, {"priority": 1})
    )
    broken = pb.SubmitJobRequest(job_id="new", spec=a_spec(units=-1), validate_only=True)
    new = pb.SubmitJobRequest(job_id="new", spec=a_spec(), validate_only=True)

    assert True is (await scheduler.jobs.SubmitJob(same)).duplicate
    assert "JOB_EXISTS" == (await refusal(scheduler.jobs.SubmitJob(other))).reason
    assert "INVALID_REQUEST" == (await refusal(scheduler.jobs.SubmitJob(broken))).reason
    assert ("JOB_EXISTS", "1") == (
        (refused := await refusal(batch(scheduler, new, other))).reason, refused.metadata["requests"],
    )  # fmt: skip
    [answer] = await streamed(scheduler, pb.SubmitJobsRequest(requests=[new, same, other, broken]))
    assert [False, True] == [result.response.duplicate for result in answer.results[:2]]
    assert ["JOB_EXISTS", "INVALID_REQUEST"] == [of_status(result.error).reason for result in answer.results[2:]]
    assert ["job"] == await listed(scheduler)


async def streamed(scheduler: Running, *messages: pb.SubmitJobsRequest) -> list[pb.SubmitJobsResponse]:
    """All answers to *messages*, after which the caller half-closes."""
    async with asyncio.timeout(20):
        return [response async for response in scheduler.jobs.SubmitJobs(iter(messages))]


async def test_items_of_a_stream_stand_on_their_own(scheduler: Running) -> None:
    """A bad item harms no other; its error has all that the unary call gives."""
    await scheduler.submit("there")
    bad = a_submit("bad id", queue="No Queue")
    [answer] = await streamed(
        scheduler,
        pb.SubmitJobsRequest(
            sequence=7, requests=[a_submit("a"), bad, a_submit("there", priority=1), a_submit("there")]
        ),
    )

    assert 7 == answer.sequence
    assert [("a", False), ("there", True)] == [
        (answer.results[place].response.job.job_id, answer.results[place].response.duplicate) for place in (0, 3)
    ]
    unary = await refusal(scheduler.jobs.SubmitJob(bad))
    assert unary == of_status(answer.results[1].error)
    assert (Code.ALREADY_EXISTS, "JOB_EXISTS", {"state": "QUEUED", "fields": "spec.priority"}) == (
        (taken := of_status(answer.results[2].error)).code, taken.reason, taken.metadata,
    )  # fmt: skip
    assert ["there", "a"] == await listed(scheduler)


async def test_answers_come_in_the_order_of_the_messages(scheduler: Running) -> None:
    """Many messages of different sizes, half-closed at once: all are answered, in order, and the jobs are queued in order."""
    sizes = [40, 1, 120, 3, 1, 60] * 5
    numbers = itertools.count()
    messages = [
        pb.SubmitJobsRequest(sequence=place, requests=[a_submit(f"job{next(numbers)}") for _ in range(size)])
        for place, size in enumerate(sizes)
    ]
    answers = await streamed(scheduler, *messages)

    assert list(range(len(sizes))) == [answer.sequence for answer in answers]
    jobs = [result.response.job for answer in answers for result in answer.results]
    assert [f"job{number}" for number in range(sum(sizes))] == [job.job_id for job in jobs]
    assert sorted(job.revision for job in jobs) == [job.revision for job in jobs]


async def test_a_message_out_of_bounds_ends_the_stream_after_what_came_before(scheduler: Running) -> None:
    """What was sent before it is answered; then INVALID_ARGUMENT; nothing after it is stored."""
    stream = scheduler.jobs.SubmitJobs(
        iter(
            [
                pb.SubmitJobsRequest(sequence=1, requests=[a_submit("before")]),
                pb.SubmitJobsRequest(sequence=-1, requests=[a_submit("bad")]),
                pb.SubmitJobsRequest(sequence=3, requests=[a_submit("after")]),
            ]
        )
    )
    answer = await stream.read()
    ended = await refusal(stream.read())

    assert (1, "before") == (answer.sequence, answer.results[0].response.job.job_id)
    assert (Code.INVALID_ARGUMENT, ["sequence"]) == (ended.code, ended.fields)
    assert ["before"] == await listed(scheduler)


async def test_a_caller_that_reads_nothing_is_not_read_for_ever(scheduler: Running) -> None:
    """Flow control: so many messages are taken, then writing waits; when he reads, everything is answered."""
    spec = a_spec()
    spec.labels.update({f"label{number}": "x" * 200 for number in range(16)})
    # Of each message one job is new: the others are there already, and answered at as much length.
    known = [pb.SubmitJobRequest(job_id=f"known{item}", spec=spec) for item in range(99)]
    await scheduler.jobs.BatchSubmitJobs(pb.BatchSubmitJobsRequest(requests=known))
    call = scheduler.jobs.SubmitJobs()

    async def send() -> None:
        for sequence in range(45):
            requests = [pb.SubmitJobRequest(job_id=f"j{sequence}", spec=spec), *known]
            await call.write(pb.SubmitJobsRequest(sequence=sequence, requests=requests))
        await call.done_writing()

    sending = asyncio.create_task(send())
    counts = [-1, await stored(scheduler)]
    while counts[-1] != counts[-2] or counts[-1] == len(known):
        await scheduler.jobs.ListWorkers(pb.ListWorkersRequest())
        await settle(scheduler)
        counts.append(await stored(scheduler))
    taken = counts[-1] - len(known)
    assert not sending.done()
    answers = [answer.sequence async for answer in call]
    await sending

    assert list(range(45)) == answers
    assert 45 == await stored(scheduler) - len(known)
    assert 2 <= taken < 45


async def stored(scheduler: Running) -> int:
    stats = await scheduler.jobs.GetQueueStats(pb.GetQueueStatsRequest())
    return sum(stats.jobs_by_state.values())


async def settle(scheduler: Running) -> None:
    """A while that is counted in calls: time for whatever is under way."""
    for _ in range(50):
        await scheduler.jobs.ListJobs(pb.ListJobsRequest(page_size=1))


async def test_a_caller_that_goes_away_leaves_whole_jobs(scheduler: Running) -> None:
    """Cancelled in the middle: what was stored is whole, and the same stream again completes it."""
    messages = [
        pb.SubmitJobsRequest(sequence=place, requests=[a_submit(f"j{place}-{item}") for item in range(50)])
        for place in range(8)
    ]
    call = scheduler.jobs.SubmitJobs(iter(messages))
    await call.read()
    call.cancel()
    answers = await streamed(scheduler, *messages)

    assert 400 == sum(result.HasField("response") for answer in answers for result in answer.results)
    assert 400 == await stored(scheduler)


async def test_retention_follows_the_end_and_the_spec(redis_server: RedisServer, client: object) -> None:
    """The operator's defaults by state; a job's own holds for every end."""
    from telecine_scheduler.domain.submission import Retention

    kept = Retention(succeeded=timedelta(hours=2), failed=timedelta(hours=3), cancelled=timedelta(hours=4))
    own = a_submit("own")
    own.spec.retention_duration.FromTimedelta(timedelta(hours=9))
    async with asyncio.timeout(30), running_scheduler(redis_server.url, retention=kept) as scheduler:
        await batch(scheduler, a_submit("good"), a_submit("bad"), a_submit("ended"), own)
        for job_id in ("ended", "own"):
            await scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id=job_id))
        async with ScriptedWorker(scheduler.address) as worker:
            await worker.welcome()
            await worker.finish((await worker.grant(1)).lease, succeeded=job_pb2.JobResult())
            failure = job_pb2.Failure(kind=job_pb2.Failure.KIND_PERMANENT, reason="INPUT_INVALID", message="bad")
            await worker.finish((await worker.grant(2)).lease, failed=failure)
        hours = {}
        for job_id in ("good", "bad", "ended", "own"):
            job = await scheduler.get(job_id)
            kept_for = job.expire_time.ToDatetime() - job.end_time.ToDatetime()
            hours[job_id] = round(kept_for / timedelta(hours=1), 6)

    assert {"good": 2, "bad": 3, "ended": 4, "own": 9} == hours
