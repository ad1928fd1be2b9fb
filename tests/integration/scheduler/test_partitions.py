"""Three partitions on one server: every call, for a tenant of each; and workers that serve them all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import grpc
import pytest
import redis

from support.redis_server import RedisServer
from support.rpc_errors import refusal
from support.running_scheduler import Running, ScriptedWorker, a_spec, running_scheduler
from support.several_partitions import COUNT, TENANTS, by_tenant, state, submit, violations
from telecine.v1 import job_pb2
from telecine.v1 import lease_service_pb2 as lease_pb
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler import app
from telecine_scheduler.service import directory
from telecine_scheduler.store.checks import UnfitStore
from telecine_scheduler.store.keys import prefix

Code = grpc.StatusCode


@pytest.fixture
async def several(
    redis_server: RedisServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    """A scheduler, whose gauges are set often. Ends with the invariants of every partition checked."""
    monkeypatch.setattr(app, "MEASURE_PERIOD", timedelta(seconds=0.2))
    monkeypatch.setattr(directory, "BEAT_SECONDS", 0.2)
    async with asyncio.timeout(60), running_scheduler(redis_server.url, partitions=COUNT) as running:
        yield running
    assert [] == violations(client)


async def granted(worker: ScriptedWorker, count: int) -> list[lease_pb.Grant]:
    """So many grants, in the order in which they came."""
    grants: list[lease_pb.Grant] = []
    while len(grants) < count:
        grants += (await worker.read()).grants
    return grants


async def answers(worker: ScriptedWorker, kind: str, count: int) -> list[object]:
    """So many answers of a kind, in whatever messages they come."""
    found: list[object] = []
    while len(found) < count:
        found += getattr(await worker.read(), kind)
    return found


async def quiet(worker: ScriptedWorker) -> list[lease_pb.Grant]:
    """What else is granted until something that was asked of every partition afterwards is answered."""
    refs = [lease_pb.LeaseRef(tenant=tenant, job_id="none", token=1) for tenant in TENANTS]
    grants: list[lease_pb.Grant] = []
    for _ in range(3):
        await worker.send(renewals=[lease_pb.Renewal(lease=ref) for ref in refs])
        left = len(refs)
        while left:
            response = await worker.read()
            left -= len(response.renew_results)
            grants += response.grants
    return grants


@pytest.mark.parametrize(("number", "tenant"), list(enumerate(TENANTS)))
async def test_every_call_is_carried_out_where_its_tenant_lives(
    several: Running, client: redis.Redis, number: int, tenant: str
) -> None:
    """All of the API, with jobs of the same ids in the other partitions, which none of it touches."""
    others = [each for each in TENANTS if each != tenant]
    for each in others:
        await submit(several, each)
    jobs = several.jobs
    watching = jobs.WatchJobs()
    await watching.write(pb.WatchJobsRequest(start=pb.WatchJobsRequest.Start(tenant=tenant, all=True)))
    await submit(several, tenant)
    batch = [pb.SubmitJobRequest(tenant=tenant, job_id=f"batch{n}", spec=a_spec()) for n in range(2)]
    await jobs.BatchSubmitJobs(pb.BatchSubmitJobsRequest(requests=batch))
    stream = [pb.SubmitJobRequest(tenant=each, job_id="stream", spec=a_spec()) for each in TENANTS]
    [results] = [each async for each in jobs.SubmitJobs(iter([pb.SubmitJobsRequest(requests=stream)]))]
    drawn = await jobs.SubmitJob(pb.SubmitJobRequest(tenant=tenant, spec=a_spec(), validate_only=True))
    again = await jobs.SubmitJob(batch[0])
    cancelled = await jobs.CancelJob(pb.CancelJobRequest(tenant=tenant, job_id="job"))
    seen = [job.job.state async for job in jobs.WatchJob(pb.WatchJobRequest(tenant=tenant, job_id="job"))]
    retried = await jobs.RetryJob(pb.RetryJobRequest(tenant=tenant, job_id="job"))
    await jobs.CancelJob(pb.CancelJobRequest(tenant=tenant, job_id="stream"))
    await jobs.DeleteJob(pb.DeleteJobRequest(tenant=tenant, job_id="stream"))
    listed = await jobs.ListJobs(pb.ListJobsRequest(tenant=tenant, page_size=2))
    rest = await jobs.ListJobs(pb.ListJobsRequest(tenant=tenant, page_size=2, page_token=listed.next_page_token))
    stats = await jobs.GetQueueStats(pb.GetQueueStatsRequest(tenant=tenant))

    assert [True] * COUNT == [each.response.job.state == job_pb2.JOB_STATE_QUEUED for each in results.results]
    assert (True, False) == (again.duplicate, drawn.duplicate)
    assert job_pb2.JOB_STATE_CANCELLED == cancelled.job.state == seen[-1]
    assert (job_pb2.JOB_STATE_QUEUED, 2) == (retried.job.state, retried.job.generation)
    assert ["batch1", "batch0", "job"] == [job.job_id for page in (listed, rest) for job in page.jobs]
    assert 3 == stats.jobs_by_state["queued"]
    told: set[str] = set()
    async with asyncio.timeout(10):
        while told != {"job", "batch0", "batch1"}:
            told |= {job.job_id for job in (await watching.read()).jobs if job.job_id != "stream"}
    watching.cancel()
    assert ["QUEUED"] * 2 == [await state(several, each) for each in others]
    keys = {key.decode() for key in client.scan_iter(f"*:{tenant}:*", count=1000)}
    assert {prefix(number)} == {key[: len(prefix())] for key in keys}


async def test_a_worker_is_fed_by_every_partition(several: Running, client: redis.Redis) -> None:
    """From the grant to the outcome, each message about leases of all of them at once."""
    for tenant in TENANTS:
        await submit(several, tenant)
    async with ScriptedWorker(several.address, slots=3) as worker:
        await worker.welcome()
        await worker.send(credit=lease_pb.Credit(limit=3))
        refs = [grant.lease for grant in by_tenant(await granted(worker, 3)).values()]
        await worker.send(accepts=[lease_pb.Accept(lease=ref) for ref in refs])
        kept = await answers(worker, "renew_results", 3)
        await worker.send(renewals=[lease_pb.Renewal(lease=ref, sequence=1) for ref in refs])
        renewed = await answers(worker, "renew_results", 3)
        await several.shows({"slots{state=busy}": 3, "slots{state=free}": 0, "leases": 3, "jobs{state=running}": 3})
        [listed] = (await several.jobs.ListWorkers(pb.ListWorkersRequest())).workers
        await worker.send(publish_requests=[lease_pb.PublishRequest(lease=ref) for ref in refs])
        allowed = await answers(worker, "publish_decisions", 3)
        await worker.send(outcomes=[lease_pb.Outcome(lease=ref, succeeded=job_pb2.JobResult()) for ref in refs])
        acks = await answers(worker, "outcome_acks", 3)

    assert set(TENANTS) == {ref.tenant for ref in refs}
    assert {lease_pb.RenewResult.VERDICT_KEEP} == {each.verdict for each in (*kept, *renewed)}  # type: ignore[attr-defined]
    assert (3, 3) == (listed.slot_count, listed.busy_slot_count)
    assert {lease_pb.PublishDecision.DECISION_ALLOWED} == {each.decision for each in allowed}  # type: ignore[attr-defined]
    assert {lease_pb.OutcomeAck.ACK_COMMITTED} == {each.ack for each in acks}  # type: ignore[attr-defined]
    assert ["SUCCEEDED"] * 3 == [await state(several, tenant) for tenant in TENANTS]


async def test_partitions_take_turns_at_a_worker(several: Running) -> None:
    """One with a long queue starves no other, however the worker's slots come free."""
    for number in range(4):
        for tenant in TENANTS:
            await submit(several, tenant, f"job{number}")
    served: list[str] = []
    async with ScriptedWorker(several.address, slots=1) as worker:
        await worker.welcome()
        for number in range(9):
            grant = await worker.grant(limit=number + 1)
            served.append(grant.lease.tenant)
            await worker.finish(grant.lease, succeeded=job_pb2.JobResult())

    assert dict.fromkeys(TENANTS, 3) == Counter(served)
    assert [set(TENANTS)] * 3 == [set(served[at : at + 3]) for at in (0, 3, 6)]


async def test_a_job_that_needs_much_room_is_waited_for_in_every_partition(several: Running) -> None:
    """What another one has for the slot that is free does not keep a job waiting that needs two."""
    await submit(several, "a", "first")
    async with ScriptedWorker(several.address, slots=2) as worker:
        await worker.welcome()
        first = await worker.grant(limit=1)
        await submit(several, "b", "large", units=2)
        await worker.send(credit=lease_pb.Credit(limit=2))
        while_waiting = await quiet(worker)
        await submit(several, "default", "small")
        while_waiting += await quiet(worker)
        await worker.finish(first.lease, succeeded=job_pb2.JobResult())
        large = await worker.grant(limit=3)
        await worker.finish(large.lease, succeeded=job_pb2.JobResult())
        small = await worker.grant(limit=5)
        await worker.finish(small.lease, succeeded=job_pb2.JobResult())

    assert [] == while_waiting
    assert ["large", "small"] == [large.lease.job_id, small.lease.job_id]


async def test_what_one_partition_is_asked_for_no_other_offers(several: Running) -> None:
    """A worker with one free slot gets one grant, however many submit at once in however many partitions."""
    async with ScriptedWorker(several.address, slots=1) as worker:
        await worker.welcome()
        # So that the classes are known here, and submits count on idle workers.
        for number, tenant in enumerate(TENANTS):
            await submit(several, tenant, "warm")
            grant = await worker.grant(limit=number + 1)
            await worker.finish(grant.lease, succeeded=job_pb2.JobResult())
        for number in range(5):
            await asyncio.gather(*(submit(several, tenant, f"job{number}") for tenant in TENANTS))
            grants = await worker.grant(limit=4 + number), *(await quiet(worker))
            assert 1 == len(grants)
            await worker.finish(grants[0].lease, succeeded=job_pb2.JobResult())


async def test_a_process_that_comes_back_keeps_its_leases_in_every_partition(several: Running) -> None:
    """A later stream of it is told KEEP for each; a process after it has none, and they end there as crashes."""
    for tenant in TENANTS:
        await submit(several, tenant)
    async with ScriptedWorker(several.address, slots=3) as worker:
        await worker.welcome()
        await worker.send(credit=lease_pb.Credit(limit=3))
        refs = [grant.lease for grant in await granted(worker, 3)]
        await worker.send(accepts=[lease_pb.Accept(lease=ref) for ref in refs])
        await answers(worker, "renew_results", 3)
    held = [lease_pb.Renewal(lease=ref, sequence=1) for ref in refs]
    async with ScriptedWorker(several.address, slots=3, stream_epoch=2, held_leases=held) as worker:
        kept = (await worker.welcome()).renew_results
        running = [await state(several, tenant) for tenant in TENANTS]
    async with asyncio.timeout(10):
        while True:
            async with ScriptedWorker(several.address, slots=3, session_id="s2") as worker:
                try:
                    await worker.welcome()
                    break
                except grpc.aio.AioRpcError as error:
                    assert Code.ALREADY_EXISTS is error.code()
    after = [await state(several, tenant) for tenant in TENANTS]

    assert [lease_pb.RenewResult.VERDICT_KEEP] * 3 == [each.verdict for each in kept]
    assert (["RUNNING"] * 3, ["QUEUED"] * 3) == (running, after)


async def test_workers_are_listed_once_page_by_page(several: Running) -> None:
    """Though every partition knows each of them."""
    names = [f"w{number}" for number in range(5)]
    workers = [ScriptedWorker(several.address, worker_id=name, session_id=name) for name in names]
    for worker in workers:
        await worker.__aenter__()
        await worker.welcome()
    await several.shows({"workers{state=serving}": 5, "slots{state=free}": 10})
    found, token = [], ""
    while True:
        page = await several.jobs.ListWorkers(pb.ListWorkersRequest(page_size=2, page_token=token))
        found.append([worker.worker_id for worker in page.workers])
        token = page.next_page_token
        if not token:
            break
    for worker in workers:
        await worker.__aexit__()

    assert [["w0", "w1"], ["w2", "w3"], ["w4"]] == found


async def test_figures_are_those_of_all_partitions(several: Running) -> None:
    """Jobs, depth of the queues, blocked ones; and of each whether its store answers."""
    for tenant in TENANTS:
        for number in range(2):
            await submit(several, tenant, f"job{number}", queue="rare" if number else "")

    await several.shows(
        {"jobs{state=queued}": 6, "queue_depth{queue=rare}": 3, "queue_depth{queue=default}": 3, "jobs_blocked": 6}
        | {f"store_up{{partition={number}}}": 1 for number in range(COUNT)}
    )


async def test_classes_of_one_partition_are_no_others(several: Running) -> None:
    """Ids are given anew in each: what blocks a job is told of its own class."""
    blocked = {}
    for number, tenant in enumerate(TENANTS):
        await submit(several, tenant, queue=f"queue{number}")
    for tenant in TENANTS:
        job = (await several.jobs.GetJob(pb.GetJobRequest(tenant=tenant, job_id="job"))).job
        blocked[tenant] = job.blocked_reason
    async with ScriptedWorker(several.address, queues=["queue1"]) as worker:
        await worker.welcome()
        grant = await worker.grant(limit=2)

    assert ["queue0", "queue1", "queue2"] == [blocked[tenant].partition("'")[2].partition("'")[0] for tenant in TENANTS]
    assert "default" == grant.lease.tenant


async def test_a_watch_is_resumed_in_its_own_feed(several: Running) -> None:
    """A token goes on where it was; with another tenant it is refused, whatever the partition."""

    def start(tenant: str, token: str = "") -> pb.WatchJobsRequest:
        return pb.WatchJobsRequest(start=pb.WatchJobsRequest.Start(tenant=tenant, all=True, resume_token=token))

    tokens = {}
    for tenant in TENANTS:
        await submit(several, tenant, "before")
        call = several.jobs.WatchJobs(iter([start(tenant)]))
        tokens[tenant] = (await call.read()).resume_token
        call.cancel()
    for tenant in TENANTS:
        await submit(several, tenant, "after")
    told: dict[str, set[str]] = {}
    for tenant in TENANTS:
        call, told[tenant] = several.jobs.WatchJobs(), set()
        await call.write(start(tenant, tokens[tenant]))
        async with asyncio.timeout(10):
            while not told[tenant]:
                response = await call.read()
                assert not response.reset
                told[tenant] |= {job.job_id for job in response.jobs}
        call.cancel()
    wrong = await refusal(several.jobs.WatchJobs(iter([start("a", tokens["b"])])).read())

    assert {tenant: {"after"} for tenant in TENANTS} == told
    assert Code.INVALID_ARGUMENT is wrong.code


@pytest.mark.parametrize(("there", "asked"), [(3, 2), (3, 4), (3, 1), (1, 3)])
async def test_the_count_never_changes(redis_server: RedisServer, client: redis.Redis, there: int, asked: int) -> None:
    """Jobs would not be found where they are: a scheduler with another count does not start, and says what to do."""
    async with running_scheduler(redis_server.url, partitions=there):
        pass

    with pytest.raises(ExceptionGroup) as refused:
        async with running_scheduler(redis_server.url, partitions=asked):
            pass

    unfit = refused.value.subgroup(UnfitStore)
    assert unfit is not None
    assert f"set TELECINE_PARTITIONS={there}" in str(unfit.exceptions[0])
