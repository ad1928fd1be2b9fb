"""What the mutations of tests/mutations showed to be proved nowhere else."""

from __future__ import annotations

import asyncio
import sys

from telecine_worker.ffmpeg.command import Command
from telecine_worker.ffmpeg.process import running
from telecine_worker.ffmpeg.stop_order import StopOrder

SECONDS = 1.5


async def test_a_child_outlives_whatever_thread_ends() -> None:
    """It dies with the thread that started it: that is the one of the event loop, which ends last. So a child that takes its
    time while other threads of the worker come and go ends by itself.
    """
    script = f"import time; time.sleep({SECONDS}); raise SystemExit(7)"
    command = Command(argv=(sys.executable, "-I", "-S", "-c", script), marker="thread")
    async with running(command, on_output=bytearray().extend, stop=StopOrder()) as child:
        ended = await asyncio.wait_for(child.wait(), 20)

    assert (7, False) == (ended.code, ended.stopped)
