"""Inputs from object stores: fetched in ranges of one version to a file of ours, and gone on with after a break."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from telecine_worker.failure import permanent, retryable
from telecine_worker.storage.fetch_errors import Broken
from telecine_worker.storage.http_fetch import MOST_CHANGES, over_limit
from telecine_worker.storage.input_cache import Shelf
from telecine_worker.storage.object_store import Bucket, Found
from telecine_worker.storage.pace import Tries, rest
from telecine_worker.storage.patience import Patience
from telecine_worker.storage.scratch import Scratch
from telecine_worker.storage.store_errors import Changed, StoreRefusal, read_failure
from telecine_worker.storage.store_loop import waited
from telecine_worker.storage.store_places import StorePlace

# Small enough for a worker to stay below 100 MB while several attempts fetch.
RANGE_BYTES = 4 << 20
# After a range that broke, half as much is asked for, and no less than this.
LEAST_RANGE_BYTES = 512 << 10
# So many times RANGE_BYTES are in memory for a fetch.
RANGES_AT_ONCE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRequest:
    """What to fetch. An empty *sha256* is not checked."""

    name: str
    place: StorePlace
    sha256: str = ""
    max_bytes: int


def fetch_object(
    bucket: Bucket,
    patience: Patience,
    directory: Path,
    request: ObjectRequest,
    stopped: Callable[[], bool],
    *,
    shelf: Shelf,
) -> int:
    """Fetch it to a nameless file in *directory*, where *shelf* has not got this version; a descriptor to read it, which the
    caller closes.

    Blocks, for a thread; *stopped* is asked several times a second and ends it with FetchStopped. Raises AttemptFailed:
    INPUT_NOT_FOUND, INPUT_DENIED, INPUT_UNREADABLE, INPUT_OVER_LIMIT, INPUT_CHECKSUM_MISMATCH; retryable
    INPUT_UNAVAILABLE, INPUT_CHANGED, NO_SPACE, IO_ERROR.
    """
    with Scratch(directory, f"input {request.name}", hashing=bool(request.sha256)) as scratch:
        with ExitStack() as failing:
            reader = scratch.reader()
            failing.callback(os.close, reader)
            fetch = _Fetch(bucket, patience, request, scratch, stopped, shelf)
            kept = fetch.run()
            if kept is not None:
                return kept
            fetch.keep(reader)
            failing.pop_all()
        return reader


class _Fetch:
    def __init__(
        self,
        bucket: Bucket,
        patience: Patience,
        request: ObjectRequest,
        scratch: Scratch,
        stopped: Callable[[], bool],
        shelf: Shelf,
    ) -> None:
        self._shelf = shelf
        self._bucket = bucket
        self._patience = patience
        self._request = request
        self._scratch = scratch
        self._stopped = stopped
        self._what = f"input {request.name} ({request.place})"
        self._tries = Tries(patience)
        self._version: Found | None = None
        self._range_bytes = RANGE_BYTES
        self._changes = 0

    def run(self) -> int | None:
        """Try until it is there; a descriptor of the one that was there already."""
        while True:
            try:
                version = self._version or self._look()
                kept = self._shelf.find(version.tag, version.size)
                if kept is not None:
                    return kept
                self._go_on(version)
                self._check_sum()
            except Broken as broken:
                rest(self._pause(broken), self._stopped)
            except Changed:
                self._start_over()
            except StoreRefusal as refusal:
                raise read_failure(refusal, self._what) from refusal
            else:
                return None

    def keep(self, fd: int) -> None:
        """For the next job that wants it."""
        if self._version is not None:
            self._shelf.keep(self._version.tag, self._version.size, fd)

    def _look(self) -> Found:
        """Which version there is, and room for it."""
        found = self._bucket.head(self._request.place.key, self._stopped)
        if found.size > self._request.max_bytes:
            raise over_limit(self._what, self._request.max_bytes)
        self._scratch.restart()
        self._scratch.expect(found.size)
        self._version = found
        return found

    def _go_on(self, version: Found) -> None:
        """Fetch what is not there yet, in order, a few ranges ahead."""
        ahead: deque[tuple[int, Future[list[bytes]]]] = deque()
        asked = self._scratch.size
        try:
            while self._scratch.size < version.size:
                while asked < version.size and len(ahead) < RANGES_AT_ONCE:
                    end = min(asked + self._range_bytes, version.size)
                    ahead.append((end - asked, self._begin(version, asked, end)))
                    asked = end
                self._take(*ahead.popleft())
        finally:
            for _, future in ahead:
                future.cancel()

    def _begin(self, version: Found, begin: int, end: int) -> Future[list[bytes]]:
        window = self._patience.window
        least = self._patience.least_bytes_per_window / window.total_seconds()
        within = window + timedelta(seconds=RANGES_AT_ONCE * (end - begin) / least)
        return self._bucket.begin_read(self._request.place.key, begin, end, version.tag, within)

    def _take(self, size: int, future: Future[list[bytes]]) -> None:
        try:
            pieces = waited(future, self._stopped)
        except Broken:
            self._range_bytes = max(LEAST_RANGE_BYTES, self._range_bytes // 2)
            raise
        sent = sum(map(len, pieces))
        if sent != size:
            raise Broken(f"sent {sent} of {size} bytes")
        for piece in pieces:
            self._scratch.write(piece)

    def _start_over(self) -> None:
        self._changes += 1
        if self._changes > MOST_CHANGES:
            raise retryable("INPUT_CHANGED", f"{self._what} changed again and again while it was fetched")
        self._version = None

    def _pause(self, broken: Broken) -> timedelta:
        """Before the next try; raises the failure where there is none."""
        pause = self._tries.pause(None, self._scratch.size)
        if pause is None:
            text = f"{self._what} {broken}; try {self._tries.count} of {self._patience.tries}"
            raise retryable("INPUT_UNAVAILABLE", text) from broken
        return pause

    def _check_sum(self) -> None:
        wanted, found = self._request.sha256, self._scratch.sha256
        if wanted and found != wanted:
            raise permanent("INPUT_CHECKSUM_MISMATCH", f"{self._what} has the SHA-256 {found}, expected {wanted}")
