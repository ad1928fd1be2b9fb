"""A worker's stream, holdings and journal against a scheduler that the test scripts."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from support.confined import MODES, confined, with_python
from support.fetching import destinations
from support.s3_server import s3_server
from support.scripted_scheduler import ScriptedScheduler
from support.worker_bench import Bench, MakeBench, ScriptedAttempt
from support.worker_process import Start, starting
from telecine_worker import lease_stream, publish_question, reconnection, unconfirmed
from telecine_worker.attempt import Assignment
from telecine_worker.condition import Condition
from telecine_worker.disk_guard import DiskGuard
from telecine_worker.holdings import Holdings
from telecine_worker.journal import Journal
from telecine_worker.lease_stream import Introduction, LeaseStream
from telecine_worker.metrics import WorkerMetrics
from telecine_worker.sandbox.confinement import Confinement
from telecine_worker.storage.input_cache import InputCache
from telecine_worker.storage.threads import Threads


@pytest.fixture(scope="module")
def store_server() -> Iterator[Any]:
    """An S3 server's host, port and a client of it; each test makes a bucket of its own."""
    with s3_server() as made:
        yield made


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens every few seconds happens at once."""
    monkeypatch.setattr(lease_stream, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(lease_stream, "CLOSE_SECONDS", 0.3)
    monkeypatch.setattr(reconnection, "FIRST_PAUSE_SECONDS", 0.03)
    monkeypatch.setattr(reconnection, "OFTEN_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(unconfirmed, "RESEND_OUTCOME_SECONDS", 0.2)
    monkeypatch.setattr(publish_question, "ASK_AGAIN_SECONDS", 0.05)


@pytest.fixture
async def scheduler() -> AsyncIterator[ScriptedScheduler]:
    async with ScriptedScheduler() as scheduler:
        yield scheduler


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the journal is kept."""
    path = tmp_path / "journal"
    path.mkdir()
    return path


@pytest.fixture
def make_bench(scheduler: ScriptedScheduler, folder: Path) -> MakeBench:
    """Makes a worker that runs from entering to leaving; all of them have one journal: each is the next life of one worker."""

    @contextlib.asynccontextmanager
    async def make(slots: int = 4) -> AsyncIterator[Bench]:
        registry = CollectorRegistry()
        metrics = WorkerMetrics(registry, slots=slots, ffmpeg="none")
        journal = Journal(folder)
        journal.load()
        introduction = Introduction(
            worker_id="w1", session_id="s1", version="0", queues=("default",), capabilities=(), slots=slots
        )
        stream = LeaseStream(introduction, [scheduler.address], metrics)

        def attempt(assignment: Assignment, /, *, ask_to_publish: Any, on_progress: Any, log: Any) -> ScriptedAttempt:
            made = ScriptedAttempt(assignment, ask_to_publish, on_progress)
            bench.attempts[assignment.token] = made
            return made

        threads = Threads(2)
        condition = Condition(lambda: bench.ailment, lambda: None, threads)
        disk = DiskGuard(
            folder, destinations=destinations([], folder), cache=InputCache(folder, 0), threads=threads, reserve_bytes=0
        )
        holdings = Holdings(
            slots=slots, offered=frozenset({"probe", "transcode"}), attempts=attempt, journal=journal,
            condition=condition, disk=disk, metrics=metrics, send=stream.send,
        )  # fmt: skip
        bench = Bench(
            scheduler=scheduler,
            stream=stream,
            holdings=holdings,
            journal=journal,
            condition=condition,
            registry=registry,
        )
        bench.run()
        try:
            yield bench
            bench.check()
        finally:
            await bench.end()
            threads.close()

    return make


@pytest.fixture
async def bench(make_bench: MakeBench) -> AsyncIterator[Bench]:
    """A worker with four slots."""
    async with make_bench() as bench:
        yield bench


@pytest.fixture
def start(scheduler: ScriptedScheduler, tmp_path: Path) -> Start:
    """Starts a worker as a process."""
    return starting(scheduler, tmp_path)


@pytest.fixture(params=MODES)
def sandbox(request: pytest.FixtureRequest) -> Confinement:
    """Of each mode that holds here, with Python in it."""
    return with_python(confined(request.param))
