"""What waits to be sent to the scheduler, gathered into one message until the stream takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

from telecine.v1 import lease_service_pb2 as pb

# A scheduler refuses messages that are much larger.
MOST_ENTRIES = 1000
MOST_BYTES = 1 << 20
_REPEATED = ("accepts", "renewals", "publish_requests", "outcomes")


class Outbox:
    """One per stream. What is not sent when the stream breaks is dropped: Hello, renewals and journal say it again."""

    def __init__(self, hello: pb.Hello) -> None:
        self._hello = hello
        self._next = pb.StreamLeasesRequest()
        self._filled = asyncio.Event()
        self._closed = False

    def add(self, **fields: object) -> None:
        """Send these fields of StreamLeasesRequest with the next message; repeated ones are appended."""
        self._next.MergeFrom(pb.StreamLeasesRequest(**fields))  # type: ignore[arg-type]
        self._filled.set()

    def close(self) -> None:
        """Half-close the stream once everything is sent."""
        self._closed = True
        self._filled.set()

    async def messages(self) -> AsyncIterator[pb.StreamLeasesRequest]:
        """Hello, then whatever has gathered, until closed."""
        yield pb.StreamLeasesRequest(hello=self._hello)
        while True:
            await self._filled.wait()
            self._filled.clear()
            message, self._next = self._next, pb.StreamLeasesRequest()
            for piece in pieces(message):
                yield piece
            if self._closed and not self._next.ByteSize():
                return


def pieces(message: pb.StreamLeasesRequest) -> Iterator[pb.StreamLeasesRequest]:
    """*message* as it is, or as several where it has grown too large; nothing where it is empty. A bye is in the last."""
    size = message.ByteSize()
    if size <= MOST_BYTES and sum(len(getattr(message, field)) for field in _REPEATED) <= MOST_ENTRIES:
        if size:
            yield message
        return
    piece, count, room = pb.StreamLeasesRequest(), 0, MOST_BYTES
    if message.HasField("credit"):
        piece.credit.CopyFrom(message.credit)
    for field in _REPEATED:
        for entry in getattr(message, field):
            room -= entry.ByteSize()
            if count and (count == MOST_ENTRIES or room < 0):
                yield piece
                piece, count, room = pb.StreamLeasesRequest(), 0, MOST_BYTES - entry.ByteSize()
            getattr(piece, field).append(entry)
            count += 1
    if message.HasField("bye"):
        piece.bye.CopyFrom(message.bye)
    yield piece
