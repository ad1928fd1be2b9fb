"""A worker as a process of its own, whose program may begin with something else, against a scheduler that the test scripts."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from support.ffmpeg_under_test import confinement_under_test, toolchain_under_test
from support.scripted_scheduler import ScriptedScheduler, ScriptedStream
from support.worker_bench import lease
from telecine.v1 import media_pb2

MAIN = "from telecine_worker.__main__ import main; main()"

Start = Callable[..., AbstractAsyncContextManager[asyncio.subprocess.Process]]


def starting(scheduler: ScriptedScheduler, folder: Path) -> Start:
    """Starts a worker whose program begins with *prepare*, with settings as arguments; ends it, whatever has become of it."""

    @asynccontextmanager
    async def started(prepare: str = "", *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        tools = toolchain_under_test()
        settings = {
            "TELECINE_SCHEDULERS": str(scheduler.address), "TELECINE_WORK_DIR": str(folder / "work"),
            "TELECINE_METRICS_LISTEN": "127.0.0.1:0", "TELECINE_FFMPEG": str(tools.ffmpeg),
            "TELECINE_FFPROBE": str(tools.ffprobe), "TELECINE_FILE_ROOTS": str(folder),
            "TELECINE_SANDBOX": confinement_under_test().mode.value,
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", prepare + MAIN, *arguments, env=os.environ | settings,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    return started


async def working(scheduler: ScriptedScheduler) -> ScriptedStream:
    """A stream whose worker runs one attempt."""
    stream = await scheduler.welcomed()
    spec = media_pb2.JobSpec(inputs={"main": media_pb2.Input(uri="file:///in.mp4")})
    spec.output.uri = "file:///out"
    spec.task.transcode.input = "main"
    spec.task.transcode.path = "out.mp4"
    stream.grant(lease(), spec=spec.SerializeToString())
    await stream.accept()
    return stream


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """Its exit code and what it said on standard error."""
    async with asyncio.timeout(30):
        _, said = await process.communicate()
    return process.returncode, said.decode()
