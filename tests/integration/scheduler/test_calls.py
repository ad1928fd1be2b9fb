"""SchedulerService on a real server: what is accepted, what is refused and how."""

from __future__ import annotations

import asyncio
import urllib.request

import grpc
import pytest
import redis
from google.protobuf.duration_pb2 import Duration
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.redis_server import RedisServer
from support.rpc_errors import read, refusal
from support.running_scheduler import NEWER_KIND, Running, ScriptedWorker, a_spec, running_scheduler
from telecine.v1 import job_pb2, media_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.store.keys import prefix

Code = grpc.StatusCode


async def test_a_job_is_accepted_and_can_be_read(scheduler: Running) -> None:
    """The answer is the queued job; GetJob gives it with its spec, or without."""
    accepted = await scheduler.submit(priority=70)

    full = await scheduler.get()
    basic = (await scheduler.jobs.GetJob(pb.GetJobRequest(job_id="job", view=job_pb2.JOB_VIEW_BASIC))).job
    assert (job_pb2.JOB_STATE_QUEUED, accepted.revision) == (full.state, full.revision)
    assert (70, False) == (full.spec.priority, basic.HasField("spec"))


async def test_an_id_is_made_for_a_caller_without_one(scheduler: Running) -> None:
    """It is a UUIDv7, so that ids sort by time."""
    first, second = [(await scheduler.submit("")).job_id for _ in range(2)]

    assert ("7", True) == (first[14], first != second)


async def test_secrets_never_come_back(scheduler: Running) -> None:
    """Header values are blank and queries cut in every answer that has a spec, also in a refusal; the worker gets them."""
    secret = media_pb2.Input(uri="https://host/in.mp4?token=hidden", headers={"Authorization": "hidden"})
    await scheduler.submit(inputs={"in": secret})
    watched = await scheduler.jobs.WatchJob(pb.WatchJobRequest(job_id="job", view=job_pb2.JOB_VIEW_FULL)).read()
    [listed] = (await scheduler.jobs.ListJobs(pb.ListJobsRequest(view=job_pb2.JOB_VIEW_FULL))).jobs
    answers = [await scheduler.get(), watched.job, listed]
    other = media_pb2.Input(uri="https://host/other.mp4?token=hidden", headers={"Authorization": "hidden"})
    refused = await refusal(scheduler.submit(inputs={"in": other}))
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        granted = media_pb2.JobSpec.FromString((await worker.grant()).spec)

    shown = media_pb2.Input(uri="https://host/in.mp4", headers={"Authorization": ""})
    assert [shown] * 3 == [job.spec.inputs["in"] for job in answers]
    assert ("spec.inputs", False) == (refused.metadata["fields"], "hidden" in f"{refused}")
    assert secret == granted.inputs["in"]


async def test_the_same_submit_again_is_the_same_job(scheduler: Running) -> None:
    """With an equal spec the answer says duplicate, and nothing changes."""
    first = await scheduler.submit()
    request = pb.SubmitJobRequest(job_id="job", spec=a_spec())

    again = await scheduler.jobs.SubmitJob(request)

    assert (True, first.revision) == (again.duplicate, again.job.revision)


async def test_another_spec_with_the_same_id_is_refused(scheduler: Running) -> None:
    """The refusal names the job's state and the fields that differ."""
    await scheduler.submit()

    refused = await refusal(scheduler.submit(priority=9, queue="night"))

    assert (Code.ALREADY_EXISTS, "JOB_EXISTS") == (refused.code, refused.reason)
    assert {"state": "QUEUED", "fields": "spec.queue,spec.priority"} == refused.metadata


async def test_every_violation_is_listed(scheduler: Running) -> None:
    """A caller with six mistakes learns of six."""
    spec = a_spec(queue="No Queue", priority=101, units=-1)
    spec.task.transcode.video.width_px = 9000
    spec.task.transcode.path = "../out.mp4"

    refused = await refusal(scheduler.jobs.SubmitJob(pb.SubmitJobRequest(job_id="-", spec=spec)))

    assert (Code.INVALID_ARGUMENT, "INVALID_REQUEST") == (refused.code, refused.reason)
    assert {
        "job_id", "spec.queue", "spec.priority", "spec.units", "spec.task.transcode.video.width_px",
        "spec.task.transcode.path",
    } == set(refused.fields)  # fmt: skip


async def test_unknown_fields_inside_a_spec_are_refused(scheduler: Running) -> None:
    """A misspelt option never does nothing; outside the spec unknown fields are ignored."""
    spec = media_pb2.JobSpec.FromString(a_spec().SerializeToString() + b"\xf8\x07\x01")
    spec.task.transcode.video.MergeFromString(b"\xf8\x07\x01")
    refused = await refusal(scheduler.jobs.SubmitJob(pb.SubmitJobRequest(spec=spec)))
    assert ["spec", "spec.task.transcode.video"] == sorted(refused.fields)

    request = pb.GetJobRequest.FromString(pb.GetJobRequest(job_id="none").SerializeToString() + b"\xf8\x07\x01")
    assert Code.NOT_FOUND is (await refusal(scheduler.jobs.GetJob(request))).code


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda spec: spec.inputs["more"].MergeFrom(media_pb2.Input(uri="file:///more")), 'spec.inputs["more"]'),
        (lambda spec: setattr(spec.task.transcode, "input", "other"), "spec.inputs"),
        (lambda spec: spec.ClearField("output"), "spec.output"),
        (lambda spec: setattr(spec.task.transcode, "path", "out.exe"), "spec.task.transcode.path"),
        (lambda spec: setattr(spec.output, "uri", "file:///media/../etc"), "spec.output.uri"),
        (lambda spec: setattr(spec.output, "uri", "file:///media/%2e%2e/etc"), "spec.output.uri"),
        (lambda spec: setattr(spec.inputs["in"], "uri", "file:///in.mp4?token=secret"), 'spec.inputs["in"].uri'),
        (lambda spec: setattr(spec.inputs["in"], "uri", "ftp://host/in.mp4"), 'spec.inputs["in"].uri'),
        (lambda spec: setattr(spec.inputs["in"], "uri", "file:///%ff.mp4"), 'spec.inputs["in"].uri'),
        (lambda spec: setattr(spec.inputs["in"], "uri", "http://[x/?tok=secret"), 'spec.inputs["in"].uri'),
        (lambda spec: setattr(spec.not_before_time, "seconds", 10**15), "spec.not_before_time"),
        (lambda spec: setattr(spec.not_before_time, "nanos", -5), "spec.not_before_time"),
        (
            lambda spec: spec.retry_policy.max_backoff.MergeFrom(Duration(seconds=5, nanos=-3)),
            "spec.retry_policy.max_backoff",
        ),
        (lambda spec: spec.ClearField("task"), "spec.task"),
        (lambda spec: spec.task.ffmpeg.outputs.append("a.mp4"), "spec.task.ffmpeg.args"),
    ],
)
async def test_what_can_be_seen_at_submit_is_refused_there(scheduler: Running, change: object, field: str) -> None:
    """Inputs that are not named or not there, places that leave their location, unknown containers and schemes."""
    spec = a_spec()
    change(spec)  # type: ignore[operator]

    refused = await refusal(scheduler.jobs.SubmitJob(pb.SubmitJobRequest(spec=spec)))

    assert Code.INVALID_ARGUMENT is refused.code
    assert field in refused.fields
    assert "secret" not in refused.message


async def test_a_huge_spec_is_refused(scheduler: Running) -> None:
    """64 KiB is the most."""
    spec = a_spec()
    spec.inputs["in"].headers.update({f"h{number}": "x" * 8000 for number in range(10)})

    refused = await refusal(scheduler.jobs.SubmitJob(pb.SubmitJobRequest(spec=spec)))

    assert (Code.INVALID_ARGUMENT, ["spec"]) == (refused.code, refused.fields)


async def test_a_kind_that_is_not_run_here_is_refused_by_name(scheduler: Running) -> None:
    """A task kind of a newer contract is UNIMPLEMENTED at submit, never accepted and failed later."""
    spec = a_spec()
    spec.task.ParseFromString(NEWER_KIND)

    refused = await refusal(scheduler.jobs.SubmitJob(pb.SubmitJobRequest(spec=spec)))

    assert (Code.UNIMPLEMENTED, True) == (refused.code, "the task kind with the number 900 is" in refused.message)


async def test_another_tenants_job_is_not_found(scheduler: Running) -> None:
    """For reading, watching, cancelling, retrying and deleting alike; nor is it listed or counted."""
    await scheduler.submit()
    for request, call in (
        (pb.GetJobRequest, scheduler.jobs.GetJob),
        (pb.CancelJobRequest, scheduler.jobs.CancelJob),
        (pb.RetryJobRequest, scheduler.jobs.RetryJob),
        (pb.DeleteJobRequest, scheduler.jobs.DeleteJob),
    ):
        refused = await refusal(call(request(tenant="other", job_id="job")))
        assert (Code.NOT_FOUND, "JOB_NOT_FOUND") == (refused.code, refused.reason)
    watch = scheduler.jobs.WatchJob(pb.WatchJobRequest(tenant="other", job_id="job"))
    assert Code.NOT_FOUND is (await refusal(watch.read())).code
    assert [] == list((await scheduler.jobs.ListJobs(pb.ListJobsRequest(tenant="other"))).jobs)
    stats = await scheduler.jobs.GetQueueStats(pb.GetQueueStatsRequest(tenant="other"))
    assert {0} == set(stats.jobs_by_state.values())


async def test_a_queued_job_is_cancelled_at_once(scheduler: Running) -> None:
    """CANCELLED comes back, and again when it is asked again."""
    await scheduler.submit()
    for _ in range(2):
        job = (await scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id="job", reason="typo"))).job
        assert (job_pb2.JOB_STATE_CANCELLED, "typo") == (job.state, job.cancel_reason)


async def test_a_finished_job_is_not_cancelled(scheduler: Running) -> None:
    """The refusal says what became of it."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        grant = await worker.grant()
        await worker.finish(grant.lease, succeeded=job_pb2.JobResult())

    refused = await refusal(scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id="job")))

    assert (Code.FAILED_PRECONDITION, "JOB_FINISHED", {"state": "SUCCEEDED"}) == (
        refused.code, refused.reason, refused.metadata,
    )  # fmt: skip


async def test_a_publishing_job_is_not_cancelled(scheduler: Running) -> None:
    """It is too late, and the refusal says when to look again."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        grant = await worker.grant()
        await worker.publish(grant.lease)
        refused = await refusal(scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id="job")))
        await worker.finish(grant.lease, succeeded=job_pb2.JobResult())

    assert (Code.FAILED_PRECONDITION, "PUBLISHING", 1.0) == (refused.code, refused.reason, refused.retry_seconds)


async def test_a_defect_is_masked(scheduler: Running, client: redis.Redis) -> None:
    """A caller learns an id that is in the log, and not a word of what went wrong."""
    await scheduler.submit()
    key = f"{prefix()}j:default:job"
    client.hset(key, "st", "?")
    refused = await refusal(scheduler.get())
    client.hset(key, "st", "Q")

    assert (Code.INTERNAL, "INTERNAL", True) == (
        refused.code,
        refused.reason,
        refused.metadata["error_id"] in refused.message,
    )
    assert "valid" not in refused.message


async def test_redis_away_is_unavailable_and_not_serving(redis_server: RedisServer, client: redis.Redis) -> None:
    """While Redis is away calls fail fast with RetryInfo and health says NOT_SERVING; when it is back, both mend."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="tc") as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            async with asyncio.timeout(60), running_scheduler(server.url) as scheduler:
                await scheduler.submit()
                server.kill()
                async with asyncio.timeout(5):
                    refused = await refusal(scheduler.submit("second"))
                assert (Code.UNAVAILABLE, True) == (refused.code, (refused.retry_seconds or 0) > 0)
                await health_is(scheduler, health_pb2.HealthCheckResponse.NOT_SERVING)
                server.start()
                await health_is(scheduler, health_pb2.HealthCheckResponse.SERVING)
                assert job_pb2.JOB_STATE_QUEUED == (await scheduler.get()).state
        finally:
            server.stop()


async def test_a_worker_comes_back_after_an_outage_that_hid_its_end() -> None:
    """Redis was away when the stream broke: the store is told later, and a new process of that worker is let in."""
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory(prefix="tc") as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            async with asyncio.timeout(60), running_scheduler(server.url) as scheduler:
                async with ScriptedWorker(scheduler.address) as worker:
                    await worker.welcome()
                    server.kill()
                await health_is(scheduler, health_pb2.HealthCheckResponse.NOT_SERVING)
                server.start()
                await health_is(scheduler, health_pb2.HealthCheckResponse.SERVING)
                while True:
                    async with ScriptedWorker(scheduler.address, session_id="s2") as again:
                        try:
                            assert 1 == (await again.welcome()).protocol_version
                            break
                        except grpc.aio.AioRpcError as error:
                            assert "ALREADY_CONNECTED" in str(read(error).reason)
        finally:
            server.stop()


async def health_is(scheduler: Running, wanted: int) -> None:
    """Wait for the health service to say so."""
    watch = health_pb2_grpc.HealthStub(scheduler.channel).Watch(health_pb2.HealthCheckRequest(service=""))
    async with asyncio.timeout(10):
        async for answer in watch:
            if answer.status == wanted:
                break
    watch.cancel()


async def test_every_promised_series_is_there_after_one_job(scheduler: Running) -> None:
    """/metrics has the names dashboards are built on, and no job id in any label."""
    await scheduler.submit()
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        grant = await worker.grant()
        await worker.accept(grant.lease)
        await worker.finish(grant.lease, succeeded=job_pb2.JobResult())
    promised = (
        "grpc_server_started_total", "grpc_server_handled_total", "grpc_server_handling_seconds_count", "telecine_jobs{",
        "telecine_queue_depth{", "telecine_queue_oldest_seconds{", "telecine_job_queue_wait_seconds_count 1.0",
        "telecine_job_run_seconds_count 1.0", 'telecine_attempts_total{outcome="succeeded"} 1.0', "telecine_leases ",
        'telecine_watchers{follows="one"}', 'telecine_watchers{follows="many"}',
        'telecine_workers{state="serving"}', 'telecine_slots{state="free"}', "telecine_jobs_blocked ",
        'telecine_jobs_submitted_total{result="created",way="unary"} 1.0',
        'telecine_job_timeouts_total{limit="queue_timeout"}',
        "telecine_redis_seconds_count", "telecine_build_info{", 'telecine_jobs{state="succeeded"} 1.0',
    )  # fmt: skip

    async with asyncio.timeout(10):
        while missing := [name for name in promised if name not in (text := await scrape(scheduler.metrics))]:
            # The gauges are read from the store every two seconds.
            await asyncio.get_running_loop().run_in_executor(None, scrape_until_changed, scheduler.metrics, text)

    assert ([], False) == (missing, "job_id" in text)


async def scrape(address: str, path: str = "/metrics") -> str:
    return await asyncio.to_thread(lambda: urllib.request.urlopen(f"http://{address}{path}", timeout=5).read().decode())


def scrape_until_changed(address: str, before: str) -> None:
    while urllib.request.urlopen(f"http://{address}/metrics", timeout=5).read().decode() == before:
        pass
