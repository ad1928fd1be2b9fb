"""What every call that submits has in common: from a request to a submission, and from an admitted job to its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from google.protobuf.message import DecodeError, Message

from telecine.v1 import scheduler_service_pb2
from telecine_scheduler.domain.errors import InvalidRequest, Violation
from telecine_scheduler.domain.submission import Retention, Submission
from telecine_scheduler.rpc.answers import Answers
from telecine_scheduler.rpc.identifiers import new_job_id
from telecine_scheduler.rpc.names import name_of
from telecine_scheduler.rpc.specs import to_submission
from telecine_scheduler.rpc.validation import Validation
from telecine_scheduler.service.submission import Admitted, Submitting

pb = scheduler_service_pb2

MAX_ITEMS = 500
MAX_BYTES = 4 * 1024 * 1024
# Others get their turn after so long.
TURN_SECONDS = 0.005


class Intake:
    """Converts. *kept* is how long records are kept where a spec says nothing of it."""

    def __init__(self, submitting: Submitting, answers: Answers, validation: Validation, kept: Retention) -> None:
        self.submitting = submitting
        self.validation = validation
        self._answers = answers
        self._kept = kept

    def checked(self, request: pb.SubmitJobRequest) -> Submission:
        """Raises InvalidRequest and NotSupported."""
        self.validation.check_submission(request)
        return self.converted(request)

    def converted(self, request: pb.SubmitJobRequest) -> Submission:
        """The submission of a request that was checked."""
        return to_submission(name_of(request.tenant, request.job_id or new_job_id()), request.spec, self._kept)

    async def would(self, submissions: Sequence[Submission]) -> list[pb.SubmitJobResponse]:
        """What submitting would answer. Raises BatchErrors where it would be refused."""
        existing = await self.submitting.check(submissions)
        return [
            pb.SubmitJobResponse(job=await self._answers.draft(submission))
            if job is None
            else pb.SubmitJobResponse(job=await self._answers.job(job), duplicate=True)
            for job, submission in zip(existing, submissions, strict=True)
        ]

    async def responses(self, admitted: Sequence[Admitted]) -> list[pb.SubmitJobResponse]:
        """The answers for jobs that were submitted."""
        jobs = await self._answers.jobs([each.job for each in admitted])
        return [pb.SubmitJobResponse(job=job, duplicate=each.existed) for job, each in zip(jobs, admitted, strict=True)]

    async def each(self, admitted: Sequence[Admitted]) -> list[pb.SubmitJobResponse | DecodeError]:
        """The same, each for itself: where what is stored of one cannot be parsed, why."""
        jobs = await self._answers.each([each.job for each in admitted])
        return [
            job if isinstance(job, DecodeError) else pb.SubmitJobResponse(job=job, duplicate=each.existed)
            for job, each in zip(jobs, admitted, strict=True)
        ]


class Turns:
    """Work in pieces, during which others have to wait."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    async def piece(self) -> None:
        """Another one is done: let others have their turn where it was long enough."""
        if time.monotonic() - self._began >= TURN_SECONDS:
            await asyncio.sleep(0)
            self._began = time.monotonic()


def check_bounds(message: Message, items: int) -> None:
    """Raises InvalidRequest for a message of more items or bytes than one may have, or of none."""
    size = message.ByteSize()
    if size > MAX_BYTES:
        description = f"have {size} bytes with all that is around them; at most {MAX_BYTES} are allowed"
    elif not 1 <= items <= MAX_ITEMS:
        description = f"are {items}; 1 to {MAX_ITEMS} are allowed"
    else:
        return
    raise InvalidRequest([Violation(field="requests", description=description)])
