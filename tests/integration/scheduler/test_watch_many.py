"""WatchJobs on real servers: many jobs on one stream, resuming, and readers that are slow."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import redis

from support.redis_server import RedisServer
from support.rpc_errors import of_status, refusal
from support.running_scheduler import Running, ScriptedWorker, a_spec, running_scheduler
from telecine.v1 import job_pb2, scheduler_service_pb2_grpc
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.rpc import watch_calls
from telecine_scheduler.service import watch_set
from telecine_scheduler.store.keys import prefix

Code = grpc.StatusCode
Start = pb.WatchJobsRequest.Start
Cancelled, Queued = job_pb2.JOB_STATE_CANCELLED, job_pb2.JOB_STATE_QUEUED


class Watch:
    """The caller's end of a stream, and what it was told."""

    def __init__(self, jobs: scheduler_service_pb2_grpc.SchedulerServiceAsyncStub) -> None:
        self.call: Any = jobs.WatchJobs()
        self.jobs: list[job_pb2.Job] = []
        self.errors: dict[str, str] = {}
        self.tokens: list[str] = []
        self.resets = 0

    async def start(self, **fields: Any) -> None:
        await self.call.write(pb.WatchJobsRequest(start=Start(**fields)))

    async def add(self, *job_ids: str, after: int = 0) -> None:
        jobs = [pb.JobRevision(job_id=job_id, after_revision=after) for job_id in job_ids]
        await self.call.write(pb.WatchJobsRequest(add=pb.WatchJobsRequest.Add(jobs=jobs)))

    async def remove(self, *job_ids: str) -> None:
        await self.call.write(pb.WatchJobsRequest(remove=pb.WatchJobsRequest.Remove(job_ids=job_ids)))

    async def read(self) -> pb.WatchJobsResponse | None:
        """The next response; None at the end."""
        async with asyncio.timeout(10):
            response = await self.call.read()
        if response is grpc.aio.EOF:
            assert Code.OK is await self.call.code(), await self.call.details()
            return None
        assert isinstance(response, pb.WatchJobsResponse)
        self.jobs += response.jobs
        self.errors |= {each.job_id: of_status(each.error).reason for each in response.errors}
        self.tokens.append(response.resume_token)
        self.resets += response.reset
        return response

    async def until(self, there: Callable[[], object]) -> None:
        """Read until *there* is true."""
        while not there():
            assert await self.read() is not None

    async def to_end(self) -> None:
        """Half-close, and read to the end."""
        await self.call.done_writing()
        while await self.read() is not None:
            pass

    def states(self, job_id: str) -> list[str]:
        return [job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_") for job in self.of(job_id)]

    def of(self, job_id: str) -> list[job_pb2.Job]:
        return [job for job in self.jobs if job.job_id == job_id]

    def ids(self) -> set[str]:
        return {job.job_id for job in self.jobs}


@contextlib.asynccontextmanager
async def watching(scheduler: Running, **start: Any) -> AsyncIterator[Watch]:
    async with following(scheduler.jobs, **start) as watch:
        yield watch


@contextlib.asynccontextmanager
async def following(jobs: scheduler_service_pb2_grpc.SchedulerServiceAsyncStub, **start: Any) -> AsyncIterator[Watch]:
    watch = Watch(jobs)
    await watch.start(**start)
    try:
        yield watch
    finally:
        watch.call.cancel()


async def fill(scheduler: Running, count: int, name: str = "job", tenant: str = "", **changes: Any) -> None:
    for begin in range(0, count, 500):
        requests = [
            pb.SubmitJobRequest(tenant=tenant, job_id=f"{name}{number}", spec=a_spec(**changes))
            for number in range(begin, min(count, begin + 500))
        ]
        await scheduler.jobs.BatchSubmitJobs(pb.BatchSubmitJobsRequest(requests=requests))


async def cancel(scheduler: Running, *job_ids: str) -> None:
    await asyncio.gather(*(scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id=each)) for each in job_ids))


async def test_added_jobs_are_told_from_now_to_their_end(scheduler: Running) -> None:
    """The job as it is, then newer snapshots in rising revisions, the last with its artifacts; then the stream ends."""
    await scheduler.submit("one")
    async with watching(scheduler) as watch, ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        await watch.add("one")
        await watch.until(lambda: watch.jobs)
        grant = await worker.grant()
        await worker.accept(grant.lease)
        await watch.until(lambda: "RUNNING" in watch.states("one"))
        await worker.renew(grant.lease, fraction=0.5)
        await watch.until(lambda: watch.jobs[-1].progress.fraction == 0.5)
        artifact = job_pb2.Artifact(path="out.mp4")
        await worker.finish(grant.lease, succeeded=job_pb2.JobResult(artifacts=[artifact]))
        await watch.to_end()

    revisions = [job.revision for job in watch.jobs]
    assert (sorted(set(revisions)), "QUEUED") == (revisions, watch.states("one")[0])
    assert ("SUCCEEDED", ["out.mp4"]) == (
        watch.states("one")[-1],
        [each.path for each in watch.jobs[-1].result.artifacts],
    )
    assert {False} == {job.HasField("spec") for job in watch.jobs}


async def test_initial_metadata_comes_before_anything_happens(scheduler: Running) -> None:
    """So that a caller knows that the stream is open."""
    async with watching(scheduler) as watch, asyncio.timeout(5):
        assert () == tuple(await watch.call.initial_metadata())


async def test_after_revision_leaves_out_what_is_known(scheduler: Running) -> None:
    """What is known is not sent again, but a final snapshot always is."""
    known = await scheduler.submit("known")
    old = await scheduler.submit("old")
    await cancel(scheduler, "old")
    async with watching(scheduler) as watch:
        await watch.add("known", after=known.revision)
        await watch.add("old", after=2**62)
        await watch.until(lambda: watch.of("old"))
        await cancel(scheduler, "known")
        await watch.to_end()

    assert (["CANCELLED"], ["CANCELLED"]) == (watch.states("old"), watch.states("known"))
    assert watch.of("known")[0].revision > known.revision > 0 < old.revision


async def test_unknown_and_foreign_jobs_are_errors_of_their_own(scheduler: Running) -> None:
    """They are told, dropped, and do not disturb the others."""
    await scheduler.submit("mine")
    await fill(scheduler, 1, "theirs", tenant="other")
    async with watching(scheduler) as watch:
        await watch.add("none", "mine", "theirs0")
        await watch.until(lambda: len(watch.errors) == 2 and watch.jobs)
        await cancel(scheduler, "mine")
        await watch.to_end()

    assert {"none": "JOB_NOT_FOUND", "theirs0": "JOB_NOT_FOUND"} == watch.errors
    assert "CANCELLED" == watch.states("mine")[-1]


async def test_a_removed_job_is_told_no_more(scheduler: Running) -> None:
    """And no longer holds the stream open."""
    await fill(scheduler, 2)
    async with watching(scheduler) as watch:
        await watch.add("job0", "job1")
        await watch.until(lambda: len(watch.ids()) == 2)
        await watch.remove("job0", "none")
        await watch.add("none")
        await watch.until(lambda: watch.errors)
        await cancel(scheduler, "job0")
        await cancel(scheduler, "job1")
        await watch.to_end()

    assert (["QUEUED"], ["QUEUED", "CANCELLED"]) == (watch.states("job0"), watch.states("job1"))


async def test_a_job_that_is_deleted_while_it_is_watched_is_an_error(scheduler: Running, client: redis.Redis) -> None:
    """JOB_DELETED where it was there before."""
    await scheduler.submit("gone")
    async with watching(scheduler) as watch:
        await watch.add("gone")
        await watch.until(lambda: watch.jobs)
        # At once: a job that ends before it is deleted would leave by that.
        client.flushall()
        client.xadd(f"{prefix()}feed", {"j": "default:gone", "r": "0", "s": "-"})
        await watch.to_end()

    assert {"gone": "JOB_DELETED"} == watch.errors


async def test_all_jobs_of_a_tenant_are_followed(scheduler: Running) -> None:
    """From now on, whoever submits them; another tenant's are not told; after half-close the stream ends at once."""
    await scheduler.submit("before")
    async with watching(scheduler, all=True) as watch:
        first = await watch.read()
        await fill(scheduler, 3)
        await fill(scheduler, 3, "theirs", tenant="other")
        await cancel(scheduler, "job1")
        await watch.until(lambda: "CANCELLED" in watch.states("job1") and len(watch.ids()) == 3)
        await watch.to_end()

    assert (0, True, False) == (len(first.jobs), bool(first.resume_token), first.reset) if first else False
    assert {"job0", "job1", "job2"} == watch.ids()


async def test_jobs_with_labels_are_followed(scheduler: Running) -> None:
    """Those that have all of them."""
    async with watching(scheduler, labels={"show": "news", "part": "1"}) as watch:
        await watch.read()
        await fill(scheduler, 2, "news", labels={"show": "news", "part": "1", "more": "x"})
        await fill(scheduler, 2, "film", labels={"show": "film", "part": "1"})
        await fill(scheduler, 2, "plain")
        await cancel(scheduler, "plain0", "film0", "news0")
        await watch.until(lambda: "CANCELLED" in watch.states("news0"))

    assert {"news0", "news1"} >= watch.ids()


async def test_an_added_job_is_told_beside_those_of_labels(scheduler: Running) -> None:
    """One that is added and one with the labels come over the same stream."""
    await scheduler.submit("added")
    async with watching(scheduler, labels={"show": "news"}) as watch:
        await watch.read()
        await watch.add("added")
        await fill(scheduler, 1, "news", labels={"show": "news"})
        await cancel(scheduler, "added", "news0")
        await watch.until(lambda: "CANCELLED" in watch.states("added") and "CANCELLED" in watch.states("news0"))

    assert {"added", "news0"} == watch.ids()


async def test_a_stream_resumes_by_its_token(scheduler: Running, redis_server: RedisServer) -> None:
    """At another scheduler, with what changed meanwhile and nothing lost; no reset."""
    async with watching(scheduler, all=True) as watch:
        await watch.read()
        await fill(scheduler, 5, "seen")
        await watch.until(lambda: len(watch.ids()) == 5)
        token = watch.tokens[-1]
    await fill(scheduler, 700, "missed")
    await cancel(scheduler, "seen3")
    async with running_scheduler(redis_server.url) as other, watching(other, all=True, resume_token=token) as again:
        await again.until(lambda: len(again.ids()) >= 701)
        await fill(scheduler, 1, "later")
        await again.until(lambda: "later0" in again.ids())

    assert {f"missed{number}" for number in range(700)} <= again.ids()
    assert ("CANCELLED", 0) == (again.states("seen3")[-1], again.resets)


async def test_a_token_that_is_too_old_says_so(scheduler: Running, client: redis.Redis) -> None:
    """reset comes once, at once, and the stream goes on from now."""
    async with watching(scheduler, all=True) as watch:
        await watch.read()
        await scheduler.submit("first")
        await watch.until(lambda: watch.jobs)
        token = watch.tokens[-1]
    await fill(scheduler, 20)
    client.xtrim(f"{prefix()}feed", maxlen=3, approximate=False)
    async with watching(scheduler, all=True, resume_token=token) as again:
        first = await again.read()
        await scheduler.submit("later")
        await again.until(lambda: "later" in again.ids())

    assert (True, 0, 1) == (first.reset, len(first.jobs), again.resets) if first else False
    assert watch.tokens[-1] not in again.tokens


async def test_a_token_of_nobody_is_refused(scheduler: Running) -> None:
    """Invented, or of another tenant: INVALID_ARGUMENT."""
    async with watching(scheduler, all=True, tenant="other") as other:
        await other.read()
    for token in ("no token", "QUJDREVGR0hJSktMTU5P", other.tokens[0], "x" * 513):
        async with watching(scheduler, all=True, resume_token=token) as watch:
            refused = await refusal(watch.call.read())
        assert (Code.INVALID_ARGUMENT, ["start.resume_token"]) == (refused.code, refused.fields)


@pytest.mark.parametrize(
    ("messages", "field"),
    [
        ([], "start"),
        ([pb.WatchJobsRequest(remove=pb.WatchJobsRequest.Remove(job_ids=["a"]))], "start"),
        ([pb.WatchJobsRequest()], "start"),
        ([pb.WatchJobsRequest(start=Start()), pb.WatchJobsRequest(start=Start())], "start"),
        ([pb.WatchJobsRequest(start=Start()), pb.WatchJobsRequest()], "request"),
        ([pb.WatchJobsRequest(start=Start(tenant="No Tenant"))], "start.tenant"),
        ([pb.WatchJobsRequest(start=Start(all=True, labels={"show": "news"}))], "start.labels"),
        (
            [
                pb.WatchJobsRequest(start=Start()),
                pb.WatchJobsRequest(add=pb.WatchJobsRequest.Add(jobs=[pb.JobRevision(job_id="bad id")])),
            ],
            "add.jobs[0].job_id",
        ),
        (
            [
                pb.WatchJobsRequest(start=Start()),
                pb.WatchJobsRequest(
                    add=pb.WatchJobsRequest.Add(jobs=[pb.JobRevision(job_id=f"j{n}") for n in range(1001)])
                ),
            ],
            "add.jobs",
        ),
    ],
)
async def test_a_message_that_breaks_a_rule_ends_the_stream(
    scheduler: Running, messages: list[pb.WatchJobsRequest], field: str
) -> None:
    """The field is named."""
    refused = await refusal(scheduler.jobs.WatchJobs(iter(messages)).read())

    assert (Code.INVALID_ARGUMENT, [field]) == (refused.code, refused.fields)


async def test_a_stream_that_never_starts_is_ended(scheduler: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within the time for its first message."""
    monkeypatch.setattr(watch_calls, "START_SECONDS", 0.05)
    refused = await refusal(scheduler.jobs.WatchJobs().read())

    assert (Code.INVALID_ARGUMENT, ["start"]) == (refused.code, refused.fields)


async def test_a_stream_follows_a_bounded_number_of_jobs(scheduler: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more at a time is refused; one that has ended makes room."""
    monkeypatch.setattr(watch_set, "MOST_ADDED", 3)
    await fill(scheduler, 5)
    async with watching(scheduler) as watch:
        await watch.add("job0", "job1", "job2")
        await watch.until(lambda: len(watch.ids()) == 3)
        await cancel(scheduler, "job0")
        await watch.until(lambda: "CANCELLED" in watch.states("job0"))
        await watch.add("job3")
        await watch.until(lambda: "job3" in watch.ids())
        await watch.add("job4")
        refused = await refusal(watch.call.read())

    assert (Code.INVALID_ARGUMENT, ["add.jobs"]) == (refused.code, refused.fields)


async def test_a_thousand_jobs_on_one_stream(scheduler: Running) -> None:
    """Added in one message, each is told from its snapshot to its end, in messages of at most a hundred."""
    await fill(scheduler, 1000)
    async with watching(scheduler) as watch:
        await watch.add(*(f"job{number}" for number in range(1000)))
        sizes = []
        while len(watch.jobs) < 1000:
            response = await watch.read()
            sizes.append(len(response.jobs) if response else 0)
        await cancel(scheduler, *(f"job{number}" for number in range(1000)))
        await watch.to_end()

    assert max(sizes) <= 100
    assert {("QUEUED", "CANCELLED")} == {tuple(watch.states(f"job{number}")) for number in range(1000)}


async def test_messages_are_bounded_in_bytes(scheduler: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Large snapshots are spread over messages; only the last of them resumes behind all."""
    monkeypatch.setattr(watch_calls, "MAX_RESPONSE_BYTES", 3000)
    await fill(scheduler, 20, labels={"text": "x" * 256})
    async with watching(scheduler) as watch:
        await watch.add(*(f"job{number}" for number in range(20)))
        sizes = []
        while len(watch.jobs) < 20:
            response = await watch.read()
            sizes.append(sum(job.ByteSize() for job in response.jobs) if response else 0)

    assert (True, 20) == (max(sizes) <= 3000, len(watch.ids()))
    assert len(sizes) > 2


async def test_a_slow_reader_gets_the_newest_and_costs_little(
    scheduler: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Far more changes than may wait: what he reads later is conflated, from the feed, complete, and ends with each end."""
    monkeypatch.setattr(watch_set, "MOST_WAITING", 50)
    # The transport takes little by itself.
    options = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", 65_536),
    ]
    async with grpc.aio.insecure_channel(scheduler.address, options=options) as channel:
        stub = scheduler_service_pb2_grpc.SchedulerServiceStub(channel)
        async with following(stub, all=True) as watch:
            await watch.read()
            await fill(scheduler, 900, labels={f"label{number}": "x" * 250 for number in range(16)})
            await cancel(scheduler, *(f"job{number}" for number in range(900)))
            await watch.until(lambda: len({job.job_id for job in watch.jobs if job.state == Cancelled}) == 900)

    assert (900, 0) == (len(watch.ids()), watch.resets)
    # There were 1800 changes; twice comes at most what the transport had taken before he read.
    assert len(watch.jobs) < 1400
    for job_id in ("job0", "job450", "job899"):
        revisions = [job.revision for job in watch.of(job_id)]
        assert sorted(revisions) == revisions


async def test_a_token_is_kept_fresh_while_nothing_happens(scheduler: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others' changes move the feed on: a reader who has none of them still gets a newer token now and then."""
    monkeypatch.setattr(watch_set, "TOKEN_SECONDS", 0.05)
    async with watching(scheduler, all=True) as watch:
        await watch.read()
        await fill(scheduler, 3, tenant="other")
        await watch.until(lambda: watch.tokens[-1] != watch.tokens[0])

    assert [] == watch.jobs


async def test_a_stream_outlives_a_restart_of_redis(client: redis.Redis) -> None:
    """What changed while it was away or just after is told, of added jobs and of all, without a reset."""
    with tempfile.TemporaryDirectory(prefix="tc") as folder:
        server = RedisServer(Path(folder))
        server.start()
        try:
            async with asyncio.timeout(40), running_scheduler(server.url) as scheduler:
                await scheduler.submit("there")
                async with watching(scheduler) as added, watching(scheduler, all=True) as everything:
                    await added.add("there")
                    await added.until(lambda: added.jobs)
                    await everything.read()
                    server.kill()
                    server.start()
                    await again_and_again(lambda: cancel(scheduler, "there"))
                    await added.until(lambda: "CANCELLED" in added.states("there"))
                    await everything.until(lambda: "CANCELLED" in everything.states("there"))
                assert 0 == everything.resets
        finally:
            server.stop()


async def again_and_again(call: Callable[[], Awaitable[None]]) -> None:
    """Until it is no longer UNAVAILABLE."""
    while True:
        try:
            await call()
        except grpc.aio.AioRpcError as error:
            assert Code.UNAVAILABLE is error.code()
        else:
            return


async def test_a_stream_outlives_no_scheduler(scheduler: Running) -> None:
    """One that stops ends it as UNAVAILABLE, so that a client resumes elsewhere."""
    await scheduler.submit()
    watch = Watch(scheduler.jobs)
    await watch.start()
    await watch.add("job")
    await watch.until(lambda: watch.jobs)
    scheduler.stop.set()
    refused = await refusal(watch.call.read())

    assert (Code.UNAVAILABLE, "STORE_UNAVAILABLE") == (refused.code, refused.reason)


async def test_both_sorts_of_watches_are_counted(scheduler: Running) -> None:
    """And counted out when they end."""
    await scheduler.submit()
    one = scheduler.jobs.WatchJob(pb.WatchJobRequest(job_id="job"))
    await one.read()
    async with watching(scheduler) as watch:
        await watch.add("job")
        await watch.until(lambda: watch.jobs)
        await gauges(scheduler, one=1, many=1)
    one.cancel()
    await gauges(scheduler, one=0, many=0)


async def gauges(scheduler: Running, *, one: int, many: int) -> None:
    """Wait for the gauges, which are set every two seconds, to say so."""
    import urllib.request

    def scrape() -> str:
        return str(urllib.request.urlopen(f"http://{scheduler.metrics}/metrics", timeout=5).read().decode())

    wanted = {f'telecine_watchers{{follows="{kind}"}} {count}.0' for kind, count in (("one", one), ("many", many))}
    async with asyncio.timeout(10):
        while not wanted <= set((await asyncio.to_thread(scrape)).splitlines()):
            pass
