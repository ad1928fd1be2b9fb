"""Leases on a machine that has far too much to do."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.processes import Child, System, ffmpeg_children, wait_until
from support.slow_job import slow_source, slow_spec
from telecine_client import AsyncClient, JobState

JOBS = [f"busy-{os.getpid()}-{number}" for number in range(4)]
SPINNERS_PER_CORE = 3


@contextmanager
def busy() -> Iterator[None]:
    """Every core has several processes at the default priority that do nothing but run."""
    spinners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(SPINNERS_PER_CORE * len(os.sched_getaffinity(0)))
    ]
    try:
        yield
    finally:
        for spinner in spinners:
            spinner.kill()
            spinner.wait()


def page(process: Child) -> str:
    with urllib.request.urlopen(f"http://{process.ready['metrics']}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


def sample(text: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (.*)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("seconds", [8, pytest.param(30, marks=pytest.mark.long)])
async def test_leases_are_renewed_while_the_machine_is_busy(seconds: float) -> None:
    """Three busy processes a core beside four encodes, and leases of six seconds: none is lost, and no stream breaks."""
    with System(LEASE_TTL="6s", RECONNECT_GRACE="3s") as system:
        scheduler = system.scheduler().start()
        source = slow_source(system.media)
        worker = system.worker(scheduler.ready["grpc"], TELECINE_SLOTS="4").start()
        async with AsyncClient(scheduler.ready["grpc"]) as client:
            for name in JOBS:
                await client.submit(slow_spec(source, system.media / name), job_id=name)
            await asyncio.to_thread(
                wait_until, lambda: all(ffmpeg_children(f"~{name}~") for name in JOBS), "all jobs to run", 60
            )
            with busy():
                # Not a wait for something: this is how long it is busy.
                await asyncio.sleep(seconds)
                jobs = [await client.get(name) for name in JOBS]
            said = await asyncio.to_thread(page, scheduler)
            lag = await asyncio.to_thread(page, worker)
            connections = worker.log.read_text().count("scheduler connected")
            for job in jobs:
                if job.state is JobState.RUNNING:
                    await client.cancel(job.job_id)

    assert {JobState.RUNNING, JobState.SUCCEEDED} >= {job.state for job in jobs}
    assert [1] * len(JOBS) == [job.attempt_count for job in jobs]
    assert 0.0 == sample(said, 'telecine_attempts_total{outcome="lost"}')
    assert 1 == connections
    assert sample(lag, "telecine_loop_lag_seconds_count") > 0
