"""Streams that live long: they are moved now and then, and pings are no offence."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import grpc
import pytest

from support.running_scheduler import Running, ScriptedWorker
from telecine.v1 import job_pb2, scheduler_service_pb2_grpc
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.rpc import conversation

# Far more often than any client of ours, and so many that a server with gRPC's own rules sends it away.
PING_MILLISECONDS = 200
PINGS = 15
OPTIONS = [
    ("grpc.keepalive_time_ms", PING_MILLISECONDS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.use_local_subchannel_pool", 1),
]


async def test_an_old_stream_is_asked_to_move(scheduler: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """By our own message, with a random delay, and not by gRPC's connection age, which would cut it."""
    monkeypatch.setattr(conversation, "MAX_AGE", timedelta(milliseconds=100))
    async with ScriptedWorker(scheduler.address) as worker:
        await worker.welcome()
        message = await worker.read()

    assert message.HasField("go_away")
    assert timedelta() <= message.go_away.reconnect_after.ToTimedelta() <= timedelta(seconds=2)


async def test_pings_are_no_offence(scheduler: Running) -> None:
    """A watch on which nothing happens but pings is still there after many of them, and tells the end."""
    await scheduler.submit()
    async with grpc.aio.insecure_channel(scheduler.address, options=OPTIONS) as channel:
        watch = scheduler_service_pb2_grpc.SchedulerServiceStub(channel).WatchJob(pb.WatchJobRequest(job_id="job"))
        first = await watch.read()
        second = asyncio.create_task(watch.read())
        # That nothing happens takes its time.
        await asyncio.wait({second}, timeout=PINGS * PING_MILLISECONDS / 1000)
        assert not second.done()
        await scheduler.jobs.CancelJob(pb.CancelJobRequest(job_id="job"))
        async with asyncio.timeout(10):
            last = await second

    assert [job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_CANCELLED] == [first.job.state, last.job.state]
