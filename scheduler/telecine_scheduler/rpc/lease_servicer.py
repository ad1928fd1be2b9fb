"""LeaseService: what workers use."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import grpc
import structlog

from telecine.v1 import lease_service_pb2 as pb
from telecine.v1 import lease_service_pb2_grpc
from telecine_scheduler.domain.errors import ProtocolViolation, StoreUnavailable
from telecine_scheduler.domain.lease import Times
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.rpc.conversation import Conversation
from telecine_scheduler.rpc.hello_admission import HelloAdmission
from telecine_scheduler.rpc.lease_intake import LeaseIntake
from telecine_scheduler.rpc.refusals import Refusals, Refused
from telecine_scheduler.rpc.validation import Validation
from telecine_scheduler.service.leasing import Leasing

log = structlog.get_logger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


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
        self._admission = HelloAdmission(metrics)
        self._conversations: set[Conversation] = set()
        self._moved = asyncio.Event()
        for reason in Refused:
            metrics.refused.labels(reason.value)

    async def StreamLeases(
        self, request_iterator: AsyncIterator[pb.StreamLeasesRequest], context: Context
    ) -> AsyncIterator[pb.StreamLeasesResponse]:
        """The one stream of a worker process."""
        if self._leasing.draining:
            raise StoreUnavailable("this scheduler stops; connect to another one")
        refusals = Refusals(self._metrics, log)
        intake = LeaseIntake(request_iterator, self._validation, refusals)
        try:
            hello = await intake.hello()
            conversation = Conversation(hello, self._leasing, self._times, self._metrics, refusals, self._scheduler)
            async with contextlib.aclosing(self._converse(hello, conversation, intake)) as messages:
                async for message in messages:
                    yield message
        except ProtocolViolation as error:
            refusals.end(error)
            raise

    async def _converse(
        self, hello: pb.Hello, conversation: Conversation, intake: LeaseIntake
    ) -> AsyncGenerator[pb.StreamLeasesResponse, None]:
        """From a Hello to the stream's end."""
        worker = log.bind(worker_id=hello.worker_id, session_id=hello.session_id, epoch=hello.stream_epoch)
        async with contextlib.AsyncExitStack() as stream:
            async with self._admission.turn(conversation.restore):
                self._conversations.add(conversation)
                stream.push_async_callback(self._end, conversation)
                welcome = await conversation.welcome()
            worker.info("worker connected", held=len(hello.held_leases), slots=hello.slots)
            stream.callback(worker.info, "worker disconnected")
            yield pb.StreamLeasesResponse(welcome=welcome)
            if self._leasing.draining:
                conversation.go_away()
            messages = await stream.enter_async_context(contextlib.aclosing(conversation.run(intake.rest())))
            async for message in messages:
                yield message

    async def _end(self, conversation: Conversation) -> None:
        self._conversations.discard(conversation)
        self._moved.set()
        await conversation.end()

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
