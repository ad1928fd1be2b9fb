"""SchedulerService: what callers use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NoReturn

import grpc

from telecine.v1 import job_pb2, scheduler_service_pb2, scheduler_service_pb2_grpc
from telecine_scheduler.domain.errors import JobFinished, JobNotFound, JobPublishing, NotSupported
from telecine_scheduler.domain.job import Job, JobName, JobState
from telecine_scheduler.rpc.convert import STATES, job_message
from telecine_scheduler.rpc.identifiers import new_job_id
from telecine_scheduler.rpc.specs import to_submission
from telecine_scheduler.rpc.validation import Validation
from telecine_scheduler.service.submission import Submitting
from telecine_scheduler.service.watching import Watching
from telecine_scheduler.store.job_store import CancelReply, JobStore

pb = scheduler_service_pb2
Context = grpc.aio.ServicerContext[Any, Any]

DEFAULT_TENANT = "default"


def _later(call: str) -> Any:
    """A handler that refuses *call*, whatever its shape."""

    async def refuse(_: object, _request: object, _context: Context) -> NoReturn:
        raise NotSupported(f"{call} is not there yet; there are SubmitJob, GetJob, CancelJob and WatchJob")

    return refuse


class SchedulerServicer(scheduler_service_pb2_grpc.SchedulerServiceServicer):
    """Converts, calls, converts."""

    def __init__(self, store: JobStore, submitting: Submitting, watching: Watching, validation: Validation) -> None:
        self._store = store
        self._submitting = submitting
        self._watching = watching
        self._validation = validation

    async def SubmitJob(self, request: pb.SubmitJobRequest, context: Context) -> pb.SubmitJobResponse:
        """Accept a job."""
        self._validation.check_spec(request, request.spec)
        if request.validate_only:
            raise NotSupported("validate_only is not there yet; leave it out")
        name = _name(request.tenant, request.job_id or new_job_id())
        job, existed = await self._submitting.submit(to_submission(name, request.spec))
        answer = job_message(job, full=False)
        return pb.SubmitJobResponse(job=answer, duplicate=existed)

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        """One job as it is now."""
        self._validation.check(request)
        name = _name(request.tenant, request.job_id)
        full = request.view != job_pb2.JOB_VIEW_BASIC
        job = await self._store.get(name, full=full)
        if job is None:
            raise _not_found(name)
        return pb.GetJobResponse(job=job_message(job, full=full))

    async def CancelJob(self, request: pb.CancelJobRequest, context: Context) -> pb.CancelJobResponse:
        """Ask for a job's end."""
        self._validation.check(request)
        name = _name(request.tenant, request.job_id)
        reply, job = await self._store.cancel(name, reason=request.reason)
        if isinstance(job, Job):
            return pb.CancelJobResponse(job=job_message(job, full=False))
        raise _not_cancelled(name, reply, job)

    async def WatchJob(self, request: pb.WatchJobRequest, context: Context) -> AsyncIterator[pb.WatchJobResponse]:
        """Stream a job's changes to its end."""
        self._validation.check(request)
        name = _name(request.tenant, request.job_id)
        # At once, so that the caller knows the watch is open before there is anything to tell.
        await context.send_initial_metadata(())
        always_full = request.view == job_pb2.JOB_VIEW_FULL
        full = request.view != job_pb2.JOB_VIEW_BASIC
        async for job in self._watching.watch(name, request.after_revision, always_full=always_full):
            yield pb.WatchJobResponse(job=job_message(job, full=full, artifacts=full or job.state.final))
            full = always_full

    # Calls of the contract that this version does not have say so, each by its name.
    BatchSubmitJobs = _later("BatchSubmitJobs")
    SubmitJobs = _later("SubmitJobs")
    ListJobs = _later("ListJobs")
    RetryJob = _later("RetryJob")
    DeleteJob = _later("DeleteJob")
    WatchJobs = _later("WatchJobs")
    GetQueueStats = _later("GetQueueStats")
    ListWorkers = _later("ListWorkers")


def _name(tenant: str, job_id: str) -> JobName:
    return JobName(tenant=tenant or DEFAULT_TENANT, job_id=job_id)


def _not_found(name: JobName) -> JobNotFound:
    return JobNotFound(f"there is no job {name}: it was never submitted, or its record has expired")


def _not_cancelled(name: JobName, reply: CancelReply, state: JobState | None) -> Exception:
    if reply is CancelReply.NOT_FOUND or reply is CancelReply.OK:
        return _not_found(name)
    if reply is CancelReply.PUBLISHING or state is None:
        return JobPublishing(f"the files of job {name} are being published just now; it ends within seconds")
    ended = job_pb2.JobState.Name(STATES[state]).removeprefix("JOB_STATE_")
    return JobFinished(f"job {name} is {ended} already; there is nothing to cancel", metadata={"state": ended})
