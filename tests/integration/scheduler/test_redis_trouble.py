"""What callers meet while Redis is in trouble: UNAVAILABLE at worst, soon, and service again by itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
import redis
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support import steady_callers
from support.gate_proxy import GateProxy
from support.invariants import Keyspace
from support.processes import wait_until
from support.redis_server import RedisServer
from support.replicas import admin
from support.rpc_errors import refusal
from support.running_scheduler import Running, ScriptedWorker, running_scheduler
from support.steady_ports import steady_port
from support.swallowing_proxy import SwallowingProxy
from telecine.v1 import job_pb2
from telecine.v1 import lease_service_pb2 as lease_pb
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.rpc import interceptor
from telecine_scheduler.store import lane, store_watch
from telecine_scheduler.store.keys import prefix

# Four times what is promised after the server answers again.
BACK_SECONDS = 8.0
Trouble = Callable[[RedisServer], contextlib.AbstractContextManager[None]]


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One of its own, as production has it, because it is treated badly."""
    with tempfile.TemporaryDirectory(prefix="tc") as folder:
        server = RedisServer(
            Path(folder),
            port=str(steady_port()),
            busy_reply_threshold="50",
            loading_process_events_interval_bytes="1024",
        )
        server.start()
        yield server
        server.kill()


async def health(running: Running, wanted: int, seconds: float = 15) -> None:
    """Wait until the health service says so."""
    stub = health_pb2_grpc.HealthStub(running.channel)
    async with asyncio.timeout(seconds):
        while wanted != (await stub.Check(health_pb2.HealthCheckRequest())).status:
            await asyncio.sleep(0.01)


@contextlib.contextmanager
def restarted(server: RedisServer) -> Iterator[None]:
    """Killed, and nothing listens for a while: connections are refused."""
    server.kill()
    yield
    server.start()


@contextlib.contextmanager
def stopped(server: RedisServer) -> Iterator[None]:
    """SIGSTOP: connections are taken, and nothing is answered."""
    os.kill(server.pid, signal.SIGSTOP)
    yield
    os.kill(server.pid, signal.SIGCONT)


@contextlib.contextmanager
def loading(server: RedisServer) -> Iterator[None]:
    """It was started again, and has much to read: LOADING."""
    with admin(server) as client:
        client.mset({f"other:{number}": "x" * 100 for number in range(3000)})
        client.bgrewriteaof()
        wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"], "the file to be rewritten")
    server.kill()
    server.settings["key-load-delay"] = "1000"
    server.launch()
    yield
    server.wait_ready()


@contextlib.contextmanager
def busy(server: RedisServer) -> Iterator[None]:
    """Somebody else's script runs and runs: BUSY."""

    def run() -> None:
        with admin(server) as client, contextlib.suppress(redis.RedisError):
            client.eval("while true do end", 0)

    script = threading.Thread(target=run)
    script.start()
    yield
    with admin(server) as client:
        client.script_kill()
    script.join(10)


@contextlib.contextmanager
def readonly(server: RedisServer) -> Iterator[None]:
    """It was made a replica of one that is not there: READONLY."""
    with admin(server) as client:
        client.replicaof("127.0.0.1", 1)
        yield
        client.replicaof("NO", "ONE")


@contextlib.contextmanager
def without_replicas(server: RedisServer) -> Iterator[None]:
    """It must not write without a replica: NOREPLICAS."""
    with admin(server) as client:
        client.config_set("min-replicas-to-write", 1)
        yield
        client.config_set("min-replicas-to-write", 0)


@contextlib.contextmanager
def without_disk(server: RedisServer) -> Iterator[None]:
    """It could not save a snapshot, and takes no writes for that: MISCONF."""
    with admin(server) as client:
        (server.folder / "dump.rdb").mkdir()
        client.config_set("save", "3600 1000000")
        client.bgsave()
        wait_until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", "the snapshot to fail")
        yield
        client.config_set("stop-writes-on-bgsave-error", "no")


@pytest.mark.parametrize("trouble", [restarted, stopped, loading, busy, readonly, without_replicas, without_disk])
async def test_an_outage_is_said_and_over_by_itself(
    server: RedisServer, trouble: Trouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Callers are refused as UNAVAILABLE with a time to come back, soon; the health service says so while it lasts; then all is
    as before, and what was acknowledged is there.
    """
    monkeypatch.setattr(store_watch, "AWAY_SECONDS", 0.8)
    async with (
        asyncio.timeout(60),
        running_scheduler(server.url) as running,
        steady_callers.steady_callers(running) as [callers],
    ):
        lasting = trouble(server)
        await asyncio.to_thread(lasting.__enter__)
        await callers.refused()
        await health(running, health_pb2.HealthCheckResponse.NOT_SERVING)
        await asyncio.to_thread(lasting.__exit__, None, None, None)
        back = await callers.served(time.monotonic())
        assert back < BACK_SECONDS
        await health(running, health_pb2.HealthCheckResponse.SERVING)
    with admin(server) as client:
        assert [] == Keyspace(client).violations()


@pytest.mark.parametrize("what", ["SCRIPT FLUSH", "CLIENT KILL TYPE normal SKIPME yes"])
async def test_nothing_is_lost_while_it_happens_again_and_again(server: RedisServer, what: str) -> None:
    """Scripts forgotten between any two commands, connections cut at any moment: callers are served in between, and refused in
    the second case alone.
    """
    with admin(server) as client:
        async with (
            asyncio.timeout(60),
            running_scheduler(server.url) as running,
            steady_callers.steady_callers(running) as [callers],
        ):
            already = len(callers.acknowledged)
            async with asyncio.timeout(30):
                while len(callers.acknowledged) < already + 40:
                    client.execute_command(*what.split())
                    await asyncio.sleep(0.001 if what == "SCRIPT FLUSH" else 0.1)
            if what == "SCRIPT FLUSH":
                assert [] == callers.refusals
        assert [] == Keyspace(client).violations()


async def test_a_full_server_takes_no_jobs_and_lets_others_end(server: RedisServer) -> None:
    """Out of memory a submit is RESOURCE_EXHAUSTED with a time to come back; what runs is renewed and ends, what waits can be
    cancelled, sweeps go on, and the scheduler stays healthy.
    """
    with admin(server) as client:
        async with (
            asyncio.timeout(60), running_scheduler(server.url) as running, ScriptedWorker(running.address) as worker,
        ):  # fmt: skip
            await worker.welcome()
            await running.submit("runs")
            ref = (await worker.grant()).lease
            await worker.accept(ref)
            await running.submit("waits")
            client.config_set("maxmemory", 1)
            swept = client.hget(f"{prefix()}meta", "beat")

            refused = await refusal(running.submit("another"))
            assert (grpc.StatusCode.RESOURCE_EXHAUSTED, "STORE_FULL", 5.0) == (
                refused.code, refused.reason, refused.retry_seconds,
            )  # fmt: skip
            assert lease_pb.RenewResult.VERDICT_KEEP == (await worker.renew(ref)).verdict
            await running.jobs.CancelJob(pb.CancelJobRequest(job_id="waits"))
            assert "COMMITTED" == await worker.finish(ref, succeeded=job_pb2.JobResult())
            await asyncio.to_thread(wait_until, lambda: client.hget(f"{prefix()}meta", "beat") != swept, "a sweep")
            await health(running, health_pb2.HealthCheckResponse.SERVING)

            client.config_set("maxmemory", 0)
            await running.submit("another")
        assert [] == Keyspace(client).violations()


async def test_a_connection_that_swallows_is_given_up(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that take everything and give nothing are compared with a new one and replaced: no deadline is needed."""
    monkeypatch.setattr(lane, "ANSWER_SECONDS", 60.0)
    monkeypatch.setattr(steady_callers, "LONGEST_SECONDS", 30.0)
    async with (
        asyncio.timeout(60), SwallowingProxy(server.port) as proxy, running_scheduler(proxy.url) as running,
        steady_callers.steady_callers(running) as [callers],
    ):  # fmt: skip
        proxy.swallow()
        assert await callers.served(time.monotonic()) < 20
    with admin(server) as client:
        assert [] == Keyspace(client).violations()


async def test_a_lost_reply_changes_nothing_about_what_was_done(server: RedisServer) -> None:
    """Where the reply to a submit is lost, the caller is told that its outcome is not known; the job is there once, and the
    repeated submit finds it.
    """
    async with (
        asyncio.timeout(60), GateProxy("127.0.0.1", server.port) as proxy,
        running_scheduler(f"redis://{proxy.address}") as running,
    ):  # fmt: skip
        await running.submit("before")
        proxy.hold()
        lost = asyncio.create_task(refusal(running.submit("job")))
        with admin(server) as client:
            while not client.exists(f"{prefix()}j:default:job"):
                await asyncio.sleep(0.01)
        proxy.lose()

        refused = await lost
        assert (grpc.StatusCode.UNAVAILABLE, True) == (refused.code, "outcome is not known" in refused.message)
        repeated = await acknowledged(running, "job")
        assert "job" == repeated.job_id
    with admin(server) as client:
        assert b"2" == client.hget(f"{prefix()}states", "Q")
        assert [] == Keyspace(client).violations()


async def test_a_call_that_asks_several_times_has_one_deadline(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many looks at Redis it takes, each of which may take seconds, the caller is told in time, and to come back."""
    monkeypatch.setattr(interceptor, "CALL_SECONDS", 0.3)
    monkeypatch.setattr(lane, "ANSWER_SECONDS", 30.0)
    async with asyncio.timeout(60), running_scheduler(server.url) as running:
        await running.submit("job")
        with stopped(server):
            refused = await refusal(running.get("job"))
        assert (grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", True) == (
            refused.code, refused.reason, refused.retry_seconds is not None,
        )  # fmt: skip
        assert "within 0.3 s" in refused.message


async def acknowledged(running: Running, job_id: str) -> job_pb2.Job:
    """Submit until it is."""
    while True:
        try:
            return await running.submit(job_id)
        except grpc.aio.AioRpcError as error:
            assert grpc.StatusCode.UNAVAILABLE is error.code()
