"""Whether this worker can work: its folder takes files and has room, its programs are there, and can be started."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import structlog

from telecine_worker.ffmpeg.command import Command, spawn
from telecine_worker.ffmpeg.toolchain import Toolchain
from telecine_worker.storage.threads import Threads

log = structlog.get_logger(__name__)

PERIOD = timedelta(seconds=5)
ANSWER_SECONDS = 10.0
# The smaller of the two.
LEAST_FREE_BYTES = 256 << 20
LEAST_FREE_SHARE = 0.05
_TRIAL_BYTES = 4096
_TRIAL_SECONDS = 30


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
    least = min(LEAST_FREE_BYTES, int(room.f_blocks * room.f_frsize * LEAST_FREE_SHARE))
    if free < least:
        return f"{work_dir} has {free >> 20} MiB left; at least {least >> 20} MiB are needed"
    return None


def broken_program(toolchain: Toolchain) -> str | None:
    """What happens when the programs are started as an attempt starts them, in words; None: they answer. Blocks, for a thread.

    Costs too much to be asked every few seconds.
    """
    for program in (toolchain.ffmpeg, toolchain.ffprobe):
        asking = Command(argv=(str(program), "-version"), marker="trial", confinement=toolchain.confinement)
        with spawn(asking) as child:
            try:
                _, said = child.communicate(timeout=_TRIAL_SECONDS)
            except subprocess.TimeoutExpired:
                child.kill()
                return f"{program} does not say its version within {_TRIAL_SECONDS} s"
        if child.returncode != 0:
            last = said.decode(errors="replace").strip().rpartition("\n")[2][:300]
            return f"{program} does not say its version: exit code {child.returncode}, {last or 'no words'}"
    return None


class Health:
    """Looks again and again; *on_change* hears the ailment, or None, whenever it has changed. While it *hangs*, a thread
    does, too, which nothing can end: *hanging* says so in words.
    """

    def __init__(
        self, look: Callable[[], str | None], threads: Threads, on_change: Callable[[str | None], None], hanging: str
    ) -> None:
        self._look = look
        self._hanging = hanging
        self._threads = threads
        self._on_change = on_change
        self._looking: asyncio.Task[str | None] | None = None
        self.hangs = False
        self.ailment: str | None = None

    async def step(self) -> None:
        """Look once. A file system that does not answer is an ailment, too; its answer is waited for the next time."""
        looking = self._looking or asyncio.create_task(self._threads.run(self._look), name="health")
        self._looking = looking
        done, _ = await asyncio.wait({looking}, timeout=ANSWER_SECONDS)
        self.hangs = not done
        ailment: str | None = self._hanging
        if done:
            ailment = looking.result()
            # Another one may have looked meanwhile.
            self._looking = None if self._looking is looking else self._looking
        if ailment != self.ailment:
            self.ailment = ailment
            if ailment:
                log.error("worker is unhealthy, and takes no work", ailment=ailment)
            else:
                log.info("worker is healthy again")
            self._on_change(ailment)
