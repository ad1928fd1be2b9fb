"""A scheduler that is stopped with workers on it: they leave, and it learns of that when it goes on."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
import urllib.request

import pytest
import redis

from support.invariants import Keyspace
from support.processes import Child, System, ffmpeg_children, wait_until
from support.slow_job import slow_source, slow_spec
from telecine_client import AsyncClient, JobState

# Pings go out every ten seconds, and their answers are waited for for five; then the worker connects elsewhere.
PINGS_SECONDS = 22
JOB = f"frozen-{os.getpid()}"


def streams(scheduler: Child) -> float:
    """How many workers it says are connected to it."""
    with urllib.request.urlopen(f"http://{scheduler.ready['metrics']}/metrics", timeout=10) as answer:
        found = re.search(r"^telecine_worker_streams (.*)$", answer.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


async def test_a_worker_leaves_a_stopped_scheduler() -> None:
    """SIGSTOP: within half of the lease's time without an answer it goes to the other scheduler with its next epoch, and FFmpeg
    goes on. Continued, the first one finds the stream fenced, and nothing changes.
    """
    with System(LEASE_TTL="6s", RECONNECT_GRACE="3s", ACCEPT_WINDOW="5s") as system:
        first, second = (system.scheduler(name).start() for name in ("first", "second"))
        source = slow_source(system.media)
        # It begins with either; the other one is the next in turn.
        worker = system.worker(f"{first.ready['grpc']},{second.ready['grpc']}").start()
        await asyncio.to_thread(wait_until, lambda: streams(first) + streams(second), "the worker to be counted", 30)
        home, refuge = (first, second) if streams(first) else (second, first)
        async with AsyncClient(refuge.ready["grpc"]) as client:
            await client.submit(slow_spec(source, system.media / "out"), job_id=JOB)
            async with asyncio.timeout(60):
                async for job in client.watch(JOB):
                    if job.progress and job.progress.frame_count:
                        break
            before = ffmpeg_children(f"~{JOB}~")
            home.signal(signal.SIGSTOP)
            stopped = time.monotonic()
            await asyncio.to_thread(wait_until, lambda: streams(refuge), "the worker to come", 30)
            took = time.monotonic() - stopped
            home.signal(signal.SIGCONT)
            await asyncio.to_thread(wait_until, lambda: not streams(home), "the old stream to be fenced", 30)
            during = ffmpeg_children(f"~{JOB}~")
            job = await client.get(JOB)
            await client.cancel(JOB)
            async with asyncio.timeout(60):
                ended = await client.wait(JOB)
        assert 0 == worker.stop()
        said = worker.log.read_text()
        with redis.Redis(unix_socket_path=str(system.redis.socket)) as client_of_redis:
            assert [] == Keyspace(client_of_redis).violations()

    assert before
    assert before == during
    assert (JobState.RUNNING, JobState.CANCELLED, 1) == (job.state, ended.state, ended.attempt_count)
    # Pings would show it after 15 s only.
    assert took < 15
    assert "scheduler does not answer renewals" in said


@pytest.mark.long
async def test_an_idle_worker_leaves_a_stopped_scheduler() -> None:
    """It has nothing to renew that would show it: pings do."""
    with System() as system:
        first, second = (system.scheduler(name).start() for name in ("first", "second"))
        system.worker(f"{first.ready['grpc']},{second.ready['grpc']}").start()
        await asyncio.to_thread(wait_until, lambda: streams(first) + streams(second), "the worker to be counted", 30)
        home, refuge = (first, second) if streams(first) else (second, first)
        home.signal(signal.SIGSTOP)
        stopped = time.monotonic()
        await asyncio.to_thread(wait_until, lambda: streams(refuge), "the worker to come", 70)
        took = time.monotonic() - stopped
        home.signal(signal.SIGCONT)
    assert took < PINGS_SECONDS
