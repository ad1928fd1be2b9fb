"""`telecine dev`: real processes that one signal ends in order, and what becomes of the jobs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.ffmpeg_under_test import toolchain_under_test
from support.processes import BIN, Child, ffmpeg_children
from support.redis_server import server_binary
from support.slow_job import slow_source, slow_spec
from telecine_client import AsyncClient, AttemptOutcome, JobState


class Places:
    """Where one `telecine dev` after the other runs."""

    def __init__(self, folder: Path, ends: ExitStack) -> None:
        self.folder = folder
        self._ends = ends

    def dev(self, *options: str, **env: str) -> Child:
        """One that was not started yet; the next has the same jobs."""
        tools = toolchain_under_test()
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TELECINE_")}
        argv = [
            str(BIN / "telecine"), "dev", "--listen", "127.0.0.1:0", "--data-dir", str(self.folder / "data"),
            "--file-root", str(self.folder), "--redis-server", server_binary(), *options,
        ]  # fmt: skip
        found = {"TELECINE_FFMPEG": str(tools.ffmpeg), "TELECINE_FFPROBE": str(tools.ffprobe)}
        child = Child(name="dev", argv=argv, env=clean | found | env, log=self.folder / "dev.log")
        self._ends.callback(child.end)
        return child


@pytest.fixture
def places(tmp_path: Path) -> Iterator[Places]:
    with ExitStack() as ends:
        yield Places(tmp_path.resolve(), ends)


async def test_a_job_that_runs_is_given_back(places: Places) -> None:
    """SIGTERM, exit code 0: the attempt was returned, nobody is charged with a crash, and the next dev finishes the job."""
    spec = slow_spec(slow_source(places.folder), places.folder / "out")
    first = places.dev().start()
    async with asyncio.timeout(60), AsyncClient(first.ready["address"]) as client:
        job = await client.submit(spec)
        async for each in client.watch(job.job_id):
            if each.progress and each.progress.frame_count:
                break
        started = ffmpeg_children(job.job_id)
        for pid in started:
            # However fast the machine is: it does not end in the few seconds for which attempts may go on.
            os.kill(pid, signal.SIGSTOP)
        code = await asyncio.to_thread(first.stop)
    assert (0, True, {}) == (code, bool(started), ffmpeg_children(job.job_id)), first.log.read_text()

    second = places.dev().start()
    async with asyncio.timeout(90), AsyncClient(second.ready["address"]) as client:
        ended = await client.wait(job.job_id)

    outcomes = [attempt.outcome for attempt in ended.attempts]
    assert (JobState.SUCCEEDED, [AttemptOutcome.RETURNED, AttemptOutcome.SUCCEEDED]) == (ended.state, outcomes)
    assert 0 == await asyncio.to_thread(second.stop)


def test_ctrl_c_ends_everything_and_a_second_start_finds_its_place_free(places: Places) -> None:
    """Exit code 0, though one worker id is in the environment of two workers."""
    for _ in range(2):
        dev = places.dev("--workers", "2", TELECINE_WORKER_ID="mine").start()
        dev.signal(signal.SIGINT)
        assert 0 == dev.wait(), dev.log.read_text()
