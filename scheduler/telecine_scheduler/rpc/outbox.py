"""What waits to be sent to a worker, gathered into one message until the stream takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from telecine.v1 import lease_service_pb2 as pb

# So many answers may wait for a worker before its next message is read.
ROOM = 1000


class Outbox:
    """One per stream; its fields are those of StreamLeasesResponse."""

    def __init__(self) -> None:
        self._next = pb.StreamLeasesResponse()
        self._entries = 0
        self._filled = asyncio.Event()
        self._taken = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._error: Exception | None = None
        self._closed = False

    def grants(self, grants: Iterable[pb.Grant]) -> None:
        """Offer leases."""
        self._add(self._next.grants, grants)

    def renew_results(self, results: Iterable[pb.RenewResult]) -> None:
        """Answer accepts and renewals."""
        self._add(self._next.renew_results, results)

    def publish_decisions(self, decisions: Iterable[pb.PublishDecision]) -> None:
        """Answer publish requests."""
        self._add(self._next.publish_decisions, decisions)

    def outcome_acks(self, acks: Iterable[pb.OutcomeAck]) -> None:
        """Answer outcomes."""
        self._add(self._next.outcome_acks, acks)

    def cancel_orders(self, orders: Iterable[pb.CancelOrder]) -> None:
        """Order attempts to be stopped."""
        self._add(self._next.cancel_orders, orders)

    def go_away(self, message: pb.GoAway) -> None:
        """Ask the worker to move."""
        self._next.go_away.CopyFrom(message)
        self._filled.set()

    def _add(self, field: object, messages: Iterable[object]) -> None:
        batch = list(messages)
        field.extend(batch)  # type: ignore[attr-defined]
        self._entries += len(batch)
        self._filled.set()
        if self._entries >= ROOM:
            self._has_room.clear()

    async def room(self) -> None:
        """Until there is room for answers: who does not read his is not read either."""
        await self._has_room.wait()

    async def granted(self) -> None:
        """Until all grants are on their way."""
        while self._next.grants:
            self._taken.clear()
            await self._taken.wait()

    def fail(self, error: Exception) -> None:
        """End the stream with *error*, before anything else is sent."""
        self._error = self._error or error
        self._filled.set()

    def close(self) -> None:
        """End the stream once everything is sent."""
        self._closed = True
        self._filled.set()

    async def take(self) -> pb.StreamLeasesResponse | None:
        """Everything that has gathered, as soon as there is something; None at the end."""
        await self._filled.wait()
        if self._error:
            raise self._error
        if self._closed and not self._next.ByteSize():
            return None
        self._filled.clear()
        if self._closed:
            self._filled.set()
        message, self._next, self._entries = self._next, pb.StreamLeasesResponse(), 0
        self._taken.set()
        self._has_room.set()
        return message
