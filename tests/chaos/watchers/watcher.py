"""Who watches a job to its end over any number of broken streams, and notes what came."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc

from telecine.v1 import job_pb2, scheduler_service_pb2_grpc
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_client import AsyncClient

FINAL = {job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED}
LONGEST_PAUSE_SECONDS = 1.0
# CANCELLED: a scheduler that stops cut a stream whose connection was stalled.
BROKEN = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


@dataclass(slots=True, eq=False)
class Seen:
    """What one watcher was told. Times are of the wall's clock."""

    job_id: str
    wrong: list[str] = field(default_factory=list)
    snapshots: int = 0
    streams: int = 0
    revision: int = 0
    changes: dict[int, str] = field(default_factory=dict)
    finals: int = 0
    stream_began: float = 0.0
    final_came: float = 0.0

    def take(self, revision: int, changes: Sequence[tuple[int, str]], *, final: bool) -> None:
        """A snapshot. The end is told whatever was seen before, so only its revision may be one that is known."""
        self.snapshots += 1
        if revision <= self.revision and not (final and revision == self.revision):
            self.wrong.append(f"{self.job_id}: revision {revision} came after {self.revision}")
        if self.finals:
            self.wrong.append(f"{self.job_id}: a snapshot came after the end")
        self.revision = revision
        self.changes.update(changes)
        if final:
            self.finals += 1
            self.final_came = time.time()


class BareWatch:
    """WatchJob as the wire has it, resumed by this class: nothing between the scheduler's answers and what is noted."""

    def __init__(self, addresses: Sequence[str], tenant: str) -> None:
        self._tenant = tenant
        self._channels = [
            grpc.aio.insecure_channel(
                address,
                options=[
                    ("grpc.use_local_subchannel_pool", 1), ("grpc.keepalive_time_ms", 10_000),
                    ("grpc.keepalive_timeout_ms", 5_000), ("grpc.http2.ping_timeout_ms", 5_000),
                ],
            )
            for address in addresses
        ]  # fmt: skip

    async def close(self) -> None:
        for channel in self._channels:
            await channel.close()

    async def watch(self, seen: Seen) -> None:
        """To the end."""
        for channel in itertools.cycle(self._channels):
            seen.streams += 1
            seen.stream_began = time.time()
            request = pb.WatchJobRequest(
                tenant=self._tenant, job_id=seen.job_id, after_revision=seen.revision, view=job_pb2.JOB_VIEW_BASIC
            )
            try:
                async for response in scheduler_service_pb2_grpc.SchedulerServiceStub(channel).WatchJob(request):
                    job = response.job
                    changes = [(change.revision, job_pb2.JobState.Name(change.state)) for change in job.recent_changes]
                    seen.take(job.revision, changes, final=job.state in FINAL)
            except grpc.aio.AioRpcError as error:
                if error.code() not in BROKEN:
                    seen.wrong.append(f"{seen.job_id}: a watch ended with {error.code().name}: {error.details()}")
            if seen.finals:
                return
            await asyncio.sleep(random.uniform(0, LONGEST_PAUSE_SECONDS))


async def client_watch(client: AsyncClient, seen: Seen) -> None:
    """As programs watch: through the client, which resumes by itself."""
    seen.streams += 1
    seen.stream_began = time.time()
    async for job in client.watch(seen.job_id):
        changes = [(change.revision, f"JOB_STATE_{change.state.name}") for change in job.recent_changes]
        seen.take(job.revision, changes, final=job.state.final)
