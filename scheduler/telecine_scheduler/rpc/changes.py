"""The calls that change one job that is there: cancel, retry, delete."""

from __future__ import annotations

import asyncio

from telecine.v1 import media_pb2, scheduler_service_pb2
from telecine_scheduler.domain.errors import (
    GenerationMismatch,
    JobFinished,
    JobNotFinished,
    JobPublishing,
    JobSucceeded,
    StoreUnavailable,
    TelecineError,
)
from telecine_scheduler.domain.job import Job, JobName, JobState
from telecine_scheduler.domain.reply import CancelReply, DeleteReply, RetryReply
from telecine_scheduler.domain.submission import Retention
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.rpc.answers import Answers
from telecine_scheduler.rpc.names import name_of
from telecine_scheduler.rpc.specs import to_submission
from telecine_scheduler.rpc.validation import Validation
from telecine_scheduler.service.watching import no_such_job
from telecine_scheduler.store.routed_store import RoutedStore

pb = scheduler_service_pb2


class Changes:
    """Converts, calls, converts."""

    def __init__(self, store: RoutedStore, answers: Answers, validation: Validation, metrics: SchedulerMetrics) -> None:
        self._store = store
        self._answers = answers
        self._validation = validation
        self._metrics = metrics

    async def cancel_job(self, request: pb.CancelJobRequest) -> pb.CancelJobResponse:
        """Ask for a job's end."""
        self._validation.check(request)
        name = name_of(request.tenant, request.job_id)
        reply, job = await self._store.cancel(name, reason=request.reason)
        if isinstance(job, Job):
            return pb.CancelJobResponse(job=await self._answers.job(job))
        raise _not_cancelled(name, reply, job)

    async def retry_job(self, request: pb.RetryJobRequest) -> pb.RetryJobResponse:
        """Run a failed or cancelled job again."""
        self._validation.check(request)
        name = name_of(request.tenant, request.job_id)
        stored = await self._store.get(name, full=True)
        if stored is None:
            raise no_such_job(name)
        # Of what is made anew only the class counts, which may have been freed meanwhile.
        submission = to_submission(name, media_pb2.JobSpec.FromString(stored.spec), Retention())
        reply, job = await self._store.retry(submission, expected_generation=request.expected_generation)
        if job is None:
            raise no_such_job(name)
        if reply is not RetryReply.OK:
            raise _not_retried(job, reply, request.expected_generation)
        if job.generation > stored.generation:
            self._metrics.retried.inc()
        return pb.RetryJobResponse(job=await self._answers.job(job))

    async def delete_job(self, request: pb.DeleteJobRequest) -> pb.DeleteJobResponse:
        """Delete the record of a finished job."""
        self._validation.check(request)
        name = name_of(request.tenant, request.job_id)
        # The store says OK to a repeat as well, which deletes nothing. A record that cannot be read is there.
        [there] = await asyncio.gather(self._store.get(name, full=False), return_exceptions=True)
        if isinstance(there, StoreUnavailable):
            raise there
        reply = await self._store.delete(name)
        if reply is DeleteReply.NOT_FOUND:
            raise no_such_job(name)
        if reply is DeleteReply.NOT_FINISHED:
            job = await self._store.get(name, full=False)
            if job is not None and job.state.final:
                # It ended in between.
                return await self.delete_job(request)
            raise no_such_job(name) if job is None else _not_deleted(job)
        if there is not None:
            self._metrics.deleted.inc()
        return pb.DeleteJobResponse()


def _not_cancelled(name: JobName, reply: CancelReply, state: JobState | None) -> TelecineError:
    if reply in {CancelReply.NOT_FOUND, CancelReply.OK}:
        return no_such_job(name)
    if reply is CancelReply.PUBLISHING or state is None:
        return JobPublishing(f"the files of job {name} are being published just now; it ends within seconds")
    ended = state.public.name
    return JobFinished(f"job {name} is {ended} already; there is nothing to cancel", metadata={"state": ended})


def _not_deleted(job: Job) -> JobNotFinished:
    state = job.state.public.name
    return JobNotFinished(
        f"job {job.name} is {state}; cancel it first, and delete it when it has ended", metadata={"state": state}
    )


def _not_retried(job: Job, reply: RetryReply, expected: int) -> TelecineError:
    if reply is RetryReply.SUCCEEDED:
        return JobSucceeded(f"job {job.name} has succeeded; there is nothing to retry, submit it with another job_id")
    if reply is RetryReply.GENERATION_MISMATCH:
        return GenerationMismatch(
            f"job {job.name} is at generation {job.generation}, not at {expected}; look at it again",
            metadata={"generation": str(job.generation)},
        )
    state = job.state.public.name
    return JobNotFinished(
        f"job {job.name} is {state}; only a FAILED or CANCELLED job can be retried", metadata={"state": state}
    )
