"""A real gRPC server whose answers each test writes down before."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from telecine.v1 import job_pb2, media_pb2, scheduler_service_pb2_grpc
from telecine.v1 import scheduler_service_pb2 as service_pb2

Context = grpc.aio.ServicerContext[Any, Any]
Answer = Callable[[Any, Context], Awaitable[Any]]
Stream = Callable[[Any, Context], AsyncIterator[Any]]

SPEC = media_pb2.JobSpec(
    inputs={"source": media_pb2.Input(uri="file:///media/film.mkv")},
    output=media_pb2.Output(uri="file:///media/out"),
    task=media_pb2.Task(
        transcode=media_pb2.TranscodeTask(input="source", path="film.mp4", video=media_pb2.Video(codec="h264"))
    ),
)


def job(revision: int, state: job_pb2.JobState.ValueType, *, job_id: str = "j1", **fields: Any) -> job_pb2.Job:
    """A job without its spec, as the later messages of a watch have it."""
    return job_pb2.Job(tenant="default", job_id=job_id, revision=revision, state=state, **fields)


def detailed(
    code: grpc.StatusCode,
    message: str,
    *,
    reason: str = "",
    metadata: dict[str, str] | None = None,
    violations: dict[str, str] | None = None,
    retry_after: timedelta | None = None,
) -> grpc.Status:
    """A status as our scheduler gives it."""
    details: list[Message] = []
    if reason:
        details.append(error_details_pb2.ErrorInfo(reason=reason, domain="telecine", metadata=metadata))
    if violations:
        fields = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
            for field, description in violations.items()
        ]
        details.append(error_details_pb2.BadRequest(field_violations=fields))
    if retry_after is not None:
        delay = Duration()
        delay.FromTimedelta(retry_after)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    packed = []
    for detail in details:
        part = any_pb2.Any()
        part.Pack(detail)
        packed.append(part)
    return rpc_status.to_status(status_pb2.Status(code=code.value[0], message=message, details=packed))


def refuse(status: grpc.Status) -> Answer:
    """An answer that is *status*."""

    async def answer(request: object, context: Context) -> None:
        await context.abort_with_status(status)

    return answer


def away(message: str = "the scheduler stops") -> Answer:
    """An answer as of a scheduler that drains."""

    async def answer(request: object, context: Context) -> None:
        await context.abort(grpc.StatusCode.UNAVAILABLE, message)

    return answer


def stream(*jobs: job_pb2.Job, then: grpc.Status | None = None, hang: bool = False) -> Stream:
    """A watch that sends *jobs* and then ends with OK or *then*, or says nothing more."""

    async def answer(request: object, context: Context) -> AsyncIterator[service_pb2.WatchJobResponse]:
        await context.send_initial_metadata(())
        for one in jobs:
            yield service_pb2.WatchJobResponse(job=one)
        if hang:
            await asyncio.Event().wait()
        if then is not None:
            await context.abort_with_status(then)

    return answer


def unimplemented(messages: int) -> Any:
    """A stream as of an older scheduler, once it has read so many messages.

    A write that comes after the end makes grpc.aio forget how the stream ended (grpc/grpc#36066), so a test that counts has
    to read all that the client has to say.
    """

    async def answer(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        for _ in range(messages):
            await anext(requests)
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not there yet")
        yield

    return answer


class ScriptedScheduler(scheduler_service_pb2_grpc.SchedulerServiceServicer):
    """Answers each call with what was written down for it; the last answer stands for all that follow.

    Of a stream with many requests, what is written down is given an iterator of them.
    """

    def __init__(self) -> None:
        self.address = ""
        self.requests: list[Any] = []
        self.times: list[float] = []
        self.watched = asyncio.Event()
        self.opened: Counter[str] = Counter()
        """How many calls of a name have come."""
        self._news = asyncio.Event()
        self._answers: dict[str, deque[Any]] = {}

    def script(self, call: str, *answers: Answer | Stream) -> None:
        """What the next calls of this name get."""
        self._answers[call] = deque(answers)

    def _next(self, call: str, request: object) -> Any:
        self._note(call)
        self.requests.append(request)
        self.times.append(asyncio.get_running_loop().time())
        answers = self._answers[call]
        return answers.popleft() if len(answers) > 1 else answers[0]

    def _note(self, call: str) -> None:
        self.opened[call] += 1
        self._news.set()

    async def SubmitJob(self, request: service_pb2.SubmitJobRequest, context: Any) -> Any:  # noqa: N802 - gRPC's name
        """As scripted."""
        return await self._next("SubmitJob", request)(request, context)

    async def BatchSubmitJobs(self, request: service_pb2.BatchSubmitJobsRequest, context: Any) -> Any:  # noqa: N802
        """As scripted."""
        return await self._next("BatchSubmitJobs", request)(request, context)

    async def GetJob(self, request: service_pb2.GetJobRequest, context: Any) -> Any:  # noqa: N802
        """As scripted."""
        return await self._next("GetJob", request)(request, context)

    async def ListJobs(self, request: service_pb2.ListJobsRequest, context: Any) -> Any:  # noqa: N802
        """As scripted."""
        return await self._next("ListJobs", request)(request, context)

    async def CancelJob(self, request: service_pb2.CancelJobRequest, context: Any) -> Any:  # noqa: N802
        """As scripted."""
        return await self._next("CancelJob", request)(request, context)

    async def RetryJob(self, request: service_pb2.RetryJobRequest, context: Any) -> Any:  # noqa: N802
        """As scripted."""
        return await self._next("RetryJob", request)(request, context)

    async def DeleteJob(self, request: service_pb2.DeleteJobRequest, context: Any) -> Any:  # noqa: N802
        """As scripted."""
        return await self._next("DeleteJob", request)(request, context)

    async def GetQueueStats(self, request: service_pb2.GetQueueStatsRequest, context: Any) -> Any:  # noqa: N802
        """As scripted."""
        return await self._next("GetQueueStats", request)(request, context)

    async def ListWorkers(self, request: service_pb2.ListWorkersRequest, context: Any) -> Any:  # noqa: N802
        """As scripted."""
        return await self._next("ListWorkers", request)(request, context)

    async def WatchJob(self, request: service_pb2.WatchJobRequest, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """As scripted."""
        async for response in self._next("WatchJob", request)(request, context):
            yield response
            self.watched.set()

    async def SubmitJobs(  # noqa: N802
        self, request_iterator: AsyncIterator[service_pb2.SubmitJobsRequest], context: Any
    ) -> AsyncIterator[Any]:
        """As scripted; UNIMPLEMENTED, as of an older scheduler, where nothing is."""
        async for response in self._stream("SubmitJobs", request_iterator, context):
            yield response

    async def WatchJobs(  # noqa: N802
        self, request_iterator: AsyncIterator[service_pb2.WatchJobsRequest], context: Any
    ) -> AsyncIterator[Any]:
        """As scripted; UNIMPLEMENTED, as of an older scheduler, where nothing is."""
        async for response in self._stream("WatchJobs", request_iterator, context):
            yield response

    async def reached(self, calls: dict[str, int]) -> None:
        """Until so many calls of each name have come."""
        async with asyncio.timeout(10):
            while Counter(calls) - self.opened:
                self._news.clear()
                await self._news.wait()

    async def _stream(self, call: str, messages: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        self._note(call)
        if call not in self._answers:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{call} is not there yet")
        answers = self._answers[call]
        stream = answers.popleft() if len(answers) > 1 else answers[0]
        async for response in stream(self._noted(messages), context):
            yield response

    async def _noted(self, messages: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The same messages, each written down as it is read."""
        async for message in messages:
            self.requests.append(message)
            yield message


@asynccontextmanager
async def serving(
    script: ScriptedScheduler, address: str = "127.0.0.1:0", *, credentials: grpc.ServerCredentials | None = None
) -> AsyncIterator[grpc.aio.Server]:
    """A server for *script*; its address is written into it."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    scheduler_service_pb2_grpc.add_SchedulerServiceServicer_to_server(script, server)
    port = server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
    await server.start()
    script.address = f"127.0.0.1:{port}"
    try:
        yield server
    finally:
        await server.stop(None)


@pytest.fixture
async def scheduler() -> AsyncIterator[ScriptedScheduler]:
    """A running scripted scheduler."""
    script = ScriptedScheduler()
    async with serving(script):
        yield script


@pytest.fixture(autouse=True)
def no_telecine_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of the machine must not reach a test."""
    for name in ("ADDRESS", "TENANT", "TLS", "CA_FILE", "CERT_FILE", "KEY_FILE", "TOKEN", "TOKEN_FILE"):
        monkeypatch.delenv(f"TELECINE_{name}", raising=False)
