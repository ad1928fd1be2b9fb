"""The verbs of workers: be registered, take jobs, keep them, and say how they ended."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from telecine_scheduler.domain.job import AttemptOutcome, Timeout
from telecine_scheduler.domain.lease import (
    Ack,
    Acknowledgement,
    Dispatched,
    Grant,
    Lease,
    Report,
    Ruling,
    StreamId,
    Verdict,
)
from telecine_scheduler.domain.reply import RegisterReply
from telecine_scheduler.store.base import StoreBase, fenced
from telecine_scheduler.store.codec import cost, duration, microseconds
from telecine_scheduler.store.keys import pack, unpack
from telecine_scheduler.store.lane import Argument

MAX_GRANTS = 16
_STALE = Ruling(verdict=Verdict.STALE)
# STALE, and a crash was taken back.
_FORGIVEN = b"FORGIVEN"


class LeaseVerbs(StoreBase):
    """What workers do with leases."""

    async def dispatch(
        self, stream: StreamId, *, free: int, classes: Mapping[str, int], after_submit: bool = False
    ) -> Dispatched:
        """Lease ready jobs of *classes* (id -> units) that fit into *free* units; fewer than fit means there are no more now.

        *after_submit* sends it right behind the submits that wait, in the same round trip. Raises StreamFenced.
        """
        times = self._times
        header = (self._scheduler, microseconds(times.accept_window), microseconds(times.live))
        flat = [value for pair in classes.items() for value in pair]
        item = (stream.worker_id, stream.session_id, stream.epoch, free, MAX_GRANTS, len(classes), *flat)
        lane = self._durable if after_submit else self._fast
        word, *grants = await lane.call("dispatch", header, item)
        if word == b"FENCED":
            raise fenced(stream)
        return Dispatched(grants=[_grant(*grant) for grant in grants], waits=word == b"WAITS")

    async def accept(self, lease: Lease, *, refusal: str = "") -> Ruling:
        """The worker's answer to a grant: yes, or why not.

        A job that it cannot do (UNSUPPORTED), or cannot do just now (UNHEALTHY), is not offered to this process for a minute.
        """
        item = (*_named(lease), refusal, random.random())  # noqa: S311 - jitter, no secret
        return _ruling(await self._fast.call("accept", (microseconds(self._times.ttl),), item))

    async def renew(self, lease: Lease, *, sequence: int, progress: bytes) -> Ruling:
        """Extend a lease by the TTL and take in its progress (empty: nothing new)."""
        header = (microseconds(self._times.ttl), *self._endings_header())
        return _ruling(await self._fast.call("renew", header, (*_named(lease), sequence, progress)))

    async def publish(self, lease: Lease) -> Ruling:
        """May the lease's holder make its files visible? ALLOWED, CANCEL or STALE."""
        header = (microseconds(self._times.publish_window), microseconds(self._times.ttl), *self._endings_header())
        return _ruling(await self._durable.call("publish", header, _named(lease)))

    async def finish(self, report: Report) -> Acknowledgement:
        """Record how an attempt ended; the first report with a valid token wins."""
        item = (
            *_named(report.lease), report.outcome.value, report.kind or "", report.value, report.short,
            microseconds(report.cost.cpu), cost(report.cost), random.random(),  # noqa: S311 - jitter, no secret
        )  # fmt: skip
        header = (microseconds(self._times.ttl), *self._endings_header())
        ack, outcome, ran = await self._durable.call("finish", header, item)
        if ack == _FORGIVEN:
            return Acknowledgement(ack=Ack.STALE, forgiven=True)
        return Acknowledgement(
            ack=Ack(ack.decode()),
            outcome=AttemptOutcome(outcome.decode()) if outcome else None,
            ran=duration(ran),
        )

    async def adopt(self, lease: Lease, stream: StreamId) -> bool:
        """Take up an ADOPTABLE lease again for the process that says it has it; whether it has it now."""
        item = (*_named(lease), stream.worker_id, stream.session_id)
        return bool(await self._durable.call("adopt", (microseconds(self._times.ttl),), item) == b"OK")

    async def register(self, stream: StreamId) -> RegisterReply:
        """Make *stream* the one through which its worker is granted leases."""
        item = (stream.worker_id, stream.session_id, stream.epoch, self._scheduler)
        return RegisterReply((await self._fast.call("register", (), item)).decode())

    async def reclaim(self, stream: StreamId, held: Collection[Lease]) -> list[str]:
        """End what the worker's record holds and it does not; what each lease became. Raises StreamFenced."""
        flat = [value for lease in held for value in _named(lease)]
        jitter = random.random()  # noqa: S311 - no secret
        item: list[Argument] = [stream.worker_id, stream.session_id, stream.epoch, jitter, len(held), *flat]
        word, *outcomes = await self._durable.call("reclaim", self._endings_header(), item)
        if word == b"FENCED":
            raise fenced(stream)
        return [outcome.decode() for outcome in outcomes]

    async def disconnect(self, stream: StreamId, *, shorten: bool) -> None:
        """A stream ended; *shorten* its worker's leases to the reconnect grace."""
        header = (microseconds(self._times.reconnect_grace),)
        await self._fast.call("disconnect", header, (stream.worker_id, stream.session_id, stream.epoch, int(shorten)))


def _named(lease: Lease) -> tuple[bytes, int]:
    return pack(lease.name), lease.token


def _grant(
    name: bytes,
    token: bytes,
    attempt: bytes,
    generation: bytes,
    units: bytes,
    spec: bytes,
    total_left: bytes,
    grace: bytes,
) -> Grant:
    return Grant(
        lease=Lease(name=unpack(name), token=int(token)), attempt=int(attempt), generation=int(generation), units=int(units),
        spec=spec, total_left=duration(total_left), cancel_grace=duration(grace),
    )  # fmt: skip


def _ruling(reply: Sequence[Any]) -> Ruling:
    word, *rest = reply
    if word == _FORGIVEN:
        return Ruling(verdict=Verdict.STALE, forgiven=True)
    verdict = Verdict(word.decode())
    if verdict is Verdict.CANCEL:
        return Ruling(verdict=verdict, cancel_grace=duration(rest[0]))
    if verdict is Verdict.STALE:
        return Ruling(verdict=verdict, timeout=Timeout(rest[0].decode()), ran=duration(rest[1])) if rest else _STALE
    if verdict is Verdict.ADOPTABLE:
        return Ruling(verdict=verdict)
    return Ruling(verdict=verdict, waited=duration(rest[0]))
