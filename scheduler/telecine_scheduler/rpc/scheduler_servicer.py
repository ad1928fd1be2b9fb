"""SchedulerService: what callers use. Each call is with its kind."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

from telecine.v1 import scheduler_service_pb2, scheduler_service_pb2_grpc
from telecine_scheduler.rpc.changes import Changes
from telecine_scheduler.rpc.queries import Queries
from telecine_scheduler.rpc.submission_stream import SubmissionStream
from telecine_scheduler.rpc.submissions import Submissions
from telecine_scheduler.rpc.watch_calls import WatchCalls

pb = scheduler_service_pb2
Context = grpc.aio.ServicerContext[Any, Any]


class SchedulerServicer(scheduler_service_pb2_grpc.SchedulerServiceServicer):
    """The calls of the contract, by name."""

    def __init__(
        self,
        submissions: Submissions,
        submission_stream: SubmissionStream,
        changes: Changes,
        queries: Queries,
        watch_calls: WatchCalls,
    ) -> None:
        self._submissions = submissions
        self._submission_stream = submission_stream
        self._changes = changes
        self._queries = queries
        self._watch_calls = watch_calls

    def stop(self) -> None:
        """End the open streams: this scheduler stops."""
        self._watch_calls.stop()
        self._submission_stream.stop()

    async def SubmitJob(self, request: pb.SubmitJobRequest, context: Context) -> pb.SubmitJobResponse:
        """Accept a job."""
        return await self._submissions.submit_job(request)

    async def BatchSubmitJobs(self, request: pb.BatchSubmitJobsRequest, context: Context) -> pb.BatchSubmitJobsResponse:
        """Accept jobs, all or none."""
        return await self._submissions.batch_submit_jobs(request)

    async def SubmitJobs(
        self, request_iterator: AsyncIterator[pb.SubmitJobsRequest], context: Context
    ) -> AsyncIterator[pb.SubmitJobsResponse]:
        """Accept jobs, each on its own."""
        async with contextlib.aclosing(self._submission_stream.submit_jobs(request_iterator, context)) as responses:
            async for response in responses:
                yield response

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        """One job as it is now."""
        return await self._queries.get_job(request)

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        """A page of a tenant's jobs."""
        return await self._queries.list_jobs(request)

    async def CancelJob(self, request: pb.CancelJobRequest, context: Context) -> pb.CancelJobResponse:
        """Ask for a job's end."""
        return await self._changes.cancel_job(request)

    async def RetryJob(self, request: pb.RetryJobRequest, context: Context) -> pb.RetryJobResponse:
        """Run a failed or cancelled job again."""
        return await self._changes.retry_job(request)

    async def DeleteJob(self, request: pb.DeleteJobRequest, context: Context) -> pb.DeleteJobResponse:
        """Delete a finished job's record."""
        return await self._changes.delete_job(request)

    async def WatchJob(self, request: pb.WatchJobRequest, context: Context) -> AsyncIterator[pb.WatchJobResponse]:
        """Stream a job's changes to its end."""
        async with contextlib.aclosing(self._watch_calls.watch_job(request, context)) as responses:
            async for response in responses:
                yield response

    async def WatchJobs(
        self, request_iterator: AsyncIterator[pb.WatchJobsRequest], context: Context
    ) -> AsyncIterator[pb.WatchJobsResponse]:
        """Stream the changes of many jobs."""
        async with contextlib.aclosing(self._watch_calls.watch_jobs(request_iterator, context)) as responses:
            async for response in responses:
                yield response

    async def GetQueueStats(self, request: pb.GetQueueStatsRequest, context: Context) -> pb.GetQueueStatsResponse:
        """How full a tenant's queue is."""
        return await self._queries.get_queue_stats(request)

    async def ListWorkers(self, request: pb.ListWorkersRequest, context: Context) -> pb.ListWorkersResponse:
        """A page of the connected workers."""
        return await self._queries.list_workers(request)
