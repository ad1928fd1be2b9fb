"""The calls that stream changes: of one job, and of many."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from telecine.v1 import job_pb2, scheduler_service_pb2
from telecine_scheduler.domain.errors import InvalidRequest, Violation
from telecine_scheduler.rpc.answers import Answers
from telecine_scheduler.rpc.errors import to_message
from telecine_scheduler.rpc.names import name_of, tenant_of
from telecine_scheduler.rpc.page_tokens import binding, not_ours, opened, sealed
from telecine_scheduler.rpc.validation import Validation
from telecine_scheduler.service.broken_records import BrokenRecords
from telecine_scheduler.service.watch_set import MOST_ADDED, BadPosition, Batch, Filter, WatchSet
from telecine_scheduler.service.watch_sets import WatchSets
from telecine_scheduler.service.watching import Watching, stopping

pb = scheduler_service_pb2
Context = grpc.aio.ServicerContext[Any, Any]

MAX_RESPONSE_BYTES = 1024 * 1024
# For the first message of a stream.
START_SECONDS = 10.0


class WatchCalls:
    """Converts, follows, converts."""

    def __init__(
        self, watching: Watching, watch_sets: WatchSets, answers: Answers, validation: Validation, broken: BrokenRecords
    ) -> None:
        self._broken = broken
        # Of streams that have not begun.
        self._patience: set[asyncio.Timeout] = set()
        self._watching = watching
        self._watch_sets = watch_sets
        self._answers = answers
        self._validation = validation

    def stop(self) -> None:
        """This scheduler stops: end every stream as UNAVAILABLE, those that wait for their first message as well."""
        self._watching.stop()
        self._watch_sets.stop()
        now = asyncio.get_running_loop().time()
        for patience in self._patience:
            patience.reschedule(now)

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
                yield pb.WatchJobResponse(job=await self._answers.job(job, full=full, end=full or job.state.final))
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
        first = await self._first(requests)
        if first is None or not first.HasField("start"):
            description = f"must be the first message of the stream, and come within {START_SECONDS:g} s"
            raise InvalidRequest([Violation(field="start", description=description)])
        self._validation.check(first)
        if first.start.all and first.start.labels:
            description = "go with `all` unset: either all jobs are followed, or those with the labels"
            raise InvalidRequest([Violation(field="start.labels", description=description)])
        return first.start

    async def _first(self, requests: AsyncIterator[pb.WatchJobsRequest]) -> pb.WatchJobsRequest | None:
        """None where it does not come. Raises StoreUnavailable where this scheduler stops."""
        if self._watching.stopped:
            raise stopping()
        patience = asyncio.timeout(START_SECONDS)
        try:
            async with patience:
                self._patience.add(patience)
                return await anext(aiter(requests), None)
        except TimeoutError:
            if self._watching.stopped:
                raise stopping() from None
            return None
        finally:
            self._patience.discard(patience)

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
        jobs: list[job_pb2.Job] = []
        for job, message in zip(batch.jobs, await self._answers.each(batch.jobs, ends=True), strict=True):
            if isinstance(message, DecodeError):
                self._broken.met(job.name, message)
            else:
                jobs.append(message)
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
