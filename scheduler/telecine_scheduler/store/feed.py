"""What the store tells its schedulers: the feed of changes, and the wake-ups. Each reader has a connection of its own."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from telecine_scheduler.domain.job import JobName, JobState
from telecine_scheduler.domain.lease import Lease
from telecine_scheduler.store.codec import duration
from telecine_scheduler.store.keys import unpack
from telecine_scheduler.store.link import ask

MAX_ENTRIES = 500
BLOCK_SECONDS = 1.0
# A blocked read that has not come back by then hangs on a dead connection.
STUCK_SECONDS = BLOCK_SECONDS + 0.8
START = "0-0"
_POSITION = re.compile(r"(0|[1-9][0-9]{0,15})-(0|[1-9][0-9]{0,15})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A job has a new revision.

    *position* is where in the feed. *state* is None when the job was deleted; *cancel* names a lease and its worker to be
    stopped, *cancel_grace* the job's own grace for that, None where it has none.
    """

    position: str
    name: JobName
    revision: int
    state: JobState | None
    cancel: Lease | None = None
    worker_id: str = ""
    cancel_grace: timedelta | None = None


class Feed:
    """Reads the partition's feed from where it is now."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self._client = client
        self._key = f"{prefix}feed"
        self._last: str | None = None
        self._position = ""

    @property
    def position(self) -> str:
        """Where the changes that were read so far end, for `since`; empty before the first read."""
        return self._position

    async def read(self) -> tuple[list[Change], bool]:
        """The changes since the last call (waits at most a second), and whether some were missed before them.

        They were when the feed was trimmed further than the last one read: whoever follows a job has to look for himself.
        """
        if self._last is None:
            newest = await ask(lambda: self._client.xrevrange(self._key, count=1), self._client)
            self._last = self._position = newest[0][0].decode() if newest else START
            return [], True
        streams: Any = {self._key: self._last}
        replies = await ask(
            lambda: self._client.xread(streams, count=MAX_ENTRIES, block=round(BLOCK_SECONDS * 1000)),
            self._client,
            seconds=STUCK_SECONDS,
        )
        entries = replies[0][1] if replies else []
        if not entries:
            return [], False
        missed = len(entries) == MAX_ENTRIES and await self._trimmed_past(self._last)
        self._last = self._position = entries[-1][0].decode()
        return [_change(entry, fields) for entry, fields in entries], missed

    async def since(self, position: str) -> tuple[list[Change], bool]:
        """At most 500 changes after *position*, and whether they are all that came next.

        They are not when the feed was trimmed past it, or does not reach as far: Redis lost its end, or is another one. Where
        there were 500, go on from the last one's position. Raises ValueError where *position* is none of a feed.
        """
        if not _POSITION.fullmatch(position):
            raise ValueError(f"{position!r} is no position of a feed")
        pipeline = self._client.pipeline(transaction=True)
        pipeline.xrange(self._key, min=f"({position}", count=MAX_ENTRIES)
        pipeline.xinfo_stream(self._key)
        try:
            entries, info = await ask(pipeline.execute, self._client)
        except ResponseError:
            # There is no feed before the first job.
            return [], position == START
        return [_change(entry, fields) for entry, fields in entries], _follows(info, position)

    async def _trimmed_past(self, last: str) -> bool:
        """Whether entries after *last* are gone already. Only a reader that fell far behind has to ask."""
        oldest = await ask(lambda: self._client.xrange(self._key, count=1), self._client)
        return bool(oldest) and last != START and _order(oldest[0][0].decode()) > _order(last)

    def lost_track(self) -> None:
        """Begin again at the newest entry, for after an outage."""
        self._last = None


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence)


def _follows(info: dict[str, Any], position: str) -> bool:
    """Whether nothing after *position* is missing in a stream."""
    if _order(info["last-generated-id"].decode()) < _order(position):
        return False
    if position == START:
        return bool(info["entries-added"] == info["length"])
    first = info["first-entry"]
    return first is not None and _order(first[0].decode()) <= _order(position)


def _change(entry: bytes, fields: dict[bytes, bytes]) -> Change:
    name = unpack(fields[b"j"])
    state = fields[b"s"].decode()
    cancel = Lease(name=name, token=int(fields[b"t"])) if b"t" in fields else None
    return Change(
        position=entry.decode(),
        name=name,
        revision=int(fields[b"r"]),
        state=None if state == "-" else JobState(state),
        cancel=cancel,
        worker_id=fields.get(b"w", b"").decode(),
        cancel_grace=duration(fields.get(b"g", b"")),
    )


class WakeUps:
    """Reads the classes that have something for this scheduler."""

    def __init__(self, client: Redis, prefix: str, scheduler: str) -> None:
        self._client = client
        self._key = f"{prefix}wake:{scheduler}"

    async def next(self) -> str | None:
        """The next class id; None after a second without one."""
        reply = await ask(lambda: self._client.blpop([self._key], BLOCK_SECONDS), self._client, seconds=STUCK_SECONDS)
        return reply[1].decode() if reply else None
