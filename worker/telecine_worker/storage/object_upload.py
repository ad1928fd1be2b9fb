"""Bringing a staged file to an object store: in parts sized from the file, few in memory, given up cleanly."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import dataclass

from telecine_worker.storage.fetch_errors import FetchStopped
from telecine_worker.storage.object_store import Bucket
from telecine_worker.storage.resolving import LOOK_AGAIN_SECONDS

LEAST_PART_BYTES = 8 << 20
# Stores take ten thousand parts.
MOST_PARTS = 9000
MOST_BYTES_AT_ONCE = 16 << 20
_READ_BYTES = 1 << 20
# For the store to be told that an upload is given up; one that is told nothing keeps its parts until the bucket's lifecycle
# rule removes them. The first is how long the attempt waits for that, after the second nobody does.
WAITING_SECONDS = 1.0
GIVING_UP_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """How a file is cut: parts of *part_bytes*, *at_once* of them under way. *tail_bytes*, its end, are sent by themselves."""

    part_bytes: int
    at_once: int
    tail_bytes: int = 0

    @property
    def memory_bytes(self) -> int:
        """With the part that is being filled."""
        return self.part_bytes * (self.at_once + 1)


def parts_of(size: int) -> Parts:
    """Of a file that is sent at once: in whole MiB."""
    part = max(LEAST_PART_BYTES, -(-size // (MOST_PARTS << 20)) << 20)
    return Parts(part_bytes=part, at_once=max(1, min(4, MOST_BYTES_AT_ONCE // part)))


def held_parts_of(size: int) -> Parts:
    """Of a file that is completed later. obstore sends the last part only then: it is to have a few bytes, so that hardly
    anything is left to be sent. A part is sent before more than one more is asked for: then the others are there.
    """
    count = max(1, min(MOST_PARTS, size // LEAST_PART_BYTES))
    part = max(1, (size - 1) // count)
    return Parts(part_bytes=part, at_once=1, tail_bytes=size - count * part)


class Upload:
    """One file on its way to *key*, from the descriptor *fd*. Where it is *held*, all but some bytes is sent, and nothing is
    there until :meth:`release`. Beginning waits until there is memory for it; raises FetchStopped.
    """

    def __init__(
        self, bucket: Bucket, key: str, fd: int, attributes: Mapping[str, str], stopped: Callable[[], bool], *,
        held: bool = False,
    ) -> None:  # fmt: skip
        self._size = os.fstat(fd).st_size
        self._given_up = threading.Event()
        self._sent = threading.Event()
        self._may_complete: Callable[[], bool] | None = None if held else _at_once
        self._refused = threading.Event()
        self._parts = held_parts_of(self._size) if held else parts_of(self._size)
        self._budget = bucket.loop.sending
        self._taken = self._budget.take(self._parts.memory_bytes, stopped)
        # Whoever gives it up does not wait until it has ended, and closes its own.
        self._fd = os.dup(fd)
        self._future: Future[None] = bucket.loop.begin(self._run(bucket, key, attributes))

    @property
    def has_ended(self) -> bool:
        """Well or not."""
        return self._future.done() or self._given_up.is_set()

    def wait_sent(self, stopped: Callable[[], bool]) -> None:
        """Until all but the tail is in the store, or the upload has ended. Raises as `wait_there`."""
        self._wait(lambda: self._sent.is_set() or self._future.done(), stopped)
        if self._future.done():
            self._future.result()

    def release(self, may_complete: Callable[[], bool]) -> None:
        """Let the held upload become visible, if *may_complete* says so right before."""
        self._may_complete = may_complete

    def wait_there(self, stopped: Callable[[], bool]) -> None:
        """Until it is there. Raises FetchStopped, StoreRefusal, Broken: then nothing of it is, unless an answer was lost."""
        self._wait(self._future.done, stopped)
        if self._refused.is_set():
            raise FetchStopped
        self._future.result()

    def give_up(self) -> None:
        """End it, and have the store forget its parts, which goes on by itself."""
        self._given_up.set()

    def wait_ended(self, seconds: float) -> None:
        """For the store to have been told, for so long at most."""
        wait([self._future], seconds)

    def _wait(self, done: Callable[[], bool], stopped: Callable[[], bool]) -> None:
        while not done():
            if stopped():
                self.give_up()
                self.wait_ended(WAITING_SECONDS)
                raise FetchStopped
            wait([self._future], LOOK_AGAIN_SECONDS)

    async def _run(self, bucket: Bucket, key: str, attributes: Mapping[str, str]) -> None:
        parts = self._parts
        try:
            sending = asyncio.ensure_future(
                bucket.upload(key, self._chunks(), attributes, part_bytes=parts.part_bytes, at_once=parts.at_once)
            )
            await self._ended(sending)
        finally:
            self._give_back()
            os.close(self._fd)

    async def _ended(self, sending: asyncio.Future[None]) -> None:
        """One that is given up and does not end by itself is cancelled."""
        until = None
        while not sending.done():
            await asyncio.wait({sending}, timeout=LOOK_AGAIN_SECONDS)
            if until is None and self._given_up.is_set():
                until = time.monotonic() + GIVING_UP_SECONDS
            if until is not None and time.monotonic() > until:
                sending.cancel()
        await sending

    async def _chunks(self) -> AsyncIterator[bytes]:
        """What obstore asks for; raising ends the upload, with its parts."""
        tail = self._size - self._parts.tail_bytes
        offset = 0
        while chunk := os.pread(self._fd, min(_READ_BYTES, max(tail - offset, 0) or _READ_BYTES), offset):
            self._check()
            yield chunk
            offset += len(chunk)
        self._sent.set()
        self._give_back()
        while self._may_complete is None:
            self._check()
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        if not self._may_complete():
            self._refused.set()
            raise FetchStopped

    def _check(self) -> None:
        if self._given_up.is_set():
            raise FetchStopped

    def _give_back(self) -> None:
        taken, self._taken = self._taken, 0
        self._budget.give_back(taken)


def _at_once() -> bool:
    return True
