"""Jobs as callers are told them: with why nobody could run those that are queued."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.message import DecodeError

from telecine.v1 import job_pb2
from telecine_scheduler.domain.job import Job, number_of
from telecine_scheduler.domain.submission import Submission
from telecine_scheduler.rpc.job_messages import draft_message, job_message
from telecine_scheduler.service.directory import WorkerDirectory


class Answers:
    """Makes messages of jobs."""

    def __init__(self, directory: WorkerDirectory) -> None:
        self._directory = directory

    async def job(self, job: Job, *, full: bool = False, end: bool | None = None) -> job_pb2.Job:
        """One job; see `job_message`."""
        [reason] = await self._directory.reasons_of([job])
        return job_message(job, full=full, end=end, blocked_reason=reason)

    async def draft(self, submission: Submission) -> job_pb2.Job:
        """The job that a submission would become."""
        reasons = await self._directory.blocked_reasons([submission.job_class])
        waits = submission.not_before > number_of(datetime.now(UTC))
        return draft_message(submission, waits=waits, blocked_reason=reasons[submission.job_class])

    async def jobs(self, jobs: Sequence[Job]) -> list[job_pb2.Job]:
        """Several at once, in the basic view."""
        reasons = await self._directory.reasons_of(jobs)
        return [job_message(job, full=False, blocked_reason=reason) for job, reason in zip(jobs, reasons, strict=True)]

    async def each(
        self, jobs: Sequence[Job], *, full: bool = False, ends: bool = False
    ) -> list[job_pb2.Job | DecodeError]:
        """The same, each for itself: where what is stored of one cannot be parsed, why. *ends*: final ones with their end."""
        reasons = await self._directory.reasons_of(jobs)
        messages: list[job_pb2.Job | DecodeError] = []
        for job, reason in zip(jobs, reasons, strict=True):
            end = full or (ends and job.state.final)
            try:
                messages.append(job_message(job, full=full, end=end, blocked_reason=reason))
            except DecodeError as error:
                messages.append(error)
        return messages
