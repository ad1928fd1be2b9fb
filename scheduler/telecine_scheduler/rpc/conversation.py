"""One worker's stream, from its Hello to its end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar

from telecine.v1 import lease_service_pb2 as pb
from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.domain.lease import Ack, Acknowledgement, Grant, Lease, Ruling, StreamId, Times, Verdict
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.rpc import lease_messages as convert
from telecine_scheduler.rpc.adoption import Adoption
from telecine_scheduler.rpc.lease_intake import PROTOCOL_VERSION, entries
from telecine_scheduler.rpc.load import Load, in_slices
from telecine_scheduler.rpc.outbox import Outbox
from telecine_scheduler.rpc.refusals import Refusals, Refused, violation
from telecine_scheduler.service.leasing import Leasing
from telecine_scheduler.service.worker_stream import WorkerStream

# A stream is moved now and then, so that streams spread again after schedulers come and go.
MAX_AGE = timedelta(minutes=45)

S = TypeVar("S")
T = TypeVar("T")


class _Leased(Protocol):
    @property
    def lease(self) -> pb.LeaseRef: ...


# What a worker says of one lease.
L = TypeVar("L", bound=_Leased)


class Conversation:
    """Answers a worker's messages, and hands it grants and orders."""

    def __init__(
        self,
        hello: pb.Hello,
        leasing: Leasing,
        times: Times,
        metrics: SchedulerMetrics,
        refusals: Refusals,
        scheduler: str,
    ) -> None:
        self._hello = hello
        self._refusals = refusals
        self._leasing = leasing
        # Until the Welcome.
        self._store = leasing.impatient_store
        self._times = times
        self._metrics = metrics
        self._scheduler = scheduler
        self._outbox = Outbox()
        self._clean = False
        self.stream = WorkerStream(
            StreamId(worker_id=hello.worker_id, session_id=hello.session_id, epoch=hello.stream_epoch),
            convert.offer_of(hello),
            leasing,
            on_grants=self._grant,
            on_cancel=self._cancel,
            on_fenced=self._outbox.fail,
            room=self._outbox.granted,
        )
        self._adoption = Adoption(leasing, self.stream.id, metrics)

    async def restore(self) -> None:
        """Give what the worker holds its full time: its Hello has to wait."""
        await in_slices(self._restore, self._hello.held_leases)

    async def _restore(self, held: pb.Renewal) -> None:
        lease = convert.lease_of(held.lease)
        # Sequence 0 and no progress: all that the Hello says of it is still to be taken in.
        ruling = await self._ruling(lease, lambda: self._store.renew(lease, sequence=0, progress=b""))
        if ruling is not None:
            self._metrics.count_ruling(ruling)

    async def welcome(self) -> pb.Welcome:
        """Apply the Hello: outcomes first, then held leases, then what an older process left. `end` has to follow."""
        acks = await in_slices(self._outcome, self._hello.unconfirmed_outcomes)
        results = await in_slices(self._renewal, self._hello.held_leases)
        held = [convert.lease_of(renewal.lease) for renewal in self._hello.held_leases]
        # An outcome that could not be taken in just now is said again: its lease is no dead worker's.
        held += [convert.lease_of(outcome.lease) for outcome in self._hello.unconfirmed_outcomes]
        await self._leasing.open(self.stream, held)
        message = pb.Welcome(
            protocol_version=PROTOCOL_VERSION, scheduler_id=self._scheduler, renew_results=results, outcome_acks=acks
        )
        message.lease_ttl.FromTimedelta(self._times.ttl)
        message.renew_interval.FromTimedelta(self._times.renew_interval)
        message.accept_window.FromTimedelta(self._times.accept_window)
        return message

    async def run(
        self, requests: AsyncIterator[pb.StreamLeasesRequest]
    ) -> AsyncGenerator[pb.StreamLeasesResponse, None]:
        """What to send, until the worker has half-closed or the stream fails."""
        self._leasing.attach(self.stream)
        parts = [
            asyncio.create_task(self._read(requests), name="worker messages"),
            asyncio.create_task(self.stream.run(), name="dispatch"),
            asyncio.create_task(self._grow_old(), name="stream age"),
        ]
        for part in parts:
            part.add_done_callback(self._failed)
        # Counted down even where a second cancellation ends the wait for the parts.
        with self._metrics.worker_streams.track_inprogress():
            try:
                while (message := await self._outbox.take()) is not None:
                    yield message
            finally:
                for part in parts:
                    part.cancel()
                await asyncio.gather(*parts, return_exceptions=True)

    def _failed(self, part: asyncio.Task[None]) -> None:
        """A part that failed ends the stream with its error."""
        error = None if part.cancelled() else part.exception()
        if isinstance(error, Exception):
            self._outbox.fail(error)

    async def end(self) -> None:
        """The stream is over, wherever it ended. Also carried out when the handler is cancelled."""
        await asyncio.shield(asyncio.ensure_future(self._leasing.close(self.stream, clean=self._clean)))

    def stop(self) -> None:
        """End the stream now: the scheduler stops, and the worker has not moved."""
        self._outbox.fail(StoreUnavailable("this scheduler stops; connect to another one"))

    async def _grow_old(self) -> None:
        await asyncio.sleep(MAX_AGE.total_seconds() * random.uniform(0.8, 1.2))  # noqa: S311 - no secret
        self.go_away()

    def go_away(self) -> None:
        """Ask the worker to move within the next two seconds."""
        message = pb.GoAway()
        message.reconnect_after.FromTimedelta(timedelta(seconds=random.uniform(0, 2)))  # noqa: S311 - no secret
        self._outbox.go_away(message)

    async def _read(self, requests: AsyncIterator[pb.StreamLeasesRequest]) -> None:
        load = Load()

        async def handle(request: pb.StreamLeasesRequest, count: int) -> None:
            try:
                await self._handle(request)
            finally:
                load.end(count)

        try:
            async with asyncio.TaskGroup() as answers:
                async for request in requests:
                    count = entries(request)
                    await load.begin(count)
                    await self._outbox.room()
                    answers.create_task(handle(request, count))
        except* Exception as group:  # noqa: BLE001 - whatever it is ends the stream, and is mapped there
            self._outbox.fail(group.exceptions[0])
        self._outbox.close()

    async def _handle(self, request: pb.StreamLeasesRequest) -> None:
        if request.HasField("credit"):
            self._credit(request.credit)
        if request.HasField("bye"):
            self._clean = True
            self.stream.credit(0)
        await asyncio.gather(
            *self._batches(request.accepts, self._accept, self._outbox.renew_results),
            *self._batches(request.renewals, self._renewal, self._outbox.renew_results),
            *self._batches(request.publish_requests, self._publish, self._outbox.publish_decisions),
            *self._batches(request.outcomes, self._outcome, self._outbox.outcome_acks),
        )

    def _batches(
        self, items: Iterable[L], answer: Callable[[L], Awaitable[T]], send: Callable[[Iterable[T]], None]
    ) -> Iterator[Awaitable[None]]:
        """What is asked of one partition is answered together, and waits for no other partition, which may be away."""
        apart: dict[int, list[L]] = {}
        for item in items:
            apart.setdefault(self._store.partition_of(item.lease.tenant), []).append(item)
        return (_batch(each, answer, send) for each in apart.values())

    def _credit(self, credit: pb.Credit) -> None:
        most = self.stream.granted + self._hello.slots
        if credit.limit > most:
            raise violation(
                Refused.CREDIT,
                f"the credit is {credit.limit}; with {self._hello.slots} slots and {self.stream.granted} units granted on this "
                f"stream it is at most {most}",
            )
        self.stream.credit(credit.limit, draining=credit.draining)

    async def _accept(self, accept: pb.Accept) -> pb.RenewResult:
        lease = convert.lease_of(accept.lease)
        refusal = pb.Accept.Refusal.Name(accept.refusal).removeprefix("REFUSAL_") if accept.refusal else ""
        ruling = await self._ruling(lease, lambda: self._store.accept(lease, refusal=refusal))
        if refusal and ruling is not None:
            self._metrics.grants_refused.labels(refusal.lower()).inc()
            # STALE is then as it should be.
            return convert.renew_result(lease, ruling, self._times)
        return self._result(lease, ruling)

    async def _renewal(self, renewal: pb.Renewal) -> pb.RenewResult:
        lease = convert.lease_of(renewal.lease)
        progress = renewal.progress.SerializeToString() if renewal.HasField("progress") else b""
        ruling = await self._ruling(
            lease, lambda: self._store.renew(lease, sequence=renewal.sequence, progress=progress)
        )
        return self._result(lease, ruling)

    async def _ruling(self, lease: Lease, ask: Callable[[], Awaitable[Ruling]]) -> Ruling | None:
        return await _or_none(self._adoption.settled(lease, ask))

    def _result(self, lease: Lease, ruling: Ruling | None) -> pb.RenewResult:
        self._count(lease, ruling)
        return convert.renew_result(lease, ruling, self._times)

    def _count(self, lease: Lease, ruling: Ruling | None) -> None:
        if ruling is not None:
            self._metrics.count_ruling(ruling)
            # A limit that ends a job is no fault of its worker's.
            if ruling.verdict is Verdict.STALE and ruling.timeout is None:
                self._refusals.stale(lease)

    async def _publish(self, request: pb.PublishRequest) -> pb.PublishDecision:
        lease = convert.lease_of(request.lease)
        ruling = await self._ruling(lease, lambda: self._store.publish(lease))
        self._count(lease, ruling)
        return convert.publish_decision(lease, ruling, self._times)

    async def _outcome(self, outcome: pb.Outcome) -> pb.OutcomeAck:
        report = convert.report_of(outcome)
        asked = self._adoption.settled(report.lease, lambda: self._store.finish(report))
        acknowledgement: Acknowledgement | None = await _or_none(asked)
        if acknowledgement:
            self._metrics.forgiven.inc(acknowledgement.forgiven)
        if acknowledgement and acknowledgement.ack is Ack.STALE:
            self._refusals.stale(report.lease)
        if acknowledgement and acknowledgement.outcome:
            self._metrics.count_end(acknowledgement.outcome, acknowledgement.ran)
        return convert.outcome_ack(report.lease, acknowledgement)

    def _grant(self, grants: list[Grant]) -> None:
        self._outbox.grants(convert.grant_message(grant, self._times) for grant in grants)

    def _cancel(self, lease: Lease, own_grace: timedelta | None) -> None:
        grace = self._times.cancel_grace if own_grace is None else own_grace
        self._outbox.cancel_orders([convert.cancel_order(lease, grace)])


async def _or_none(call: Awaitable[T]) -> T | None:
    """The store's answer; None (TRY_AGAIN) where it is away: the worker goes on and asks again."""
    try:
        return await call
    except StoreUnavailable:
        return None


async def _batch(items: Sequence[S], answer: Callable[[S], Awaitable[T]], send: Callable[[Iterable[T]], None]) -> None:
    send(await in_slices(answer, items))
