"""What waits to be sent to the scheduler, gathered into one message until the stream takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from telecine.v1 import lease_service_pb2 as pb


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
            if message.ByteSize():
                yield message
            if self._closed and not self._next.ByteSize():
                return
