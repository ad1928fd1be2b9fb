"""Writes into the history what the feed of the store says of successes, while it happens: the feed is capped."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import redis

from chaos.rig.history import History
from telecine_scheduler.store.keys import prefix, unpack

EVERY_SECONDS = 1.0
SUCCEEDED = b"S"


class CommitReader:
    """*connect* gives a connection to the store of the moment; while it does not answer, reading waits."""

    def __init__(self, connect: Callable[[], redis.Redis], history: History) -> None:
        self._connect = connect
        self._history = history
        self._seen = b"0"
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin reading; again: nothing changes."""
        self._task = self._task or asyncio.create_task(self._read_on())

    async def stop(self) -> None:
        """Read no more."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _read_on(self) -> None:
        while True:
            with contextlib.suppress(redis.RedisError):
                await asyncio.to_thread(self.read)
            await asyncio.sleep(EVERY_SECONDS)

    def read(self) -> None:
        """What came since the last time. Raises RedisError."""
        with self._connect() as client:
            entries = client.xrange(f"{prefix()}feed", min=b"(" + self._seen)
        for entry, fields in entries:
            self._seen = entry
            if fields[b"s"] == SUCCEEDED:
                job_id = unpack(fields[b"j"]).job_id
                self._history.note("commit", job=job_id, revision=int(fields[b"r"]))
