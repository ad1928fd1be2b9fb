"""The calls that stream changes: of one job, and of many."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import grpc

from telecine.v1 import job_pb2, scheduler_service_pb2
from telecine_scheduler.domain.errors import InvalidRequest, Violation
from telecine_scheduler.rpc.answers import Answers
from telecine_scheduler.rpc.errors import to_message
from telecine_scheduler.rpc.names import name_of, tenant_of
from telecine_scheduler.rpc.page_tokens import binding, not_ours, opened, sealed
from telecine_scheduler.rpc.validation import Validation
from telecine_scheduler.service.watch_set import MOST_ADDED, BadPosition, Batch, Filter, WatchSet, WatchSets
from telecine_scheduler.service.watching import Watching

pb = scheduler_service_pb2
Context = grpc.aio.ServicerContext[Any, Any]

MAX_RESPONSE_BYTES = 1024 * 1024


class WatchCalls:
    """Converts, follows, converts."""

    def __init__(self, watching: Watching, watch_sets: WatchSets, answers: Answers, validation: Validation) -> None:
        self._watching = watching
        self._watch_sets = watch_sets
        self._answers = answers
        self._validation = validation

    async def watch_job(
        self, request: pb.WatchJobRequest, context: Context
    ) -> AsyncGenerator[pb.WatchJobResponse, None]:
        """Stream a job's changes to its end."""
        self._validation.check(request)
        name = name_of(request.tenant, request.job_id)
        # At once, so that the caller knows the watch is open before there is anything to tell.
        await context.send_initial_metadata(())
        always_full = request.view == job_pb2.JOB_VIEW_FULL
        full = request.view != job_pb2.JOB_VIEW_BASIC
        async with contextlib.aclosing(
            self._watching.watch(name, request.after_revision, always_full=always_full)
        ) as snapshots:
            async for job in snapshots:
                yield pb.WatchJobResponse(
                    job=await self._answers.job(job, full=full, artifacts=full or job.state.final)
                )
                full = always_full

    async def watch_jobs(
        self, requests: AsyncIterator[pb.WatchJobsRequest], context: Context
    ) -> AsyncGenerator[pb.WatchJobsResponse, None]:
        """Stream the changes of many jobs."""
        await context.send_initial_metadata(())
        start = await self._start(requests)
        tenant = tenant_of(start.tenant)
        bound_to = binding("watch", tenant)
        followed = Filter(labels=dict(start.labels)) if start.all or start.labels else None
        position = opened("start.resume_token", start.resume_token, bound_to) if start.resume_token else ""
        with self._watch_sets.open(tenant, followed=followed, position=position) as watch_set:
            reading = asyncio.create_task(self._read(requests, watch_set), name="watch requests")
            reading.add_done_callback(lambda task: _failed(task, watch_set))
            try:
                async with contextlib.aclosing(watch_set.batches()) as batches:
                    async for batch in batches:
                        for response in await self._responses(batch, bound_to):
                            yield response
            except BadPosition:
                raise not_ours("start.resume_token") from None
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def _start(self, requests: AsyncIterator[pb.WatchJobsRequest]) -> pb.WatchJobsRequest.Start:
        first = await anext(aiter(requests), None)
        if first is None or not first.HasField("start"):
            raise InvalidRequest([Violation(field="start", description="must be the first message of the stream")])
        self._validation.check(first)
        return first.start

    async def _read(self, requests: AsyncIterator[pb.WatchJobsRequest], watch_set: WatchSet) -> None:
        async for request in requests:
            self._validation.check(request)
            if request.HasField("start"):
                raise InvalidRequest([Violation(field="start", description="may only be the first message")])
            for job in request.add.jobs:
                if not watch_set.add(job.job_id, job.after_revision):
                    raise InvalidRequest(
                        [
                            Violation(
                                field="add.jobs", description=f"a stream follows at most {MOST_ADDED} jobs at a time"
                            )
                        ]
                    )
            for job_id in request.remove.job_ids:
                watch_set.remove(job_id)
        watch_set.half_close()

    async def _responses(self, batch: Batch, bound_to: str) -> list[pb.WatchJobsResponse]:
        """One response, or as many as keep each within its size; only the last resumes after the whole batch."""
        jobs = await self._answers.ended(batch.jobs)
        groups = list(_by_size(jobs)) or [[]]
        before = sealed(batch.before, bound_to)
        responses = [pb.WatchJobsResponse(jobs=group, resume_token=before) for group in groups]
        responses[0].reset = batch.reset
        responses[-1].resume_token = sealed(batch.position, bound_to)
        for job_id, error in batch.errors.items():
            responses[-1].errors.add(job_id=job_id, error=to_message(error))
        return responses


def _failed(task: asyncio.Task[None], watch_set: WatchSet) -> None:
    """Whatever ended the reading ends the stream."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, Exception):
        watch_set.fail(error)


def _by_size(jobs: list[job_pb2.Job]) -> Iterator[list[job_pb2.Job]]:
    group: list[job_pb2.Job] = []
    size = 0
    for job in jobs:
        more = job.ByteSize()
        if group and size + more > MAX_RESPONSE_BYTES:
            yield group
            group, size = [], 0
        group.append(job)
        size += more
    if group:
        yield group
