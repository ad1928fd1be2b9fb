"""The auditor of a whole scheduler: it walks by itself, says what it mended, and leaves what is in use alone."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import redis

from support.invariants import Keyspace
from support.redis_server import RedisServer
from support.running_scheduler import ScriptedWorker, running_scheduler
from support.store_bench import Bench, a_job
from telecine.v1 import job_pb2
from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.domain.figures import Audited, Repair
from telecine_scheduler.service import auditor
from telecine_scheduler.store import job_store
from telecine_scheduler.store.job_store import JobStore
from telecine_scheduler.store.keys import prefix

P = prefix()


async def test_what_is_broken_is_mended_and_counted(bench: Bench, redis_server: RedisServer) -> None:
    """A scheduler that starts looks at everything within seconds, where there is not much."""
    await bench.submit("lost")
    await bench.start("running", priority=100)
    bench.client.zrem(f"{P}rdy:1:default", "lost")
    bench.client.zrem(f"{P}lease", "default:running")

    async with running_scheduler(redis_server.url) as running:
        await running.shows({"repairs_total{kind=ready}": 1, "repairs_total{kind=timer}": 1})
        samples = await running.samples("repairs_total", "broken_records_total")

    assert {f"repairs_total{{kind={kind}}}" for kind in Repair} | {"broken_records_total"} == samples.keys()
    # Besides, the tenant whose only ready job was lost took a turn for nothing.
    assert {"ready": 1, "timer": 1, "turn": 1} == {
        name.removeprefix("repairs_total{kind=").rstrip("}"): number for name, number in samples.items() if number
    }


async def test_a_pass_goes_on_where_redis_was_away(
    bench: Bench, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not begun anew: where Redis is away more often than a pass takes, there would never be a whole one."""
    monkeypatch.setattr(auditor, "LONGEST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(job_store, "AUDIT_LIMIT", 5)
    audit, asked, over = JobStore.audit, list[tuple[bytes, ...] | None](), asyncio.Event()

    async def audit_now_and_then(store: JobStore, position: tuple[bytes, ...] | None) -> Audited | None:
        asked.append(position)
        if len(asked) % 2 == 0:
            raise StoreUnavailable("away")
        audited = await audit(store, position)
        if audited and audited.position is None:
            over.set()
        return audited

    monkeypatch.setattr(JobStore, "audit", audit_now_and_then)
    bench.admit()
    await bench.store.submit_all([a_job(f"{number}") for number in range(5)])
    async with asyncio.timeout(30), running_scheduler(redis_server.url):
        await over.wait()

    refused = asked[1::2]
    assert None not in refused[:2]
    assert refused[:2] == asked[2::2][:2]


async def test_what_is_in_use_is_left_alone(
    redis_server: RedisServer, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passes of small steps follow one upon the other while jobs are submitted, run and ended."""
    monkeypatch.setattr(auditor, "TURN_SECONDS", 0.001)
    monkeypatch.setattr(auditor, "LONGEST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(job_store, "AUDIT_REST", timedelta())
    monkeypatch.setattr(job_store, "AUDIT_LIMIT", 5)
    async with running_scheduler(redis_server.url) as running, ScriptedWorker(running.address, slots=4) as worker:
        await worker.welcome()
        passes = set()
        for number in range(60):
            jobs = [running.submit(f"{number}-{each}") for each in range(4)]
            await asyncio.gather(*jobs)
            grant = await worker.grant(number + 1)
            await worker.accept(grant.lease)
            if number % 3:
                await worker.finish(grant.lease, succeeded=job_pb2.JobResult())
            else:
                await worker.finish(
                    grant.lease, failed=job_pb2.Failure(kind=job_pb2.Failure.KIND_RETRYABLE, reason="IO_ERROR")
                )
            passes.add(client.hget(f"{P}meta", "audited"))
        samples = await running.samples("repairs_total", "swept_total{action=repaired}")

    assert len(passes) > 3
    assert {0} == {*samples.values()}
    assert [] == Keyspace(client).violations()
