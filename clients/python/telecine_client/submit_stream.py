"""Submissions of many tasks over one SubmitJobs stream: what arrives in one turn of the event loop goes out as one message."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client.errors import TelecineError, Unavailable, Unimplemented, error
from telecine_client.schedulers import Schedulers
from telecine_client.submissions import next_message, outcomes

if TYPE_CHECKING:
    from telecine.v1.scheduler_service_pb2_grpc import SchedulerServiceAsyncStub

Answer = asyncio.Future[service_pb2.SubmitJobResponse]


class SubmitStreams:
    """One stream for each scheduler that is talked to; a scheduler that has no such call is asked by single ones."""

    def __init__(self, schedulers: Schedulers) -> None:
        self._schedulers = schedulers
        self._current: dict[str, _SubmitStream] = {}
        self._all: set[_SubmitStream] = set()
        self._without: set[str] = set()

    async def attempt(
        self, address: str, request: service_pb2.SubmitJobRequest, seconds: float
    ) -> service_pb2.SubmitJobResponse:
        """One attempt at SubmitJob. Raises TelecineError as the unary call would."""
        now = asyncio.get_running_loop().time
        deadline = now() + seconds
        if address not in self._without:
            try:
                return await self._by_stream(address, request, seconds)
            except _StreamRefusedError as refused:
                if isinstance(refused.cause, Unimplemented):
                    self._without.add(address)
        # The single call says what is wrong with this one submission, if anything is.
        return await self._schedulers.unary(address, "SubmitJob", request, max(deadline - now(), 0))

    async def _by_stream(
        self, address: str, request: service_pb2.SubmitJobRequest, seconds: float
    ) -> service_pb2.SubmitJobResponse:
        stream = self._stream(address)
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return await stream.submit(request)
        except TimeoutError as late:
            if not limit.expired():
                raise
            # The stream may hang for good: the next submission opens another, those in this one may still be answered.
            if self._current.get(address) is stream:
                del self._current[address]
            stream.retire()
            raise error(grpc.StatusCode.DEADLINE_EXCEEDED, "no answer came on the stream of submissions") from late

    def _stream(self, address: str) -> _SubmitStream:
        stub = self._schedulers.stub(address)
        stream = self._current.get(address)
        if stream is None or stream.over:
            self._all = {each for each in self._all if not each.over}
            stream = self._current[address] = _SubmitStream(stub, self._schedulers)
            self._all.add(stream)
        return stream

    async def close(self) -> None:
        """End the streams; whoever still waits is told that the client was closed."""
        await asyncio.gather(*(stream.close() for stream in self._all))


class _StreamRefusedError(Exception):
    """The scheduler ended the stream with an answer, not a break."""

    def __init__(self, cause: TelecineError) -> None:
        super().__init__(cause.message)
        self.cause = cause


class _SubmitStream:
    """One stream; it owns a task that reads and one that writes, and ends both with itself."""

    def __init__(self, stub: SchedulerServiceAsyncStub, schedulers: Schedulers) -> None:
        self.over = False
        self._schedulers = schedulers
        self._call = stub.SubmitJobs(metadata=schedulers.metadata())
        self._waiting: deque[tuple[service_pb2.SubmitJobRequest, Answer]] = deque()
        self._sent: dict[int, list[Answer]] = {}
        self._sequence = 0
        self._callers = 0
        self._retired = False
        self._wake = asyncio.Event()
        self._running = asyncio.create_task(self._run())

    async def submit(self, request: service_pb2.SubmitJobRequest) -> service_pb2.SubmitJobResponse:
        """Send it with the next message. Raises TelecineError, or _StreamRefusedError when it has to go by another way."""
        answer: Answer = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        self._wake.set()
        self._callers += 1
        try:
            return await answer
        finally:
            self._callers -= 1
            self._end_when_retired()

    def retire(self) -> None:
        """End once nobody waits for an answer any more."""
        self._retired = True
        self._end_when_retired()

    async def close(self) -> None:
        """End at once."""
        if self._running.done():
            return
        self._call.cancel()
        await asyncio.wait([self._running])

    def _end_when_retired(self) -> None:
        if self._retired and not self._callers:
            self._call.cancel()

    async def _run(self) -> None:
        writing = asyncio.create_task(self._write())
        ended = error(grpc.StatusCode.INTERNAL, "the stream of submissions could not be read")
        try:
            with self._schedulers.translation():
                async for response in self._call:
                    self._take(response)
            ended = error(grpc.StatusCode.UNAVAILABLE, "the scheduler ended the stream of submissions")
        except TelecineError as broken:
            ended = broken
        finally:
            self.over = True
            self._call.cancel()
            writing.cancel()
            await asyncio.wait([writing])
            self._fail(ended)

    async def _write(self) -> None:
        try:
            while await self._wake.wait():
                self._wake.clear()
                while self._waiting:
                    await self._write_one()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            # The stream is over; the reader hears why. (Not always: a write too late makes gRPC say INTERNAL, whatever the
            # scheduler had said, grpc/grpc#36066. INTERNAL is made up for by single calls, which hear it.)
            return

    async def _write_one(self) -> None:
        # Whoever was cancelled before the send wants no job any more.
        message = [(request, answer) for request, answer in next_message(self._waiting) if not answer.done()]
        if not message:
            return
        self._sequence += 1
        self._sent[self._sequence] = [answer for _, answer in message]
        requests = [request for request, _ in message]
        await self._call.write(service_pb2.SubmitJobsRequest(sequence=self._sequence, requests=requests))

    def _take(self, response: service_pb2.SubmitJobsResponse) -> None:
        answers = self._sent.get(response.sequence, [])
        given_all = outcomes(response, len(answers))
        # Only now: those of a message that is answered wrongly still have to be told.
        self._sent.pop(response.sequence, None)
        for answer, given in zip(answers, given_all, strict=True):
            if answer.done():
                continue
            if isinstance(given, TelecineError):
                answer.set_exception(given)
            else:
                answer.set_result(given)

    def _fail(self, ended: TelecineError) -> None:
        """Tell everybody who waits; each gets an exception of their own, because each raises it."""
        pending = [answer for answers in self._sent.values() for answer in answers]
        pending += [answer for _, answer in self._waiting]
        for answer in pending:
            if answer.done():
                continue
            if isinstance(ended, Unavailable):
                answer.set_exception(Unavailable(ended.message, code=ended.code, details=ended.details))
            else:
                answer.set_exception(_StreamRefusedError(ended))
