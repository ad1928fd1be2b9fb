"""Processes under fire: what is killed, and what must still be true afterwards."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from support.ffmpeg_under_test import frames
from support.judged_system import judged_system
from support.processes import System, ffmpeg_children, free_port, wait_until
from support.slow_job import slow_source, slow_spec
from telecine_client import AsyncClient, AttemptOutcome, Job, JobState

# Nobody else's processes are counted as ours.
JOB = f"chaos-{os.getpid()}"
TTL = {"LEASE_TTL": "6s", "RECONNECT_GRACE": "3s", "ACCEPT_WINDOW": "2s"}


@pytest.fixture
def system() -> Iterator[System]:
    """Ends with the invariants checked and no FFmpeg of ours left."""
    with judged_system(JOB, **TTL) as system:
        yield system


@pytest.fixture
def source(system: System) -> Path:
    return slow_source(system.media)


async def begin(client: AsyncClient, system: System, source: Path, job_id: str = JOB) -> dict[int, str]:
    """Submit a slow job and wait until it encodes; its FFmpeg processes."""
    await client.submit(slow_spec(source, system.media / "out"), job_id=job_id)
    async with asyncio.timeout(60):
        async for job in client.watch(job_id):
            if job.progress and job.progress.frame_count:
                break
    children = ffmpeg_children(f"~{job_id}~")
    # The control of every later "none is left": the search finds what is there.
    assert children
    return children


async def end(client: AsyncClient, job_id: str = JOB) -> Job:
    """The job when it has ended, whole."""
    async with asyncio.timeout(90):
        return await client.wait(job_id)


def check_output(system: System, source: Path) -> None:
    assert frames(source) == frames(system.media / "out" / "out.mp4")
    assert not (system.media / "out" / ".telecine").exists()


async def test_ffmpeg_survives_the_only_schedulers_death(system: System, source: Path) -> None:
    """SIGKILL during an encode, then a new scheduler: the same process finishes, on attempt 1; the watch goes on."""
    listen = f"127.0.0.1:{free_port()}"
    scheduler = system.scheduler(listen=listen).start()
    system.worker(listen).start()
    async with AsyncClient(listen) as client:
        before = await begin(client, system, source)
        watch = asyncio.create_task(_states(client))
        scheduler.kill()
        assert before == ffmpeg_children(f"~{JOB}~")
        system.scheduler("successor", listen=listen).start()
        during = ffmpeg_children(f"~{JOB}~")
        job = await end(client)
        states = await watch

    assert before == during
    assert (JobState.SUCCEEDED, 1) == (job.state, job.attempt_count)
    assert [JobState.RUNNING, JobState.SUCCEEDED] == states
    check_output(system, source)


async def _states(client: AsyncClient) -> list[JobState]:
    """The states a watch shows, each once."""
    seen: list[JobState] = []
    async for job in client.watch(JOB):
        if not seen or seen[-1] is not job.state:
            seen.append(job.state)
    return seen


async def test_another_worker_takes_over_a_killed_ones_job(system: System, source: Path) -> None:
    """SIGKILL the worker: its FFmpeg dies with it, and the job begins again elsewhere within the grace plus two seconds."""
    scheduler = system.scheduler().start()
    address = scheduler.ready["grpc"]
    worker = system.worker(address, "victim").start()
    async with AsyncClient(address) as client:
        before = await begin(client, system, source)
        system.worker(address, "heir").start()
        worker.kill()
        killed = time.monotonic()
        await asyncio.to_thread(
            wait_until, lambda: not before.keys() & ffmpeg_children(f"~{JOB}~").keys(), "the orphan's end", 2
        )
        async with asyncio.timeout(30):
            async for job in client.watch(JOB):
                if job.attempt_count == 2:
                    break
        again = time.monotonic() - killed
        job = await end(client)

    assert JobState.SUCCEEDED is job.state
    assert [("victim", AttemptOutcome.LOST), ("heir", AttemptOutcome.SUCCEEDED)] == [
        (a.worker_id, a.outcome) for a in job.attempts
    ]
    assert again < 3 + 2
    check_output(system, source)


async def test_a_restart_of_redis_costs_no_attempt(system: System, source: Path) -> None:
    """SIGKILL Redis during an encode and start it again: the job succeeds on attempt 1."""
    scheduler = system.scheduler().start()
    address = scheduler.ready["grpc"]
    system.worker(address).start()
    async with AsyncClient(address) as client:
        before = await begin(client, system, source)
        system.redis.kill()
        system.redis.start()
        job = await end(client)

    assert before
    assert (JobState.SUCCEEDED, 1) == (job.state, job.attempt_count)
    check_output(system, source)


async def test_a_worker_that_wakes_up_late_changes_nothing(system: System, source: Path) -> None:
    """SIGSTOP a worker and its FFmpeg past the TTL: another commits; the late one finds its lease gone and cleans up."""
    scheduler = system.scheduler().start()
    address = scheduler.ready["grpc"]
    sleeper = system.worker(address, "sleeper").start()
    async with AsyncClient(address) as client:
        children = await begin(client, system, source)
        for pid in (sleeper.pid, *children):
            os.kill(pid, signal.SIGSTOP)
        system.worker(address, "awake").start()
        job = await end(client)
        made = system.media / "out" / "out.mp4"
        committed = hashlib.sha256(made.read_bytes()).hexdigest()
        for pid in (sleeper.pid, *children):
            os.kill(pid, signal.SIGCONT)
        await asyncio.to_thread(wait_until, lambda: not ffmpeg_children(f"~{JOB}~"), "the late FFmpeg to be gone")
        after = await client.get(JOB)

    assert (JobState.SUCCEEDED, job.revision) == (after.state, after.revision)
    assert [("sleeper", AttemptOutcome.LOST), ("awake", AttemptOutcome.SUCCEEDED)] == [
        (a.worker_id, a.outcome) for a in after.attempts
    ]
    assert committed == hashlib.sha256(made.read_bytes()).hexdigest()
    wait_until(lambda: not (system.media / "out" / ".telecine").exists(), "the late staging to be gone")
    check_output(system, source)


async def test_nothing_acknowledged_is_lost(system: System) -> None:
    """SIGKILL Redis and the scheduler in the middle of submits: every job that was answered is there afterwards."""
    listen = f"127.0.0.1:{free_port()}"
    scheduler = system.scheduler(listen=listen).start()
    source = system.media / "in.mp4"
    acknowledged: list[str] = []

    async def submit(client: AsyncClient, number: int) -> None:
        for each in range(50):
            job_id = f"job-{number}-{each}"
            try:
                await client.submit(slow_spec(source, system.media / "out"), job_id=job_id)
            except Exception as error:  # noqa: BLE001 - what was not acknowledged is not promised
                assert not isinstance(error, AssertionError)
                return
            acknowledged.append(job_id)
            if len(acknowledged) == 150:
                system.redis.kill()
                scheduler.kill()

    async with AsyncClient(listen, timeout=timedelta(seconds=2)) as client:
        await asyncio.gather(*(submit(client, number) for number in range(10)))
    system.redis.start()
    system.scheduler("successor", listen=listen).start()
    async with AsyncClient(listen) as client:
        found = [(await client.get(job_id)).state for job_id in acknowledged]

    assert len(acknowledged) >= 150
    assert {JobState.QUEUED} == set(found)


async def test_a_worker_that_is_asked_to_stop_gives_its_job_back(system: System, source: Path) -> None:
    """SIGTERM: exit 0, the attempt is returned and not charged, and another worker finishes the job."""
    scheduler = system.scheduler().start()
    address = scheduler.ready["grpc"]
    worker = system.worker(address, "leaving").start()
    async with AsyncClient(address) as client:
        await begin(client, system, source)
        assert 0 == await asyncio.to_thread(worker.stop)
        returned = await client.get(JOB)
        assert {} == ffmpeg_children(f"~{JOB}~")
        system.worker(address, "staying").start()
        job = await end(client)

    assert JobState.QUEUED is returned.state
    assert [("leaving", AttemptOutcome.RETURNED), ("staying", AttemptOutcome.SUCCEEDED)] == [
        (a.worker_id, a.outcome) for a in job.attempts
    ]
    check_output(system, source)


async def test_a_scheduler_that_is_asked_to_stop_moves_its_workers(system: System, source: Path) -> None:
    """SIGTERM: exit 0; the worker goes to the other scheduler with its lease, and the encode goes on."""
    first = system.scheduler("first").start()
    second = system.scheduler("second").start()
    addresses = f"{first.ready['grpc']},{second.ready['grpc']}"
    system.worker(addresses).start()
    async with AsyncClient(second.ready["grpc"]) as client:
        before = await begin(client, system, source)
        assert 0 == await asyncio.to_thread(first.stop)
        during = ffmpeg_children(f"~{JOB}~")
        job = await end(client)

    assert before == during
    assert (JobState.SUCCEEDED, 1) == (job.state, job.attempt_count)


async def test_the_port_of_a_dead_scheduler_answers_nobody(system: System) -> None:
    """A client whose scheduler is gone is told so, in bounded time."""
    scheduler = system.scheduler().start()
    address = scheduler.ready["grpc"]
    scheduler.kill()
    async with grpc.aio.insecure_channel(address) as channel, asyncio.timeout(10):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)

    assert grpc.StatusCode.UNAVAILABLE is caught.value.code()
