"""LeaseService: what workers use."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import structlog

from telecine.v1 import lease_service_pb2 as pb
from telecine.v1 import lease_service_pb2_grpc
from telecine_scheduler.domain.errors import ProtocolViolation, StoreUnavailable, UnsupportedProtocol
from telecine_scheduler.domain.lease import Times
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.rpc.conversation import PROTOCOL_VERSION, Conversation
from telecine_scheduler.rpc.lease_messages import broken_outcome
from telecine_scheduler.rpc.validation import Validation
from telecine_scheduler.service.leasing import Leasing

log = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]
HELLO_SECONDS = 10


class LeaseServicer(lease_service_pb2_grpc.LeaseServiceServicer):
    """Opens a conversation with each worker that connects."""

    def __init__(
        self, leasing: Leasing, times: Times, metrics: SchedulerMetrics, validation: Validation, scheduler: str
    ) -> None:
        self._leasing = leasing
        self._times = times
        self._metrics = metrics
        self._validation = validation
        self._scheduler = scheduler
        self._conversations: set[Conversation] = set()
        self._moved = asyncio.Event()

    async def StreamLeases(
        self, request_iterator: AsyncIterator[pb.StreamLeasesRequest], context: Context
    ) -> AsyncIterator[pb.StreamLeasesResponse]:
        """The one stream of a worker process."""
        if self._leasing.draining:
            raise StoreUnavailable("this scheduler stops; connect to another one")
        requests = self._checked(request_iterator)
        hello = await self._hello(requests)
        conversation = Conversation(hello, self._leasing, self._times, self._metrics, self._scheduler)
        worker = log.bind(worker_id=hello.worker_id, session_id=hello.session_id, epoch=hello.stream_epoch)
        self._conversations.add(conversation)
        try:
            welcome = await conversation.welcome()
            worker.info("worker connected", held=len(hello.held_leases), slots=hello.slots)
            yield pb.StreamLeasesResponse(welcome=welcome)
            if self._leasing.draining:
                conversation.go_away()
            async with contextlib.aclosing(conversation.run(requests)) as messages:
                async for message in messages:
                    yield message
        finally:
            self._conversations.discard(conversation)
            self._moved.set()
            await conversation.end()
            worker.info("worker disconnected")

    async def _checked(self, requests: AsyncIterator[pb.StreamLeasesRequest]) -> AsyncIterator[pb.StreamLeasesRequest]:
        async for request in requests:
            self._mend(request)
            violations = self._validation.violations(request)
            if violations:
                self._metrics.refused.inc()
                listed = "; ".join(f"{v.field}: {v.description}" for v in violations)
                raise ProtocolViolation(f"the message breaks a rule: {listed}")
            yield request

    def _mend(self, request: pb.StreamLeasesRequest) -> None:
        """A payload that breaks a rule ends its own attempt, never the stream: the worker would send it again for ever."""
        for outcome in (*request.outcomes, *request.hello.unconfirmed_outcomes):
            if self._validation.violations(outcome.lease):
                continue
            violations = self._validation.violations(outcome)
            if violations:
                self._metrics.refused.inc()
                listed = "; ".join(f"{v.field}: {v.description}" for v in violations)
                log.error("outcome breaks a rule", job_id=outcome.lease.job_id, violations=listed)
                outcome.failed.CopyFrom(broken_outcome(listed))
                outcome.ClearField("peak_memory_bytes")
        for renewal in (*request.renewals, *request.hello.held_leases):
            if renewal.HasField("progress") and self._validation.violations(renewal.progress):
                renewal.ClearField("progress")

    async def _hello(self, requests: AsyncIterator[pb.StreamLeasesRequest]) -> pb.Hello:
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                first = await anext(requests)
        except (StopAsyncIteration, TimeoutError):
            raise ProtocolViolation(f"no hello came within {HELLO_SECONDS} s") from None
        if not first.HasField("hello"):
            raise ProtocolViolation("the first message of a stream must hold hello")
        hello = first.hello
        if not hello.min_protocol_version <= PROTOCOL_VERSION <= hello.max_protocol_version:
            raise UnsupportedProtocol(
                f"this scheduler speaks version {PROTOCOL_VERSION} of the lease protocol, the worker "
                f"{hello.min_protocol_version} to {hello.max_protocol_version}",
                metadata={"min": str(PROTOCOL_VERSION), "max": str(PROTOCOL_VERSION)},
            )
        return hello

    async def drain(self, seconds: float) -> None:
        """Ask every worker to move, and wait until they have, at most *seconds*."""
        self._leasing.draining = True
        for conversation in self._conversations:
            conversation.go_away()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._conversations:
                    self._moved.clear()
                    await self._moved.wait()
        for conversation in self._conversations:
            conversation.stop()
