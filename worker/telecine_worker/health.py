"""Whether this worker can work: its folder takes files and has room, and its programs are there."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import structlog

from telecine_worker.ffmpeg.toolchain import Toolchain
from telecine_worker.storage.threads import Threads

log = structlog.get_logger(__name__)

PERIOD = timedelta(seconds=5)
ANSWER_SECONDS = 10.0
LEAST_FREE_BYTES = 256 << 20
_TRIAL_BYTES = 4096


def ailment_of(work_dir: Path, toolchain: Toolchain) -> str | None:
    """What is wrong, in words, and what would be right; None: nothing. Blocks, for a thread."""
    for program in (toolchain.ffmpeg, toolchain.ffprobe):
        if not os.access(program, os.X_OK):
            return f"{program} is no program any more"
    try:
        with tempfile.TemporaryFile(dir=work_dir) as file:
            file.write(bytes(_TRIAL_BYTES))
        room = os.statvfs(work_dir)
    except OSError as error:
        return f"{work_dir} takes no files: {error.strerror}"
    free = room.f_bavail * room.f_frsize
    if free < LEAST_FREE_BYTES:
        return f"{work_dir} has {free >> 20} MiB left; at least {LEAST_FREE_BYTES >> 20} MiB are needed"
    return None


class Health:
    """Looks again and again; *on_change* hears the ailment, or None, whenever it has changed. While it *hangs*, a thread
    does, too, which nothing can end.
    """

    def __init__(
        self, look: Callable[[], str | None], threads: Threads, on_change: Callable[[str | None], None]
    ) -> None:
        self._look = look
        self._threads = threads
        self._on_change = on_change
        self._looking: asyncio.Task[str | None] | None = None
        self.hangs = False
        self.ailment: str | None = None

    async def step(self) -> None:
        """Look once. A file system that does not answer is an ailment, too; its answer is waited for the next time."""
        self._looking = self._looking or asyncio.create_task(self._threads.run(self._look), name="health")
        done, _ = await asyncio.wait({self._looking}, timeout=ANSWER_SECONDS)
        self.hangs = not done
        ailment: str | None = "the file system of the work dir does not answer"
        if done:
            ailment, self._looking = self._looking.result(), None
        if ailment != self.ailment:
            self.ailment = ailment
            if ailment:
                log.error("worker is unhealthy, and takes no work", ailment=ailment)
            else:
                log.info("worker is healthy again")
            self._on_change(ailment)
