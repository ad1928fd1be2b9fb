"""The call that submits jobs in messages, each job on its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from telecine.v1 import scheduler_service_pb2
from telecine_scheduler.domain.errors import TelecineError
from telecine_scheduler.domain.submission import Submission
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.rpc.errors import to_message
from telecine_scheduler.rpc.intake import TURN, Intake, check_bounds
from telecine_scheduler.service.submission import Admitted, BatchErrors

pb = scheduler_service_pb2
Context = grpc.aio.ServicerContext[Any, Any]
Answer = asyncio.Task[pb.SubmitJobsResponse]

# Messages of one stream that are being answered at once; more wait in the transport.
MAX_IN_FLIGHT = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """A message: what is to be sent, and what is answered already, by place."""

    sequence: int
    submissions: Mapping[int, Submission]
    answered: Mapping[int, pb.SubmitResult]


class SubmissionStream:
    """Several messages at once, answered in order, with bounds on how many."""

    def __init__(self, intake: Intake, metrics: SchedulerMetrics) -> None:
        self._intake = intake
        self._metrics = metrics

    async def submit_jobs(
        self, requests: AsyncIterator[pb.SubmitJobsRequest], context: Context
    ) -> AsyncGenerator[pb.SubmitJobsResponse, None]:
        """Answer until the caller has half-closed and everything is answered."""
        await context.send_initial_metadata(())
        room = asyncio.Semaphore(MAX_IN_FLIGHT)
        answers: asyncio.Queue[Answer | None] = asyncio.Queue()
        reading = asyncio.create_task(self._read(requests, room, answers), name="submissions")
        try:
            while (answer := await answers.get()) is not None:
                yield await answer
                # Who does not take his answers is not read any further.
                room.release()
            await reading
        finally:
            reading.cancel()
            left = [answers.get_nowait() for _ in range(answers.qsize())]
            await asyncio.gather(reading, *filter(None, left), return_exceptions=True)

    async def _read(
        self,
        requests: AsyncIterator[pb.SubmitJobsRequest],
        room: asyncio.Semaphore,
        answers: asyncio.Queue[Answer | None],
    ) -> None:
        """Check one message after the other, so that jobs are sent in the order in which they came."""
        try:
            async for message in requests:
                await room.acquire()
                checked = await self._checked(message)
                answers.put_nowait(asyncio.create_task(self._answer(checked), name="submit"))
        finally:
            answers.put_nowait(None)

    async def _checked(self, message: pb.SubmitJobsRequest) -> _Checked:
        """Raises InvalidRequest where the message itself breaks a rule."""
        check_bounds(message, len(message.requests))
        self._intake.validation.check(message)
        submissions: dict[int, Submission] = {}
        answered: dict[int, pb.SubmitResult] = {}
        for place, request in enumerate(message.requests):
            if place % TURN == TURN - 1:
                await asyncio.sleep(0)
            try:
                submission = self._intake.checked(request)
                if request.validate_only:
                    [response] = await self._intake.would([submission])
                    answered[place] = pb.SubmitResult(response=response)
                else:
                    submissions[place] = submission
            except TelecineError as error:
                answered[place] = self._refused(error)
            except BatchErrors as refused:
                answered[place] = self._refused(refused.errors[0])
        return _Checked(sequence=message.sequence, submissions=submissions, answered=answered)

    async def _answer(self, checked: _Checked) -> pb.SubmitJobsResponse:
        outcomes = await self._intake.submitting.submit_each(list(checked.submissions.values()))
        responses = iter(await self._intake.responses([each for each in outcomes if isinstance(each, Admitted)]))
        results = dict(checked.answered)
        for place, outcome in zip(checked.submissions, outcomes, strict=True):
            if isinstance(outcome, TelecineError):
                results[place] = self._refused(outcome)
            else:
                self._metrics.count_submitted("stream", existed=outcome.existed)
                results[place] = pb.SubmitResult(response=next(responses))
        return pb.SubmitJobsResponse(
            sequence=checked.sequence, results=[results[place] for place in range(len(results))]
        )

    def _refused(self, error: TelecineError) -> pb.SubmitResult:
        self._metrics.submissions_refused.labels(error.reason).inc()
        return pb.SubmitResult(error=to_message(error))
