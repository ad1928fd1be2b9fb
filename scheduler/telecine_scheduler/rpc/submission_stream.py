"""The call that submits jobs in messages, each job on its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from telecine.v1 import scheduler_service_pb2
from telecine_scheduler.domain.errors import StoreUnavailable, TelecineError
from telecine_scheduler.domain.submission import Submission
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.rpc.defects import logged
from telecine_scheduler.rpc.errors import masked_message, to_message
from telecine_scheduler.rpc.intake import Intake, Turns, check_bounds
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
        # The readers of the open streams.
        self._open: set[asyncio.Task[None]] = set()
        self._stopped = False

    def stop(self) -> None:
        """This scheduler stops: read nothing more, answer what was read, and end as UNAVAILABLE."""
        self._stopped = True
        for reading in self._open:
            reading.cancel()

    async def submit_jobs(
        self, requests: AsyncIterator[pb.SubmitJobsRequest], context: Context
    ) -> AsyncGenerator[pb.SubmitJobsResponse, None]:
        """Answer until the caller has half-closed and everything is answered."""
        await context.send_initial_metadata(())
        room = asyncio.Semaphore(MAX_IN_FLIGHT)
        answers: asyncio.Queue[Answer | None] = asyncio.Queue()
        if self._stopped:
            raise _stopping()
        reading = asyncio.create_task(self._read(requests, room, answers), name="submissions")
        self._open.add(reading)
        try:
            while (answer := await answers.get()) is not None:
                yield await answer
                # Who does not take his answers is not read any further.
                room.release()
            await asyncio.wait({reading})
            if reading.cancelled():
                raise _stopping()
            reading.result()
        finally:
            self._open.discard(reading)
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
        turns = Turns()
        for place, request in enumerate(message.requests):
            await turns.piece()
            if request.validate_only:
                answered[place] = await self._would(request)
                continue
            try:
                submissions[place] = self._intake.checked(request)
            except TelecineError as error:
                answered[place] = self._refused(error)
        return _Checked(sequence=message.sequence, submissions=submissions, answered=answered)

    async def _would(self, request: pb.SubmitJobRequest) -> pb.SubmitResult:
        try:
            [response] = await self._intake.would([self._intake.checked(request)])
        except TelecineError as error:
            return pb.SubmitResult(error=to_message(error))
        except BatchErrors as refused:
            return pb.SubmitResult(error=to_message(refused.errors[0]))
        except Exception as error:  # noqa: BLE001 - concerns this item alone
            return _failed(error)
        return pb.SubmitResult(response=response)

    async def _answer(self, checked: _Checked) -> pb.SubmitJobsResponse:
        outcomes = await self._intake.submitting.submit_each(list(checked.submissions.values()))
        responses = iter(await self._intake.each([each for each in outcomes if isinstance(each, Admitted)]))
        results = dict(checked.answered)
        for place, outcome in zip(checked.submissions, outcomes, strict=True):
            results[place] = self._result(outcome, responses)
        return pb.SubmitJobsResponse(
            sequence=checked.sequence, results=[results[place] for place in range(len(results))]
        )

    def _result(
        self, outcome: Admitted | Exception, responses: Iterator[pb.SubmitJobResponse | DecodeError]
    ) -> pb.SubmitResult:
        if isinstance(outcome, TelecineError):
            return self._refused(outcome)
        if isinstance(outcome, Exception):
            return _failed(outcome)
        self._metrics.count_submitted("stream", existed=outcome.existed)
        response = next(responses)
        return _failed(response) if isinstance(response, DecodeError) else pb.SubmitResult(response=response)

    def _refused(self, error: TelecineError) -> pb.SubmitResult:
        self._metrics.submissions_refused.labels(error.reason).inc()
        return pb.SubmitResult(error=to_message(error))


def _failed(error: Exception) -> pb.SubmitResult:
    """A defect that one item met; the others are answered all the same."""
    return pb.SubmitResult(error=masked_message(logged(error, "SubmitJobs")))


def _stopping() -> StoreUnavailable:
    return StoreUnavailable("this scheduler stops; send what is not answered yet to another one")
