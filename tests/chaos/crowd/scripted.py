"""A worker that is only the contract: it runs nothing, and does with each job in time what a stand-in would.

It keeps its leases over broken streams as the contract wants it: Hello with all that is held and all that is not acknowledged.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import grpc

from chaos.rig.stand_in import Behaviour, value_of
from telecine.v1 import job_pb2, lease_service_pb2_grpc, media_pb2
from telecine.v1 import lease_service_pb2 as pb

CAPABILITIES = ("task/ffmpeg", "encoder/libx264", "encoder/aac", "muxer/mp4", "demuxer/mov")
FASTEST_SECONDS, SLOWEST_SECONDS = 0.05, 0.5
Key = tuple[str, str, int]
# Told with the name of the worker.
OnWelcome = Callable[[str], None]


def key_of(lease: pb.LeaseRef) -> Key:
    """What names a lease."""
    return lease.tenant, lease.job_id, lease.token


@dataclass(slots=True)
class Held:
    """A lease, what runs under it, and its outcome when it has ended."""

    lease: pb.LeaseRef
    running: asyncio.Task[None] | None = None
    outcome: pb.Outcome | None = None
    sequence: itertools.count[int] = field(default_factory=lambda: itertools.count(1))


class ScriptedWorker:
    """*progress_seconds*: between two renewals with progress; 0: without progress, as often as the scheduler asks for."""

    def __init__(
        self, name: str, addresses: list[str], slots: int, *, queue: str, progress_seconds: float, on_welcome: OnWelcome
    ) -> None:
        self._name = name
        self._addresses = itertools.cycle(random.sample(addresses, len(addresses)))
        self._slots = slots
        self._queue = queue
        self._progress_seconds = progress_seconds
        self._on_welcome = on_welcome
        self._session = f"{name}-{random.randrange(1 << 40):x}"
        self._held: dict[Key, Held] = {}
        # Of the stream that is open: units granted, and what is to be sent.
        self._granted = 0
        self._out = pb.StreamLeasesRequest()
        self._wanted = asyncio.Event()

    async def run(self) -> None:
        """For ever, over any number of streams."""
        for epoch in itertools.count(1):
            try:
                await self._stream(next(self._addresses), epoch)
            except grpc.aio.AioRpcError:
                await asyncio.sleep(random.uniform(FASTEST_SECONDS, SLOWEST_SECONDS))

    async def _stream(self, address: str, epoch: int) -> None:
        self._granted, self._out = 0, pb.StreamLeasesRequest()
        async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = lease_service_pb2_grpc.LeaseServiceStub(channel).StreamLeases()
            await call.write(pb.StreamLeasesRequest(hello=self._hello(epoch)))
            response = await call.read()
            if response is grpc.aio.EOF:
                return
            self._take(response.welcome.renew_results, response.welcome.outcome_acks)
            self._on_welcome(self._name)
            every = self._progress_seconds or response.welcome.renew_interval.ToTimedelta().total_seconds()
            parts = [asyncio.create_task(part) for part in (self._write(call), self._renew(every))]
            try:
                self._send(credit=self._credit())
                await self._read(call)
            finally:
                for part in parts:
                    part.cancel()
                await asyncio.gather(*parts, return_exceptions=True)

    def _hello(self, epoch: int) -> pb.Hello:
        held = list(self._held.values())
        return pb.Hello(
            min_protocol_version=1, max_protocol_version=1, worker_id=self._name, session_id=self._session,
            stream_epoch=epoch, queues=[self._queue], slots=self._slots, capabilities=CAPABILITIES,
            held_leases=[self._renewal(each) for each in held if each.outcome is None],
            unconfirmed_outcomes=[each.outcome for each in held if each.outcome is not None],
        )  # fmt: skip

    def _renewal(self, held: Held) -> pb.Renewal:
        number = next(held.sequence)
        renewal = pb.Renewal(lease=held.lease, sequence=number)
        if self._progress_seconds:
            renewal.progress.phase = job_pb2.Progress.PHASE_ENCODING
            renewal.progress.frame_count = number
        return renewal

    def _credit(self) -> pb.Credit:
        return pb.Credit(limit=self._granted + max(0, self._slots - len(self._held)))

    def _send(self, **fields: object) -> None:
        self._out.MergeFrom(pb.StreamLeasesRequest(**fields))  # type: ignore[arg-type]
        self._wanted.set()

    async def _write(self, call: grpc.aio.StreamStreamCall) -> None:  # type: ignore[type-arg]
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            request, self._out = self._out, pb.StreamLeasesRequest()
            try:
                await call.write(request)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                # The reader says how the stream ended; what was not sent is in the next Hello.
                return

    async def _renew(self, every_seconds: float) -> None:
        while True:
            await asyncio.sleep(every_seconds)
            renewals = [self._renewal(held) for held in self._held.values() if held.outcome is None]
            if renewals:
                self._send(renewals=renewals)

    async def _read(self, call: grpc.aio.StreamStreamCall) -> None:  # type: ignore[type-arg]
        while (response := await call.read()) is not grpc.aio.EOF:
            self._take(response.renew_results, response.outcome_acks)
            for grant in response.grants:
                self._granted += grant.units
                self._begin(grant)
            if response.HasField("go_away"):
                await call.write(pb.StreamLeasesRequest(bye=pb.Bye()))
                await call.done_writing()
                return

    def _take(self, results: object, acks: object) -> None:
        """Verdicts and acknowledgements end what they are about."""
        for result in results:  # type: ignore[attr-defined]
            if result.verdict == pb.RenewResult.VERDICT_STALE:
                self._forget(result.lease)
            elif result.verdict == pb.RenewResult.VERDICT_CANCEL:
                self._end(result.lease, pb.Outcome(lease=result.lease, cancelled=pb.Outcome.Cancelled()))
        for ack in acks:  # type: ignore[attr-defined]
            if ack.ack != pb.OutcomeAck.ACK_TRY_AGAIN:
                self._forget(ack.lease)
            elif (held := self._held.get(key_of(ack.lease))) and held.outcome:
                self._send(outcomes=[held.outcome])

    def _begin(self, grant: pb.Grant) -> None:
        held = self._held.setdefault(key_of(grant.lease), Held(grant.lease))
        self._send(accepts=[pb.Accept(lease=grant.lease)])
        if held.running is None:
            held.running = asyncio.create_task(self._work(grant))

    async def _work(self, grant: pb.Grant) -> None:
        arguments = list(media_pb2.JobSpec.FromString(grant.spec).task.ffmpeg.args)
        await asyncio.sleep(float(value_of(arguments, "-t")))
        outcome = pb.Outcome(lease=grant.lease)
        if value_of(arguments, "-g") == Behaviour.FAIL:
            failure = job_pb2.Failure(kind=job_pb2.Failure.KIND_RETRYABLE, reason="IO_ERROR", message="as the job says")
            outcome.failed.CopyFrom(failure)
        else:
            outcome.succeeded.CopyFrom(job_pb2.JobResult())
        self._end(grant.lease, outcome)

    def _end(self, lease: pb.LeaseRef, outcome: pb.Outcome) -> None:
        held = self._held.get(key_of(lease))
        if held is None or held.outcome is not None:
            return
        held.outcome = outcome
        self._send(outcomes=[outcome])

    def _forget(self, lease: pb.LeaseRef) -> None:
        held = self._held.pop(key_of(lease), None)
        if held is None:
            return
        if held.running is not None and held.running is not asyncio.current_task():
            held.running.cancel()
        self._send(credit=self._credit())
