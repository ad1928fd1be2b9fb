"""The worker's stream to a scheduler: connect, announce, listen, renew; and again, for ever, wherever a scheduler answers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import grpc
import structlog
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from telecine.v1 import lease_service_pb2 as pb
from telecine.v1 import lease_service_pb2_grpc
from telecine_process.addresses import Address
from telecine_worker.holdings import Holdings
from telecine_worker.metrics import WorkerMetrics
from telecine_worker.outbox import Outbox

log = structlog.get_logger(__name__)

PROTOCOL_VERSION = 1
WELCOME_SECONDS = 10.0
TICK_SECONDS = 1.0
# How soon after a break connecting is tried again: at once, then often for this long, then with a growing pause.
OFTEN_SECONDS = 3.0
LONGEST_PAUSE_SECONDS = 10.0

# Our own backoff decides; keepalive finds a dead scheduler within 15 s.
OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    ("grpc.use_local_subchannel_pool", 1),
    # Workers and schedulers are neighbours; a proxy of the environment is for the way out.
    ("grpc.enable_http_proxy", 0),
)


class Refused(Exception):
    """A scheduler will never take this worker as it is; connecting again would not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """What every Hello says of this process."""

    worker_id: str
    session_id: str
    version: str
    queues: tuple[str, ...]
    capabilities: tuple[str, ...]
    slots: int


class LeaseStream:
    """Keeps one stream open. While there is none, attempts go on; what they have to say is said in the next Hello."""

    def __init__(self, introduction: Introduction, schedulers: Sequence[Address], metrics: WorkerMetrics) -> None:
        self._introduction = introduction
        self._addresses = itertools.cycle(random.sample(list(schedulers), len(schedulers)))
        self._metrics = metrics
        self._epoch = 0
        self._outbox: Outbox | None = None
        self._broke_at = time.monotonic()
        self._failures = 0
        self._renew_every = 10.0
        self._finished = False
        self._parted = asyncio.Event()
        self.connected = asyncio.Event()

    def send(self, **fields: object) -> None:
        """Put fields of StreamLeasesRequest into the next message; dropped while there is no stream (see class)."""
        if self._outbox:
            self._outbox.add(**fields)

    async def run(self, holdings: Holdings) -> None:
        """Connect, and again, until finished or cancelled. Raises Refused."""
        while not self._finished:
            pause = 0.0
            try:
                await self._converse(next(self._addresses), holdings)
            except grpc.aio.AioRpcError as error:
                pause = self._consider(error)
            except TimeoutError:
                log.warning("scheduler did not answer the hello", seconds=WELCOME_SECONDS)
            self._end_stream()
            if not self._finished:
                await asyncio.sleep(max(pause, self._pause()))
        self._parted.set()

    async def tick(self, holdings: Holdings) -> None:
        """Renew and report for ever, once a second."""
        while True:
            holdings.tick(self._renew_every)
            await asyncio.sleep(TICK_SECONDS * random.uniform(0.9, 1.1))  # noqa: S311 - no secret

    async def _converse(self, address: Address, holdings: Holdings) -> None:
        """One stream, from its Hello to its end."""
        async with grpc.aio.insecure_channel(str(address), options=OPTIONS) as channel:
            self._epoch += 1
            outbox = Outbox(self._hello(holdings))
            stub = lease_service_pb2_grpc.LeaseServiceStub(channel)
            call = stub.StreamLeases(outbox.messages())
            try:
                responses = aiter(call)
                async with asyncio.timeout(WELCOME_SECONDS):
                    first = await anext(responses)
                self._begin_stream(outbox, first.welcome, holdings)
                log.info("scheduler connected", address=str(address), scheduler=first.welcome.scheduler_id)
                await self._listen(responses, holdings)
            except StopAsyncIteration:
                return
            finally:
                call.cancel()

    def _hello(self, holdings: Holdings) -> pb.Hello:
        held, unconfirmed = holdings.begin_stream()
        me = self._introduction
        return pb.Hello(
            min_protocol_version=PROTOCOL_VERSION, max_protocol_version=PROTOCOL_VERSION,
            worker_id=me.worker_id, session_id=me.session_id, stream_epoch=self._epoch, version=me.version,
            queues=me.queues, capabilities=me.capabilities, slots=me.slots,
            held_leases=held, unconfirmed_outcomes=unconfirmed,
        )  # fmt: skip

    def _begin_stream(self, outbox: Outbox, welcome: pb.Welcome, holdings: Holdings) -> None:
        self._outbox = outbox
        self._failures = 0
        self._renew_every = welcome.renew_interval.ToTimedelta().total_seconds()
        for ack in welcome.outcome_acks:
            holdings.acknowledge(ack)
        for result in welcome.renew_results:
            holdings.rule(result)
        holdings.send_credit()
        self.connected.set()
        self._metrics.connected.set(1)

    async def _listen(self, responses: AsyncIterator[pb.StreamLeasesResponse], holdings: Holdings) -> None:
        async for response in responses:
            for ack in response.outcome_acks:
                holdings.acknowledge(ack)
            for order in response.cancel_orders:
                holdings.cancel(order)
            for result in response.renew_results:
                holdings.rule(result)
            for decision in response.publish_decisions:
                holdings.decide(decision)
            for grant in response.grants:
                holdings.take(grant)
            if response.HasField("drain"):
                holdings.draining = True
                holdings.send_credit()
            if response.HasField("go_away"):
                # Leave cleanly, so that our leases keep their full time, and connect elsewhere.
                log.info("scheduler asks to move")
                after = response.go_away.reconnect_after.ToTimedelta().total_seconds()
                asyncio.get_running_loop().call_later(after, self._part, self._outbox)

    async def finish(self, seconds: float) -> None:
        """Say Bye, and connect no more; waits at most *seconds* for the scheduler to close."""
        self._finished = True
        self._part(self._outbox)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._parted.wait()

    def _part(self, outbox: Outbox | None) -> None:
        """Say Bye and half-close, if that stream is still the current one."""
        if outbox and outbox is self._outbox:
            outbox.add(bye=pb.Bye())
            outbox.close()

    def _end_stream(self) -> None:
        if self._outbox:
            self._outbox = None
            self._broke_at = time.monotonic()
        self.connected.clear()
        self._metrics.connected.set(0)

    def _pause(self) -> float:
        """Seconds until the next try: none to speak of right after a break, then full jitter up to ten."""
        self._failures += 1
        if self._failures == 1:
            longest = 0.3
        elif time.monotonic() - self._broke_at < OFTEN_SECONDS:
            longest = 1.0
        else:
            longest = min(LONGEST_PAUSE_SECONDS, 0.5 * 2 ** min(self._failures, 8))
        return random.uniform(0.0 if self._failures == 1 else 0.05, longest)  # noqa: S311 - no secret

    def _consider(self, error: grpc.aio.AioRpcError) -> float:
        """What a stream's end with an error asks for: seconds to wait at least. Raises Refused."""
        reason, wait = _details(error)
        if reason == "UNSUPPORTED_PROTOCOL":
            raise Refused(error.details() or reason)
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            log.info("scheduler unavailable", details=error.details())
        else:
            log.warning("stream ended", code=error.code().name, reason=reason, details=error.details())
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
            # A defect of ours: nothing is gained by repeating it quickly.
            wait = max(wait, LONGEST_PAUSE_SECONDS)
        return wait


def _details(error: grpc.aio.AioRpcError) -> tuple[str, float]:
    """The reason in ErrorInfo, and the seconds in RetryInfo."""
    reason, wait = "", 0.0
    with contextlib.suppress(ValueError):
        message = rpc_status.from_call(error)
        for detail in message.details if message else ():
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                reason = info.reason
            elif detail.Unpack(retry):
                wait = retry.retry_delay.ToTimedelta().total_seconds()
    return reason, wait
