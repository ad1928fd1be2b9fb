"""Looking at files as a worker does."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.probe import probe
from telecine_worker.ffmpeg.run import Surroundings
from telecine_worker.ffmpeg.stop_order import StopOrder
from telecine_worker.ffmpeg.toolchain import Toolchain


class Unreadable(Exception):
    """A file that cannot be looked at; the message says which one, and why."""


def look_at(toolchain: Toolchain, files: Mapping[str, Path]) -> dict[str, MediaInfo]:
    """What the files are, by the names that they have here. Raises Unreadable."""
    return asyncio.run(_look_at(toolchain, files))


async def _look_at(toolchain: Toolchain, files: Mapping[str, Path]) -> dict[str, MediaInfo]:
    around = Surroundings(toolchain=toolchain, marker="offline", stop=StopOrder())
    return {name: await _look(around, path) for name, path in files.items()}


async def _look(around: Surroundings, path: Path) -> MediaInfo:
    try:
        # Of a FIFO that nobody writes to, the opening would not end.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Unreadable(f"{path} is no regular file")
        return (await probe(around, fd, name=str(path))).info
    except AttemptFailed as error:
        raise Unreadable(f"{error.failure.reason}: {error.failure.message}") from error
    finally:
        os.close(fd)
