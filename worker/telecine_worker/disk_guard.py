"""Room in the work directory: for how many further jobs, and what is done when it runs out all the same.

From fullest to emptiest: a fetch is refused that would leave less than `room.RESERVE_BYTES`; what the cache has is given up;
the worker is unhealthy below `health.LEAST_FREE_BYTES`, and takes no work; below LEAST_FREE_BYTES here, the attempt that
grows fastest ends, so that the others can go on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from telecine_worker.storage.destinations import Destinations, OpenOutput
from telecine_worker.storage.input_cache import InputCache
from telecine_worker.storage.room import outstanding, reserve_of
from telecine_worker.storage.threads import Threads

log = structlog.get_logger(__name__)

# The smaller of the two.
LEAST_FREE_BYTES = 128 << 20
LEAST_FREE_SHARE = 0.02
_BLOCK_BYTES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measure:
    """*used* is what each output has in its staging folder, where that is on the same file system."""

    size: int
    free: int
    used: dict[OpenOutput, int]

    @property
    def is_short(self) -> bool:
        return self.free < min(LEAST_FREE_BYTES, int(self.size * LEAST_FREE_SHARE))


class DiskGuard:
    """Looks at *directory* when `step` is called. Another job needs *reserve_bytes* there; 0: that much is never missing."""

    def __init__(
        self, directory: Path, *, destinations: Destinations, cache: InputCache, threads: Threads, reserve_bytes: int
    ) -> None:
        self._directory = directory
        self._destinations = destinations
        self._cache = cache
        self._threads = threads
        self._reserve_bytes = reserve_bytes
        self._spare: int | None = None
        self._used: dict[OpenOutput, int] = {}
        # It was told to end, and frees its room when it has.
        self._ending: OpenOutput | None = None
        self._on_look: Callable[[], None] = lambda: None

    def listen(self, on_look: Callable[[], None]) -> None:
        """*on_look* is called after each look."""
        self._on_look = on_look

    def room(self, wanted: int, starting: int) -> int:
        """For how many of the *wanted* units there is room, beside *starting* ones whose inputs have not come yet."""
        if self._spare is None or not self._reserve_bytes:
            return wanted
        return max(0, min(wanted, self._spare // self._reserve_bytes - starting))

    @property
    def shortage(self) -> str | None:
        """Why there is no room for another job, in words; None: there is."""
        if self.room(1, 0):
            return None
        wanted = f"{self._reserve_bytes >> 20} MiB are needed for another job (TELECINE_SCRATCH_RESERVE_BYTES)"
        return f"{self._directory} has {max(0, self._spare or 0) >> 20} MiB to spare; {wanted}"

    async def step(self) -> None:
        """Look once, and end an attempt where the disk is nearly full. A file system that does not answer is waited for."""
        try:
            measure = await self._threads.run(self._measure)
        except OSError:
            # The worker's health has a look of its own, which says so.
            return
        if measure.is_short:
            self._end_one(measure)
        self._used = measure.used
        self._on_look()

    def _measure(self) -> _Measure:
        size, free = _free(self._directory)
        keep = reserve_of(size)
        if free < keep and self._cache.empty():
            size, free = _free(self._directory)
        self._spare = free - keep - outstanding(self._directory)
        device = self._directory.stat().st_dev
        return _Measure(size=size, free=free, used=dict(_used(self._destinations.open_outputs(), device)))

    def _end_one(self, measure: _Measure) -> None:
        if self._ending in self._destinations.open_outputs():
            return
        grown = {output: used - self._used.get(output, 0) for output, used in measure.used.items()}
        growing = {output: by for output, by in grown.items() if by > 0}
        if not growing:
            # Somebody else fills the disk.
            return
        output = max(growing, key=lambda each: (growing[each], measure.used[each]))
        log.error(
            "attempt ends, the disk is nearly full",
            staging=output.name, used_bytes=measure.used[output], free_bytes=measure.free,
        )  # fmt: skip
        self._ending = output
        output.end()


def _free(directory: Path) -> tuple[int, int]:
    """Bytes that there are, and that are free."""
    found = os.statvfs(directory)
    return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize


def _used(outputs: Iterable[OpenOutput], device: int) -> Iterable[tuple[OpenOutput, int]]:
    for output in outputs:
        # It may be removed meanwhile.
        with suppress(OSError):
            if output.folder.stat().st_dev == device:
                yield output, sum(path.lstat().st_blocks * _BLOCK_BYTES for path in output.folder.iterdir())
