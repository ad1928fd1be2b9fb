"""A scheduler that the test plays, over grpc_testing's channel and clock, and a Client that talks to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from datetime import timedelta
from typing import Any, TypeVar

import grpc
import grpc_testing
import pytest
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from telecine.v1 import job_pb2, media_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_client import Client
from telecine_client.rpc_errors import DETAILS_KEY

SERVICE = pb.DESCRIPTOR.services_by_name["SchedulerService"]
SPEC = media_pb2.JobSpec(task=media_pb2.Task(probe=media_pb2.ProbeTask(input="a")))
QUEUED, RUNNING, SUCCEEDED = job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_SUCCEEDED
OK, UNAVAILABLE = grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE
SECONDS = 10

T = TypeVar("T")


def job(revision: int, state: job_pb2.JobState.ValueType, job_id: str = "j1") -> job_pb2.Job:
    """A snapshot."""
    return job_pb2.Job(job_id=job_id, revision=revision, state=state)


def _begun(action: Callable[[], T]) -> Future[T]:
    """What it gives, in a thread of its own."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(action())
        except BaseException as failed:  # noqa: BLE001 - it is the result
            future.set_exception(failed)

    threading.Thread(target=run, daemon=True).start()
    return future


def soon(action: Callable[[], T]) -> T:
    """What it gives; what grpc_testing waits for, it waits for without end."""
    return _begun(action).result(SECONDS)


class Play:
    """The scheduler, played by the test, and a client in a thread of its own."""

    def __init__(self, *, real_time: bool = False) -> None:
        self.clock = grpc_testing.strict_real_time() if real_time else grpc_testing.strict_fake_time(0)
        self.channel = grpc_testing.channel(pb.DESCRIPTOR.services_by_name.values(), self.clock)
        clock = None if real_time else self.clock
        self.client = Client.over(self.channel, tenant="films", timeout=timedelta(seconds=30), clock=clock)

    def start(self, use: Callable[[Client], T]) -> Future[T]:
        """Begin it; its result has to be asked for."""
        return _begun(lambda: use(self.client))

    def unary(self, method: str) -> tuple[Any, Any]:
        """The next call of this name: its request and how to answer it."""
        _, request, call = soon(lambda: self.channel.take_unary_unary(SERVICE.methods_by_name[method]))
        return request, call

    def answer(self, method: str, response: Any, code: grpc.StatusCode = OK, trailers: Any = ()) -> Any:
        """Answer the next call of this name; its request."""
        request, call = self.unary(method)
        call.terminate(response, trailers, code, "" if code is OK else "the scheduler stops")
        return request

    def watch(self) -> tuple[pb.WatchJobRequest, Any]:
        """The next WatchJob."""
        _, request, call = soon(lambda: self.channel.take_unary_stream(SERVICE.methods_by_name["WatchJob"]))
        call.send_initial_metadata(())
        return request, call

    def stream(self, method: str) -> Any:
        """The next stream of this name."""
        _, call = soon(lambda: self.channel.take_stream_stream(SERVICE.methods_by_name[method]))
        call.send_initial_metadata(())
        return call


@pytest.fixture
def play() -> Iterator[Play]:
    play = Play()
    yield play
    play.client.close()


def retry_after(seconds: int) -> tuple[tuple[str, bytes], ...]:
    """Trailers of an error that asks for patience."""
    part = any_pb2.Any()
    part.Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=seconds)))
    return ((DETAILS_KEY, status_pb2.Status(details=[part]).SerializeToString()),)
