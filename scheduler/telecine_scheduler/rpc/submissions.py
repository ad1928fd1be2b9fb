"""The calls that submit one job, or a batch of all or none."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from telecine.v1 import scheduler_service_pb2
from telecine_scheduler.domain.errors import InvalidRequest, NotSupported, TelecineError, Violation
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.rpc.intake import TURN, Intake, check_bounds
from telecine_scheduler.rpc.names import tenant_of
from telecine_scheduler.rpc.validation import unsupported
from telecine_scheduler.service.submission import BatchErrors

pb = scheduler_service_pb2

# How many bad items of a batch a message names; the fields of violations have them all.
MOST_NAMED = 5


class Submissions:
    """Checks, converts, submits."""

    def __init__(self, intake: Intake, metrics: SchedulerMetrics) -> None:
        self._intake = intake
        self._metrics = metrics

    async def submit_job(self, request: pb.SubmitJobRequest) -> pb.SubmitJobResponse:
        """Accept a job."""
        with self._metrics.refusals():
            submission = self._intake.checked(request)
            if request.validate_only:
                try:
                    [response] = await self._intake.would([submission])
                except BatchErrors as refused:
                    raise refused.errors[0] from refused
                return response
            admitted = await self._intake.submitting.submit(submission)
        self._metrics.count_submitted("unary", existed=admitted.existed)
        [response] = await self._intake.responses([admitted])
        return response

    async def batch_submit_jobs(self, request: pb.BatchSubmitJobsRequest) -> pb.BatchSubmitJobsResponse:
        """Accept jobs, all or none."""
        intake = self._intake
        with self._metrics.refusals():
            await self._check(request)
            submissions = [intake.converted(each) for each in request.requests]
            try:
                if request.requests[0].validate_only:
                    return pb.BatchSubmitJobsResponse(responses=await intake.would(submissions))
                admitted = await intake.submitting.submit_all(submissions)
            except BatchErrors as refused:
                raise _as_one(refused.errors) from refused
        for each in admitted:
            self._metrics.count_submitted("batch", existed=each.existed)
        return pb.BatchSubmitJobsResponse(responses=await intake.responses(admitted))

    async def _check(self, request: pb.BatchSubmitJobsRequest) -> None:
        """Raises InvalidRequest with every violation of every item, then NotSupported."""
        check_bounds(request, len(request.requests))
        violations = list(_unlike(request.requests))
        missing: dict[int, str] = {}
        for place, item in enumerate(request.requests):
            if place % TURN == TURN - 1:
                await asyncio.sleep(0)
            found = self._intake.validation.submission_violations(item)
            violations += [
                Violation(field=f"requests[{place}].{each.field}", description=each.description) for each in found
            ]
            if not found and (word := unsupported(item.spec)):
                missing[place] = word
        if violations:
            raise InvalidRequest(violations)
        if missing:
            raise NotSupported(_listed(missing))


def _unlike(requests: Sequence[pb.SubmitJobRequest]) -> Iterator[Violation]:
    """What does not go together in one batch."""
    first, places = requests[0], dict[str, int]()
    for place, request in enumerate(requests):
        field = f"requests[{place}]"
        if tenant_of(request.tenant) != tenant_of(first.tenant):
            yield Violation(field=f"{field}.tenant", description="is another than that of requests[0]; a batch has one")
        if request.validate_only != first.validate_only:
            yield Violation(field=f"{field}.validate_only", description="must be the same in all of a batch")
        if request.job_id and places.setdefault(request.job_id, place) != place:
            yield Violation(
                field=f"{field}.job_id", description=f"stands at requests[{places[request.job_id]}] already"
            )


def _as_one(errors: Mapping[int, TelecineError]) -> TelecineError:
    """One error for all bad items: of those that waiting does not help, the first, else the first of all."""
    chosen = min(errors, key=lambda place: (errors[place].retry_after is not None, place))
    error = errors[chosen]
    return type(error)(
        _listed({place: each.message for place, each in errors.items()}),
        metadata={**error.metadata, "requests": ",".join(map(str, errors))},
        retry_after=error.retry_after,
    )


def _listed(texts: Mapping[int, str]) -> str:
    named = [f"requests[{place}]: {text}" for place, text in list(texts.items())[:MOST_NAMED]]
    rest = len(texts) - len(named)
    return "; ".join(named) + (f"; and {rest} more" if rest else "")
