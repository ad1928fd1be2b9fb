"""A real gRPC server whose answers each test writes down before."""

from __future__ import annotations

import asyncio
from collections import deque
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


class ScriptedScheduler(scheduler_service_pb2_grpc.SchedulerServiceServicer):
    """Answers each call with what was written down for it; the last answer stands for all that follow."""

    def __init__(self) -> None:
        self.address = ""
        self.requests: list[Any] = []
        self.times: list[float] = []
        self.watched = asyncio.Event()
        self._answers: dict[str, deque[Any]] = {}

    def script(self, call: str, *answers: Answer | Stream) -> None:
        """What the next calls of this name get."""
        self._answers[call] = deque(answers)

    def _next(self, call: str, request: object) -> Any:
        self.requests.append(request)
        self.times.append(asyncio.get_running_loop().time())
        answers = self._answers[call]
        return answers.popleft() if len(answers) > 1 else answers[0]

    async def SubmitJob(self, request: service_pb2.SubmitJobRequest, context: Any) -> Any:  # noqa: N802 - gRPC's name
        """As scripted."""
        return await self._next("SubmitJob", request)(request, context)

    async def GetJob(self, request: service_pb2.GetJobRequest, context: Any) -> Any:  # noqa: N802
        """As scripted."""
        return await self._next("GetJob", request)(request, context)

    async def CancelJob(self, request: service_pb2.CancelJobRequest, context: Any) -> Any:  # noqa: N802
        """As scripted."""
        return await self._next("CancelJob", request)(request, context)

    async def WatchJob(self, request: service_pb2.WatchJobRequest, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """As scripted."""
        async for response in self._next("WatchJob", request)(request, context):
            yield response
            self.watched.set()


@asynccontextmanager
async def serving(script: ScriptedScheduler, address: str = "127.0.0.1:0") -> AsyncIterator[grpc.aio.Server]:
    """A server for *script*; its address is written into it."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    scheduler_service_pb2_grpc.add_SchedulerServiceServicer_to_server(script, server)
    port = server.add_insecure_port(address)
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
    for name in ("TELECINE_ADDRESS", "TELECINE_TENANT"):
        monkeypatch.delenv(name, raising=False)
