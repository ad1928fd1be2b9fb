"""Room on the disk for what is fetched: what is free, less what the other fetches are still to write there."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from telecine_worker.failure import retryable
from telecine_worker.storage import disk_errors

# What a fetch leaves free: the worker's journal needs some, and so do others. The smaller of the two.
RESERVE_BYTES = 512 << 20
RESERVE_SHARE = 0.05

_LOCK = threading.Lock()
_ROOMS: set[Room] = set()


def outstanding(directory: Path) -> int:
    """Bytes that fetches are still to write in *directory*."""
    with _LOCK:
        return sum(room.expected for room in _ROOMS if room.directory == directory)


def reserve_of(size: int) -> int:
    """What stays free of a disk of *size* bytes."""
    return min(RESERVE_BYTES, int(size * RESERVE_SHARE))


class Room:
    """What one file in *directory* may still take; for the one thread that writes it. *what* names the input.

    Two files of which each fits, but not both, would otherwise fill the disk together and then fail together.
    """

    def __init__(self, directory: Path, what: str) -> None:
        self.directory = directory
        self.expected = 0
        """Bytes that are still to come."""
        self._what = what

    def expect(self, fd: int, more: int) -> None:
        """Claim *more* bytes, in place of what was claimed before, for the file *fd*. Raises AttemptFailed NO_SPACE at once
        where they would leave less than the reserve, and claims nothing then; IO_ERROR.
        """
        with _LOCK:
            self.expected = 0
            others = sum(room.expected for room in _ROOMS if room.directory == self.directory)
            size, free, reserve = self._found(fd)
            if more > size - reserve:
                raise retryable(
                    "NO_SPACE",
                    f"{self._what} never fits here: it has {more} bytes, and the work directory {size} in all, of which "
                    f"{reserve} stay free; a worker with a larger disk would be right",
                    of_input=True,
                )
            if free - others - more < reserve:
                raise retryable(
                    "NO_SPACE",
                    f"{self._what} does not fit: the work directory has {free} bytes free, of which {reserve} stay so and "
                    f"{others} are for other inputs",
                )
            self.expected = more
            _ROOMS.add(self)

    def fill(self, size: int) -> None:
        """So many bytes were written."""
        with _LOCK:
            self.expected = max(0, self.expected - size)

    def give_back(self) -> None:
        """Nothing more is to come."""
        with _LOCK:
            self.expected = 0
            _ROOMS.discard(self)

    def _found(self, fd: int) -> tuple[int, int, int]:
        """Bytes that there are, that are free, and that have to stay so."""
        try:
            found = os.fstatvfs(fd)
        except OSError as error:
            raise disk_errors.scratch_failure(error, self._what) from error
        size = found.f_blocks * found.f_frsize
        return size, found.f_bavail * found.f_frsize, reserve_of(size)
