"""The worker's stream to a scheduler: connect, announce, listen, renew; and again, for ever, wherever a scheduler answers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import grpc
import structlog

from telecine.v1 import lease_service_pb2 as pb
from telecine.v1 import lease_service_pb2_grpc
from telecine_process.addresses import Address
from telecine_worker.holdings import Holdings
from telecine_worker.metrics import WorkerMetrics
from telecine_worker.outbox import Outbox
from telecine_worker.reconnection import LONGEST_PAUSE_SECONDS, Reconnection

log = structlog.get_logger(__name__)

PROTOCOL_VERSION = 1
# At most, and no more than half of the leases' time: so long a scheduler may leave a Hello or a renewal unanswered. It hangs
# then, or is stopped, which shows sooner so than by pings.
ANSWER_SECONDS = 10.0
TICK_SECONDS = 1.0
# From our Bye to where a scheduler that does not close is left all the same.
CLOSE_SECONDS = 2.0

# Our own backoff decides; keepalive finds a dead scheduler within 15 s.
OPTIONS: Sequence[tuple[str, int]] = (
    ("grpc.enable_retries", 0),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # Or the transport's own limit for an answer to a ping, a minute, is the one that counts.
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    ("grpc.use_local_subchannel_pool", 1),
    # Workers and schedulers are neighbours; a proxy of the environment is for the way out.
    ("grpc.enable_http_proxy", 0),
)

Responses = AsyncIterator[pb.StreamLeasesResponse]


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduction:
    """What every Hello says of this process."""

    worker_id: str
    session_id: str
    version: str
    queues: tuple[str, ...]
    capabilities: tuple[str, ...]
    slots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenStream:
    """The stream of the moment. *patience* is how long it may go on; without end until we have said Bye."""

    outbox: Outbox
    patience: asyncio.Timeout


class LeaseStream:
    """Keeps one stream open. While there is none, attempts go on; what they have to say is said in the next Hello."""

    def __init__(self, introduction: Introduction, schedulers: Sequence[Address], metrics: WorkerMetrics) -> None:
        self._introduction = introduction
        self._addresses = itertools.cycle(random.sample(list(schedulers), len(schedulers)))
        self._metrics = metrics
        self._reconnection = Reconnection(schedulers)
        self._epoch = 0
        self._open: OpenStream | None = None
        self._renew_every_seconds = 10.0
        self._lease_seconds = 0.0
        self._finished = False
        self._parted = asyncio.Event()
        self.connected = asyncio.Event()
        self.refused = asyncio.Event()

    @property
    def refusal(self) -> str | None:
        """Why no scheduler will ever take this worker, in words, once *refused* is set."""
        return self._reconnection.refusal

    def send(self, **fields: object) -> None:
        """Put fields of StreamLeasesRequest into the next message; dropped while there is no stream (see class)."""
        if self._open:
            self._open.outbox.add(**fields)

    async def run(self, holdings: Holdings) -> None:
        """Connect, and again, until finished or cancelled."""
        while not self._finished:
            wait, address = 0.0, next(self._addresses)
            try:
                await self._converse(address, holdings)
            except grpc.aio.AioRpcError as error:
                wait = self._reconnection.consider(error, address)
                if self.refusal:
                    self.refused.set()
            except TimeoutError:
                log.warning("scheduler did not answer the hello", seconds=self._answer_seconds)
            except Exception:
                # The supervisor: attempts go on whatever a stream meets.
                log.exception("stream met a defect")
                wait = LONGEST_PAUSE_SECONDS
            if not self._finished:
                await asyncio.sleep(max(wait, self._reconnection.pause()))
        self._parted.set()

    async def tick(self, holdings: Holdings) -> None:
        """Renew and report for ever, once a second."""
        while True:
            holdings.tick(self._renew_every_seconds)
            if self._open and holdings.unanswered_seconds > self._answer_seconds:
                log.warning("scheduler does not answer renewals", seconds=self._answer_seconds)
                self._open.patience.reschedule(asyncio.get_running_loop().time())
                self._open = None
            await asyncio.sleep(TICK_SECONDS * random.uniform(0.9, 1.1))  # noqa: S311 - no secret

    @property
    def _answer_seconds(self) -> float:
        return min(ANSWER_SECONDS, self._lease_seconds / 2) if self._lease_seconds else ANSWER_SECONDS

    async def _converse(self, address: Address, holdings: Holdings) -> None:
        """One stream, from its Hello to its end."""
        await holdings.unconfirmed.replace_large()
        async with grpc.aio.insecure_channel(str(address), options=OPTIONS) as channel:
            hello = self._hello(holdings)
            outbox = Outbox(hello)
            call = lease_service_pb2_grpc.LeaseServiceStub(channel).StreamLeases(outbox.messages())
            try:
                responses = aiter(call)
                welcome = await self._welcome(responses, hello, holdings)
                if welcome is not None:
                    log.info("scheduler connected", address=str(address), scheduler=welcome.scheduler_id)
                    await self._talk(outbox, welcome, responses, holdings)
            finally:
                call.cancel()
                # Or gRPC's task that takes the messages would wait for ever for the next one.
                outbox.close()

    def _hello(self, holdings: Holdings) -> pb.Hello:
        self._epoch += 1
        held, unconfirmed = holdings.begin_stream()
        me = self._introduction
        return pb.Hello(
            min_protocol_version=PROTOCOL_VERSION, max_protocol_version=PROTOCOL_VERSION,
            worker_id=me.worker_id, session_id=me.session_id, stream_epoch=self._epoch, version=me.version,
            queues=me.queues, capabilities=me.capabilities, slots=me.slots,
            held_leases=held, unconfirmed_outcomes=unconfirmed,
        )  # fmt: skip

    async def _welcome(self, responses: Responses, hello: pb.Hello, holdings: Holdings) -> pb.Welcome | None:
        """The answer to the Hello; None where there was none, and the next Hello may fare better."""
        try:
            async with asyncio.timeout(self._answer_seconds):
                return (await anext(responses)).welcome
        except StopAsyncIteration:
            return None
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT or not hello.unconfirmed_outcomes:
                raise
            log.error("hello was refused", details=error.details())
            await holdings.unconfirmed.refuse(hello.unconfirmed_outcomes)
            return None

    async def _talk(self, outbox: Outbox, welcome: pb.Welcome, responses: Responses, holdings: Holdings) -> None:
        """From the Welcome to the end of the stream."""
        try:
            async with asyncio.timeout(None) as patience:
                self._open = OpenStream(outbox=outbox, patience=patience)
                self._reconnection.succeed()
                self._lease_seconds = welcome.lease_ttl.ToTimedelta().total_seconds()
                self._renew_every_seconds = welcome.renew_interval.ToTimedelta().total_seconds()
                holdings.resume(welcome)
                self.connected.set()
                self._metrics.connected.set(1)
                await self._listen(responses, holdings)
        except TimeoutError:
            log.info("stream left open by the scheduler")
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT or not holdings.unconfirmed.accuse():
                raise
            log.error("stream was refused, perhaps for an outcome", details=error.details())
        finally:
            self._open = None
            self._reconnection.lose()
            self.connected.clear()
            self._metrics.connected.set(0)

    async def _listen(self, responses: Responses, holdings: Holdings) -> None:
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
                holdings.be_drained()
            if response.HasField("go_away"):
                # Leave cleanly, so that our leases keep their full time, and connect elsewhere.
                log.info("scheduler asks to move")
                after = response.go_away.reconnect_after.ToTimedelta().total_seconds()
                asyncio.get_running_loop().call_later(after, self._part, self._open)

    async def finish(self) -> None:
        """Say Bye, and connect no more; waits at most CLOSE_SECONDS for the scheduler to close."""
        self._finished = True
        self._part(self._open)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._parted.wait()

    def _part(self, stream: OpenStream | None) -> None:
        """Say Bye and half-close, if that stream is still the current one. What comes up now is said on the next one."""
        if stream is not None and stream is self._open:
            stream.outbox.add(bye=pb.Bye())
            stream.outbox.close()
            stream.patience.reschedule(asyncio.get_running_loop().time() + CLOSE_SECONDS)
            self._open = None
