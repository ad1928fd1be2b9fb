"""Three partitions, each on a server of its own, of which one or all go away: the others are served all the while."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import redis
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.redis_server import RedisServer
from support.rpc_errors import refusal
from support.running_scheduler import Running, ScriptedWorker, running_scheduler
from support.several_partitions import COUNT, TENANTS, reaches, state, submit, violations
from telecine.v1 import job_pb2
from telecine.v1 import lease_service_pb2 as lease_pb
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler import app
from telecine_scheduler.service import directory
from telecine_scheduler.store import lane, store_watch
from telecine_scheduler.store.checks import UnfitStore
from telecine_scheduler.store.keys import prefix

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
KEEP, TRY_AGAIN = lease_pb.RenewResult.VERDICT_KEEP, lease_pb.RenewResult.VERDICT_TRY_AGAIN


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silence is noticed, a call given up and a gauge set in half the time or less, so that the tests take no longer."""
    monkeypatch.setattr(store_watch, "AWAY_SECONDS", 1.0)
    monkeypatch.setattr(lane, "ANSWER_SECONDS", 2.0)
    monkeypatch.setattr(app, "MEASURE_PERIOD", timedelta(seconds=0.2))
    monkeypatch.setattr(directory, "BEAT_SECONDS", 0.1)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sequence[RedisServer]]:
    """One for each partition, as the nodes of a cluster are, which keep what was acknowledged."""
    with contextlib.ExitStack() as stack:
        started = []
        for _ in range(COUNT):
            server = RedisServer(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tc"))))
            server.start()
            stack.callback(server.stop)
            started.append(server)
        urls = {prefix(number): server.url for number, server in enumerate(started)}
        connect = app.connect
        monkeypatch.setattr(app, "connect", lambda _, key, **options: connect(urls[key], key, **options))
        yield started
        clients = [stack.enter_context(redis.Redis(unix_socket_path=str(server.socket))) for server in started]
        assert [] == violations(*clients)


@pytest.fixture
async def several(servers: Sequence[RedisServer]) -> AsyncIterator[Running]:
    """A scheduler on all of them."""
    async with asyncio.timeout(60), running_scheduler("unix:///nowhere", partitions=COUNT) as running:
        yield running


@contextlib.contextmanager
def killed(server: RedisServer) -> Iterator[None]:
    """Connections are refused."""
    server.kill()
    try:
        yield
    finally:
        server.start()


@contextlib.contextmanager
def stopped(server: RedisServer) -> Iterator[None]:
    """Connections are taken, and nothing is answered."""
    os.kill(server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(server.pid, signal.SIGCONT)


async def health(running: Running, wanted: int) -> None:
    """Wait until the health service says so."""
    stub = health_pb2_grpc.HealthStub(running.channel)
    async with asyncio.timeout(15):
        while wanted != (await stub.Check(health_pb2.HealthCheckRequest())).status:
            await asyncio.sleep(0.01)


async def admitted(running: Running, tenant: str, job_id: str) -> None:
    """Submit again and again until the tenant's partition is back."""
    async with asyncio.timeout(15):
        back = False
        while not back:
            try:
                await submit(running, tenant, job_id)
                back = True
            except grpc.aio.AioRpcError as error:
                assert grpc.StatusCode.UNAVAILABLE is error.code()


async def granted(worker: ScriptedWorker, tenant: str, *, limit: int) -> None:
    """The next job that the worker is given is this tenant's; it ends well."""
    grant = await worker.grant(limit=limit)
    assert tenant == grant.lease.tenant
    await worker.finish(grant.lease, succeeded=job_pb2.JobResult())


async def one_job(running: Running, worker: ScriptedWorker, tenant: str, job_id: str, limit: int) -> None:
    """From its submission to its end, by a worker with one free slot."""
    await submit(running, tenant, job_id)
    grant = await worker.grant(limit=limit)
    assert (tenant, job_id) == (grant.lease.tenant, grant.lease.job_id)
    await worker.finish(grant.lease, succeeded=job_pb2.JobResult())
    assert "SUCCEEDED" == await state(running, tenant, job_id)


@pytest.mark.parametrize("trouble", [killed, stopped])
async def test_one_that_is_away_stops_no_other(several: Running, servers: Sequence[RedisServer], trouble: Any) -> None:
    """Its tenants' calls are UNAVAILABLE; jobs of the others go through a worker that serves all; and it comes back to that."""
    credit = 0
    async with ScriptedWorker(several.address, slots=1) as worker:
        await worker.welcome()
        with trouble(servers[1]):
            for number in range(5):
                for tenant in ("a", "b"):
                    credit += 1
                    await one_job(several, worker, tenant, f"job{number}", credit)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await submit(several, "default")
            await several.shows({f"store_up{{partition={each}}}": float(each != 1) for each in range(COUNT)})
            await health(several, SERVING)
            await several.jobs.GetQueueStats(pb.GetQueueStatsRequest(tenant="a"))
            await several.shows({"workers{state=serving}": 1, "slots{state=free}": 1})
        await admitted(several, "default", "back")
        grant = await worker.grant(limit=credit + 1)
        await worker.finish(grant.lease, succeeded=job_pb2.JobResult())

    assert grpc.StatusCode.UNAVAILABLE is refused.value.code()
    assert "default" == grant.lease.tenant


@pytest.mark.parametrize("trouble", [killed, stopped])
async def test_a_worker_that_comes_while_one_is_away(
    several: Running, servers: Sequence[RedisServer], trouble: Any
) -> None:
    """It is told TRY_AGAIN of that one's lease and KEEP of the others, works for those, and for that one when it is back."""
    for tenant in TENANTS:
        await submit(several, tenant)
    async with ScriptedWorker(several.address, slots=3) as worker:
        await worker.welcome()
        refs: list[lease_pb.LeaseRef] = []
        await worker.send(credit=lease_pb.Credit(limit=3))
        while len(refs) < 3:
            refs += [grant.lease for grant in (await worker.read()).grants]
        for ref in refs:
            await worker.accept(ref)
        await worker.send(bye=lease_pb.Bye())
    await submit(several, "default", "waiting")
    held = [lease_pb.Renewal(lease=ref, sequence=1) for ref in refs]
    with contextlib.ExitStack() as away:
        away.enter_context(trouble(servers[1]))
        async with ScriptedWorker(several.address, slots=3, stream_epoch=2, held_leases=held) as worker:
            verdicts = {each.lease.tenant: each.verdict for each in (await worker.welcome()).renew_results}
            for ref in refs:
                if ref.tenant != "default":
                    await worker.finish(ref, succeeded=job_pb2.JobResult())
            await one_job(several, worker, "b", "more", 1)
            away.close()
            grant = await worker.grant(limit=2)
            [lost] = [ref for ref in refs if ref.tenant == "default"]
            kept = await worker.renew(lost)
            acks = [await worker.finish(ref, succeeded=job_pb2.JobResult()) for ref in (lost, grant.lease)]

    assert {"a": KEEP, "default": TRY_AGAIN, "b": KEEP} == verdicts
    assert ("default", "waiting") == (grant.lease.tenant, grant.lease.job_id)
    assert (KEEP, ["COMMITTED"] * 2) == (kept.verdict, acks)


async def test_what_others_answer_does_not_wait_for_it(several: Running, servers: Sequence[RedisServer]) -> None:
    """Renewals that came in one message: those of the others are told at once, that of the one when it is known."""
    async with ScriptedWorker(several.address, slots=3) as worker:
        await worker.welcome()
        refs: list[lease_pb.LeaseRef] = []
        for tenant in TENANTS:
            await submit(several, tenant)
        await worker.send(credit=lease_pb.Credit(limit=3))
        while len(refs) < 3:
            refs += [grant.lease for grant in (await worker.read()).grants]
        told: list[str] = []
        with stopped(servers[1]):
            await worker.send(renewals=[lease_pb.Renewal(lease=ref, sequence=1) for ref in refs])
            while len(told) < 2:
                told += [result.lease.tenant for result in (await worker.read()).renew_results]
        while len(told) < 3:
            told += [result.lease.tenant for result in (await worker.read()).renew_results]
        for ref in refs:
            await worker.finish(ref, succeeded=job_pb2.JobResult())

    assert ({"a", "b"}, "default") == (set(told[:2]), told[2])


async def test_a_hello_does_not_wait_for_one_that_is_known_to_be_away(
    several: Running, servers: Sequence[RedisServer]
) -> None:
    """Its leases and outcomes are TRY_AGAIN at once, while whoever asks for a job of its tenants is kept waiting."""
    refs = [lease_pb.LeaseRef(tenant=tenant, job_id="none", token=1) for tenant in TENANTS]
    renewals = [lease_pb.Renewal(lease=ref, sequence=1) for ref in refs]
    outcomes = [lease_pb.Outcome(lease=ref, succeeded=job_pb2.JobResult()) for ref in refs]
    with stopped(servers[1]):
        await several.shows({"store_up{partition=1}": 0})
        waiting = asyncio.create_task(state(several, "default"))
        async with ScriptedWorker(several.address, held_leases=renewals, unconfirmed_outcomes=outcomes) as worker:
            welcome = await worker.welcome()
            first = not waiting.done()
        await asyncio.gather(waiting, return_exceptions=True)

    assert first
    results = {each.lease.tenant: each.verdict for each in welcome.renew_results}
    acks = {each.lease.tenant: each.ack for each in welcome.outcome_acks}
    stale, no_more = lease_pb.RenewResult.VERDICT_STALE, lease_pb.OutcomeAck.ACK_STALE
    assert {"a": stale, "default": TRY_AGAIN, "b": stale} == results
    assert {"a": no_more, "default": lease_pb.OutcomeAck.ACK_TRY_AGAIN, "b": no_more} == acks


async def test_a_begin_whose_answer_was_lost_is_said_again(several: Running, servers: Sequence[RedisServer]) -> None:
    """A partition that has heard of a stream by the time it is told again takes it for the same one."""
    with contextlib.ExitStack() as away:
        away.enter_context(stopped(servers[1]))
        async with ScriptedWorker(several.address, slots=1) as worker:
            # By then nothing was heard from it.
            await worker.welcome()
            await one_job(several, worker, "a", "job", 1)
            away.close()
            await admitted(several, "default", "later")
            await granted(worker, "default", limit=2)


async def test_an_end_that_was_not_heard_of_is_told_later(several: Running, servers: Sequence[RedisServer]) -> None:
    """A process that left while a partition was away is forgotten there too: the next one of that worker works for it."""
    with contextlib.ExitStack() as away:
        async with ScriptedWorker(several.address) as first:
            await first.welcome()
            away.enter_context(killed(servers[2]))
            await several.shows({"store_up{partition=2}": 0})
        # Before the scheduler has seen the first one go, the second is refused.
        await several.shows({"worker_streams": 0})
        async with ScriptedWorker(several.address, session_id="s2") as second:
            await second.welcome()
            await one_job(several, second, "a", "job", 1)
            away.close()
            await admitted(several, "b", "later")
            await granted(second, "b", limit=2)


async def test_it_is_not_ready_when_none_answers(several: Running, servers: Sequence[RedisServer]) -> None:
    """One is enough; none is not."""
    with contextlib.ExitStack() as stack:
        for server in servers[:2]:
            stack.enter_context(killed(server))
        # Before it is known that they are away, too.
        await several.jobs.ListWorkers(pb.ListWorkersRequest())
        await several.shows({"store_up{partition=0}": 0, "store_up{partition=1}": 0, "store_up{partition=2}": 1})
        await health(several, SERVING)
        with killed(servers[2]):
            await health(several, NOT_SERVING)
        await health(several, SERVING)
    for tenant in TENANTS:
        await admitted(several, tenant, "back")


async def test_it_starts_with_one_away(servers: Sequence[RedisServer]) -> None:
    """Calls and watches of that one's tenants are UNAVAILABLE until it was found fit; the others are served at once."""
    servers[0].kill()
    async with asyncio.timeout(30), running_scheduler("unix:///nowhere", partitions=COUNT) as running:
        await submit(running, "b")
        watch = running.jobs.WatchJobs()
        await watch.write(pb.WatchJobsRequest(start=pb.WatchJobsRequest.Start(tenant="a", all=True)))
        refused = [
            await refusal(running.jobs.GetJob(pb.GetJobRequest(tenant="a", job_id="job"))),
            await refusal(watch.read()),
        ]
        servers[0].start()
        await admitted(running, "a", "back")
        await reaches(running, "a", "QUEUED", "back")

    assert [grpc.StatusCode.UNAVAILABLE] * 2 == [each.code for each in refused]


async def test_an_unfit_one_is_a_reason_not_to_start_but_none_to_stop(servers: Sequence[RedisServer]) -> None:
    """Its Redis is set up wrong: that is said at the start. Of one that comes later it is said while the others are served."""
    servers[1].kill()
    servers[1].settings["maxmemory-policy"] = "allkeys-lru"
    async with asyncio.timeout(30), running_scheduler("unix:///nowhere", partitions=COUNT) as running:
        servers[1].start()
        with pytest.raises(grpc.aio.AioRpcError):
            await submit(running, "default")
        await submit(running, "a")
    with pytest.raises(ExceptionGroup) as refused:
        async with running_scheduler("unix:///nowhere", partitions=COUNT):
            pass

    unfit = refused.value.subgroup(UnfitStore)
    assert unfit is not None
    assert "noeviction" in str(unfit.exceptions[0])
