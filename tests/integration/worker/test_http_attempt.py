"""Whole attempts with an input from http, on real FFmpeg: what arrives is encoded, and what hangs is ended."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from google.protobuf import json_format

from support.fault_proxy import Fault, FaultProxy, Kind
from support.fetching import HERE, Fetching, destinations, intake
from support.ffmpeg_under_test import frames, make_clip, toolchain_under_test
from support.http_server import Film, HttpServer, hanging, raw, status
from support.scripted_scheduler import ScriptedScheduler
from support.worker_bench import lease
from telecine.v1 import job_pb2, media_pb2
from telecine_worker import convert
from telecine_worker.attempt import Assignment, Attempt, Permission
from telecine_worker.failure import FailureKind
from telecine_worker.ffmpeg.progress import Phase, Snapshot
from telecine_worker.outcome import Abandoned, Cancelled, Ended, Failed, Returned, StopReason, Succeeded
from telecine_worker.storage.threads import Threads

HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nfilm"
TASK = {"transcode": {"input": "main", "path": "o.mp4", "video": {"codec": "h264", "preset": "ultrafast"}}}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of a small film with sound."""
    return make_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=1, size="64x64")


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Fetching]:
    """Where fetched files are kept; in the end nothing is left of them."""
    (tmp_path / "work").mkdir()
    kept = Fetching(directory=tmp_path / "work")
    yield kept
    assert [] == kept.left()


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads(2)
    yield threads
    threads.close()


def spec(output: Path, url: str, **rest: Any) -> media_pb2.JobSpec:
    """Transcode what is at *url*."""
    data = {"inputs": {"main": {"uri": url, **rest}}, "output": {"uri": output.as_uri()}, "task": TASK}
    return json_format.ParseDict(data, media_pb2.JobSpec())


class Studio:
    """Where attempts run; they read from this machine, and write to *output*."""

    def __init__(self, folder: Path, kept: Path, threads: Threads) -> None:
        self.output = folder / "out"
        self.snapshots: list[Snapshot] = []
        self._folder = folder
        self._kept = kept
        self._threads = threads

    def attempt(self, wanted: media_pb2.JobSpec) -> Attempt:
        """Not begun yet."""
        name = f"t~job-{os.getpid()}~1~1"
        assignment = Assignment(
            tenant="t", job_id="job", token=1, attempt=1, generation=1, spec=wanted, staging_name=name
        )
        return Attempt(
            assignment,
            toolchain=toolchain_under_test(),
            destinations=destinations([self._folder], self._kept),
            intake=intake([self._folder], self._kept, *HERE),
            threads=self._threads,
            ask_to_publish=_always,
            on_progress=self.snapshots.append,
            on_input=lambda scheme, size_bytes: None,
            check_success=convert.check_size,
            log=structlog.get_logger(),
        )

    async def run(self, wanted: media_pb2.JobSpec) -> Ended:
        """To its end."""
        async with asyncio.timeout(60):
            return await self.attempt(wanted).run()


async def _always() -> Permission:
    return Permission(allowed=True, deadline=time.clock_gettime(time.CLOCK_BOOTTIME) + 60)


@pytest.fixture
def studio(tmp_path: Path, kept: Fetching, threads: Threads) -> Studio:
    return Studio(tmp_path, kept.directory, threads)


async def test_an_input_that_was_cut_once_is_encoded_whole(studio, clip):
    """Gone on with after the break, its sum checked; the output is verified, and every frame of the input is in it."""
    content = clip.read_bytes()
    async with HttpServer(Film(content=content)) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        proxy.faults.append(Fault(Kind.CUT, len(content) // 2))
        # What it is shows when it is probed: the name says nothing.
        url = f"http://127.0.0.1:{proxy.port}/report.pdf?signature=hunter2"
        ended = await studio.run(spec(studio.output, url, sha256=hashlib.sha256(content).hexdigest()))
    assert isinstance(ended, Succeeded), ended
    assert [None, True] == [asked.headers.get("range") and True for asked in server.asked]
    assert len(content) == ended.inputs["main"].size_bytes
    assert 30 == frames(studio.output / "o.mp4")
    assert Phase.FETCHING is studio.snapshots[0].phase


@pytest.mark.parametrize(
    ("answering", "kind", "reason"),
    [
        (status(404), FailureKind.PERMANENT, "INPUT_NOT_FOUND"),
        (raw(HALF), FailureKind.RETRYABLE, "INPUT_UNAVAILABLE"),
        (Film(content=b"no film at all"), FailureKind.PERMANENT, "INPUT_INVALID"),
        (Film(content=b""), FailureKind.PERMANENT, "INPUT_INVALID"),
    ],
)
async def test_an_input_that_does_not_come_fails_the_attempt(studio, answering, kind, reason):
    """With its kind, without the query; nothing is written."""
    async with HttpServer(answering) as server:
        ended = await studio.run(spec(studio.output, f"{server.url}?hunter2", headers={"Cookie": "hunter2"}))
    assert isinstance(ended, Failed)
    assert (kind, reason) == (ended.failure.kind, ended.failure.reason)
    assert "hunter2" not in str(ended)
    assert not studio.output.exists()


@asynccontextmanager
async def hanging_attempt(
    studio: Studio, begin: bytes, **limits: str
) -> AsyncIterator[tuple[Attempt, asyncio.Task[Ended]]]:
    """An attempt that waits for its input."""
    async with HttpServer(hanging(begin)) as server:
        wanted = spec(studio.output, server.url)
        json_format.ParseDict(limits, wanted.limits)
        attempt = studio.attempt(wanted)
        task = asyncio.create_task(attempt.run())
        async with asyncio.timeout(10):
            while not server.asked:
                await asyncio.sleep(0.005)
        yield attempt, task


@pytest.mark.parametrize("begin", [b"", HALF])
@pytest.mark.parametrize(
    ("reason", "end"),
    [(StopReason.CANCELLED, Cancelled), (StopReason.LEASE_LOST, Abandoned), (StopReason.DRAINED, Returned)],
)
async def test_a_fetch_that_hangs_is_stopped_at_once(studio, begin, reason, end):
    """Whoever stops the attempt does not wait for the server, and neither does the grace count."""
    async with hanging_attempt(studio, begin) as (attempt, task):
        attempt.stop(reason, timedelta(minutes=1))
        assert end is type(await asyncio.wait_for(task, 3))


async def test_a_time_limit_ends_a_fetch_that_hangs(studio):
    """Limits hold while inputs are fetched, too."""
    async with hanging_attempt(studio, HALF, hardRunTimeout="0.2s") as (_, task):
        ended = await asyncio.wait_for(task, 3)
    assert isinstance(ended, Failed)
    assert (FailureKind.DEADLINE, "RUN_TIMEOUT") == (ended.failure.kind, ended.failure.reason)


async def test_a_cancelled_task_ends_a_fetch_that_hangs(studio):
    """Nobody gave the attempt an order: the thread is told by the cancellation itself."""
    async with hanging_attempt(studio, HALF) as (_, task):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 3)


@pytest.mark.parametrize(("allowed", "reason"), [("", "INPUT_NOT_ALLOWED"), ("127.0.0.1", "INPUT_OVER_LIMIT")])
async def test_the_settings_of_a_worker_decide(scheduler: ScriptedScheduler, tmp_path, allowed, reason):
    """A real worker: without TELECINE_HTTP_ALLOW this machine is out of its reach, with it the input's size counts. What it
    says and logs is without the query and the headers.
    """
    tools = toolchain_under_test()
    settings = {
        "TELECINE_SCHEDULERS": str(scheduler.address), "TELECINE_WORK_DIR": str(tmp_path / "worker"),
        "TELECINE_METRICS_LISTEN": "127.0.0.1:0", "TELECINE_FFMPEG": str(tools.ffmpeg), "TELECINE_LOG_LEVEL": "debug",
        "TELECINE_FFPROBE": str(tools.ffprobe), "TELECINE_FILE_ROOTS": str(tmp_path), "TELECINE_HTTP_ALLOW": allowed,
        "TELECINE_INPUT_MAX_BYTES": "3",
    }  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "telecine_worker"), env=os.environ | settings,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with HttpServer(Film(content=b"film")) as server:
            stream = await scheduler.welcomed()
            wanted = spec(tmp_path / "out", f"{server.url}?hunter2", headers={"Cookie": "hunter2"})
            stream.grant(lease(), spec=wanted.SerializeToString())
            outcome = await stream.outcome()
            assert (1 if allowed else 0) == server.connection_count
    finally:
        process.kill()
        _, said = await process.communicate()
    failure = outcome.failed
    assert (job_pb2.Failure.KIND_PERMANENT, reason) == (failure.kind, failure.reason)
    assert b"attempt ended" in said
    assert "hunter2" not in said.decode() + failure.message
    for path in (tmp_path / "worker").rglob("*"):
        assert path.is_dir() or b"hunter2" not in path.read_bytes()
        assert not path.name.startswith(".fetch")
