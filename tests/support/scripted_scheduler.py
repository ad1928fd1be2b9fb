"""A real LeaseService on port 0 whose every answer is the test's: the worker's end of the protocol, message by message."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from telecine.v1 import lease_service_pb2 as pb
from telecine.v1 import lease_service_pb2_grpc, media_pb2
from telecine_process.addresses import Address, parse_address

SECONDS = 30
DAY = timedelta(days=1)
# What is granted where the test does not say otherwise: a task of a kind that every worker knows.
SPEC = media_pb2.JobSpec(task=media_pb2.Task(probe=media_pb2.ProbeTask(input="main"))).SerializeToString()


class ScriptedStream:
    """One stream of a worker: what came is taken kind by kind, each in the order of its arrival."""

    def __init__(self, hello: pb.Hello) -> None:
        self.hello = hello
        # Everything that came after the Hello, for looking back.
        self.messages: list[pb.StreamLeasesRequest] = []
        self._unread: dict[str, deque[Any]] = defaultdict(deque)
        self._changed = asyncio.Condition()
        self._half_closed = False
        self._out: asyncio.Queue[pb.StreamLeasesResponse | grpc.Status | None] = asyncio.Queue()
        self.over = asyncio.Event()

    # What the worker said.

    async def credit(self) -> int:
        """The limit of the next Credit."""
        return int((await self._next("credit")).limit)

    async def accept(self) -> pb.Accept:
        return await self._next("accepts")

    async def renewal(self) -> pb.Renewal:
        return await self._next("renewals")

    async def publish_request(self) -> pb.PublishRequest:
        return await self._next("publish_requests")

    async def outcome(self) -> pb.Outcome:
        return await self._next("outcomes")

    async def bye(self) -> pb.Bye:
        return await self._next("bye")

    async def half_closed(self) -> None:
        """Until the worker has said all it wants to say."""
        async with asyncio.timeout(SECONDS), self._changed:
            await self._changed.wait_for(lambda: self._half_closed)

    def count(self, kind: str) -> int:
        """How many of a kind have come so far."""
        return sum(len(getattr(message, kind)) for message in self.messages)

    async def _next(self, kind: str) -> Any:
        try:
            async with asyncio.timeout(SECONDS), self._changed:
                await self._changed.wait_for(lambda: self._unread[kind])
        except TimeoutError:
            raise AssertionError(f"no {kind} came; what came: {self.messages}") from None
        return self._unread[kind].popleft()

    # What it is told.

    def send(self, **fields: Any) -> None:
        """Fields of StreamLeasesResponse, as one message."""
        self._out.put_nowait(pb.StreamLeasesResponse(**fields))

    def welcome(self, *, renew_interval: timedelta = DAY, **fields: Any) -> None:
        """The Welcome; by default nothing is renewed but for progress."""
        welcome = pb.Welcome(protocol_version=1, scheduler_id="scripted", **fields)
        welcome.renew_interval.FromTimedelta(renew_interval)
        self.send(welcome=welcome)

    def grant(self, lease: pb.LeaseRef, spec: bytes = SPEC, **fields: Any) -> None:
        name = f"{lease.tenant}~{lease.job_id}~1~{lease.token}"
        grant = pb.Grant(lease=lease, attempt=1, generation=1, units=1, spec=spec, staging_name=name)
        grant.MergeFrom(pb.Grant(**fields))
        self.send(grants=[grant])

    def rule(self, lease: pb.LeaseRef, verdict: pb.RenewResult.Verdict.ValueType) -> None:
        self.send(renew_results=[pb.RenewResult(lease=lease, verdict=verdict)])

    def decide(
        self,
        lease: pb.LeaseRef,
        decision: pb.PublishDecision.Decision.ValueType,
        window: timedelta = timedelta(minutes=1),
    ) -> None:
        message = pb.PublishDecision(lease=lease, decision=decision)
        message.valid_for.FromTimedelta(window)
        self.send(publish_decisions=[message])

    def acknowledge(self, lease: pb.LeaseRef, ack: pb.OutcomeAck.Ack.ValueType = pb.OutcomeAck.ACK_COMMITTED) -> None:
        self.send(outcome_acks=[pb.OutcomeAck(lease=lease, ack=ack)])

    def go_away(self) -> None:
        """Ask it to move, at once."""
        self.send(go_away=pb.GoAway())

    async def close(self) -> None:
        """End the stream with OK."""
        self._out.put_nowait(None)
        await self.over.wait()

    async def fail(self, code: grpc.StatusCode, reason: str = "", retry: timedelta | None = None) -> None:
        """End the stream with an error."""
        self._out.put_nowait(_status(code, reason, retry))
        await self.over.wait()

    # The server's side.

    async def receive(self, requests: AsyncIterator[pb.StreamLeasesRequest]) -> None:
        async for request in requests:
            self.messages.append(request)
            async with self._changed:
                for descriptor, value in request.ListFields():
                    repeated = isinstance(value, Sequence)
                    self._unread[descriptor.name].extend(value if repeated else [value])
                self._changed.notify_all()
        async with self._changed:
            self._half_closed = True
            self._changed.notify_all()

    async def answers(self) -> AsyncIterator[pb.StreamLeasesResponse | grpc.Status]:
        while (answer := await self._out.get()) is not None:
            yield answer


class ScriptedScheduler(lease_service_pb2_grpc.LeaseServiceServicer):
    """Listens from entering to leaving."""

    def __init__(self, port: int = 0) -> None:
        self._server = grpc.aio.server()
        self._streams: asyncio.Queue[ScriptedStream] = asyncio.Queue()
        lease_service_pb2_grpc.add_LeaseServiceServicer_to_server(self, self._server)
        self.address: Address = parse_address(f"127.0.0.1:{self._server.add_insecure_port(f'127.0.0.1:{port}')}")

    async def __aenter__(self) -> ScriptedScheduler:
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.vanish()

    async def vanish(self) -> None:
        """Cut every connection, and listen no more."""
        await self._server.stop(None)

    async def stream(self) -> ScriptedStream:
        """The next stream; its Hello has come and is not answered."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self._streams.get()
        except TimeoutError:
            raise AssertionError("no worker connected") from None

    async def welcomed(self, **fields: Any) -> ScriptedStream:
        """The next stream, welcomed, and its first credit taken."""
        stream = await self.stream()
        stream.welcome(**fields)
        await stream.credit()
        return stream

    @staticmethod
    def status(code: grpc.StatusCode, reason: str) -> grpc.Status:
        """How a stream ends that fails so."""
        return _status(code, reason, None)

    async def StreamLeases(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[pb.StreamLeasesRequest], context: Any
    ) -> AsyncIterator[pb.StreamLeasesResponse]:
        first = await anext(request_iterator)
        assert first.HasField("hello")
        stream = ScriptedStream(first.hello)
        receiving = asyncio.create_task(stream.receive(request_iterator))
        await self._streams.put(stream)
        try:
            async for answer in stream.answers():
                if isinstance(answer, pb.StreamLeasesResponse):
                    yield answer
                else:
                    await context.abort_with_status(answer)
        finally:
            receiving.cancel()
            stream.over.set()


def _status(code: grpc.StatusCode, reason: str, retry: timedelta | None) -> grpc.Status:
    details = []
    if reason:
        details.append(_packed(error_details_pb2.ErrorInfo(reason=reason, domain="telecine")))
    if retry is not None:
        info = error_details_pb2.RetryInfo()
        info.retry_delay.FromTimedelta(retry)
        details.append(_packed(info))
    message = status_pb2.Status(code=code_pb2.Code.Value(code.name), message=f"scripted {reason}", details=details)
    status: grpc.Status = rpc_status.to_status(message)
    return status


def _packed(message: Any) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed
