"""What a submit would come to, on a real server: found out without doing it, and the same as when it is done."""

from __future__ import annotations

from dataclasses import replace

import pytest
from google.protobuf.json_format import MessageToDict

from support.redis_server import RedisServer
from support.rpc_errors import refusal
from support.running_scheduler import a_spec, running_scheduler
from support.store_bench import Bench, a_job
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.domain.admission import Admission, BatchRefused
from telecine_scheduler.domain.submission import JobClass, Submission
from telecine_scheduler.store.keys import prefix


def of_class(job_id: str, queue: str) -> Submission:
    return a_job(job_id, job_class=JobClass(queue=queue, units=1, requirements=frozenset()))


def told(refused: BatchRefused) -> object:
    return {at: (type(error), error.message) for at, error in refused.errors.items()}, refused.existing


async def several(bench: Bench) -> None:
    """A job, and one that was deleted, in a queue of five, four of a tenant, and two classes."""
    await bench.succeed(await bench.start("deleted"))
    await bench.delete("deleted")
    await bench.submit("there")
    bench.admit(max_queued=5, max_queued_per_tenant=4, max_classes=2)


@pytest.mark.parametrize(
    "jobs",
    [
        [a_job("deleted")],
        [a_job("there", digest=b"other")],
        [a_job(f"new{number}") for number in range(5)],
        [of_class("a", "x"), of_class("b", "y"), of_class("c", "z")],
        [a_job("deleted"), a_job("there"), a_job("a"), of_class("b", "x"), of_class("c", "y"), a_job("d"), a_job("e")],
    ],
)
async def test_what_a_submit_would_be_refused_for_is_found(bench: Bench, jobs: list[Submission]) -> None:
    """Each item's refusal is that of submit_all, word for word."""
    await several(bench)
    with pytest.raises(BatchRefused) as foreseen:
        await bench.store.check(jobs)

    with pytest.raises(BatchRefused) as done:
        await bench.store.submit_all(jobs)

    assert told(done.value) == told(foreseen.value)


async def test_what_is_admissible_is_not_written(bench: Bench) -> None:
    """New jobs are None, one that is there is answered as it is, and the keyspace is as it was: classes make room later."""
    await several(bench)
    await bench.store.cancel(a_job("there").name, reason="")
    bench.admit(max_classes=1)
    before = {key: bench.client.dump(key) for key in bench.client.scan_iter()}
    jobs = [of_class("new", "x"), a_job("there")]

    [new, there] = await bench.store.check(jobs)

    assert before == {key: bench.client.dump(key) for key in bench.client.scan_iter()}
    assert (None, replace(await bench.job("there"), spec=b"")) == (new, there)
    assert [False, True] == [existed for _, existed in await bench.store.submit_all(jobs)]


async def test_a_batch_out_of_bounds_is_not_checked(bench: Bench) -> None:
    """As it is not submitted."""
    with pytest.raises(ValueError, match="batch"):
        await bench.store.check([a_job("a"), a_job("a")])


async def test_validate_only_foresees_limits(redis_server: RedisServer, bench: Bench) -> None:
    """QUEUE_FULL, CLASS_LIMIT and JOB_DELETED, for one job and for a batch as a whole; a real call says the same."""
    admission = Admission(max_queued_per_tenant=2, max_classes_per_tenant=1)
    async with running_scheduler(redis_server.url, admission=admission) as scheduler:
        await scheduler.submit("there")
        await scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id="there"))
        await scheduler.jobs.DeleteJob(pb.DeleteJobRequest(job_id="there"))
        await scheduler.submit("first")
        asked = {
            "JOB_DELETED": [pb.SubmitJobRequest(job_id="there", spec=a_spec())],
            "CLASS_LIMIT": [pb.SubmitJobRequest(job_id="new", spec=a_spec(queue="other"))],
            "QUEUE_FULL": [pb.SubmitJobRequest(job_id=f"new{number}", spec=a_spec()) for number in range(2)],
        }
        for reason, requests in asked.items():
            batch = pb.BatchSubmitJobsRequest(requests=requests)
            for request in batch.requests:
                request.validate_only = True
            foreseen = await refusal(scheduler.jobs.BatchSubmitJobs(batch))
            for request in batch.requests:
                request.validate_only = False
            assert (reason, foreseen) == (foreseen.reason, await refusal(scheduler.jobs.BatchSubmitJobs(batch)))
        single = pb.SubmitJobRequest(job_id="there", spec=a_spec(), validate_only=True)
        assert "JOB_DELETED" == (await refusal(scheduler.jobs.SubmitJob(single))).reason
        good = pb.SubmitJobRequest(job_id="good", spec=a_spec(), validate_only=True)
        assert "good" == MessageToDict(await scheduler.jobs.SubmitJob(good))["job"]["jobId"]

    assert 1 == len(bench.client.keys(f"{prefix()}j:*"))
