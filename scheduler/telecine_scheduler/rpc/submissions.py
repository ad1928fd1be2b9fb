"""The calls that submit one job, or a batch of all or none."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from telecine.v1 import scheduler_service_pb2
from telecine_scheduler.domain.errors import InvalidRequest, NotSupported, TelecineError, Violation
from telecine_scheduler.domain.submission import Submission
from telecine_scheduler.metrics import SchedulerMetrics
from telecine_scheduler.rpc.intake import Intake, Turns, check_bounds
from telecine_scheduler.rpc.names import tenant_of
from telecine_scheduler.rpc.validation import newer_kind
from telecine_scheduler.service.submission import BatchErrors

pb = scheduler_service_pb2

# How many bad items of a batch a message names, and how many the metadata.
MOST_NAMED = 5
MOST_PLACES = 100
# Of a batch; an answer has room for fewer.
MOST_VIOLATIONS = 100


class Submissions:
    """Checks, converts, submits."""

    def __init__(self, intake: Intake, metrics: SchedulerMetrics) -> None:
        self._intake = intake
        self._metrics = metrics

    async def submit_job(self, request: pb.SubmitJobRequest) -> pb.SubmitJobResponse:
        """Accept a job."""
        if request.validate_only:
            return await self._would(request)
        with self._metrics.refusals():
            submission = self._intake.checked(request)
            admitted = await self._intake.submitting.submit(submission)
        self._metrics.count_submitted("unary", existed=admitted.existed)
        [response] = await self._intake.responses([admitted])
        return response

    async def _would(self, request: pb.SubmitJobRequest) -> pb.SubmitJobResponse:
        submission = self._intake.checked(request)
        try:
            [response] = await self._intake.would([submission])
        except BatchErrors as refused:
            raise refused.errors[0] from refused
        return response

    async def batch_submit_jobs(self, request: pb.BatchSubmitJobsRequest) -> pb.BatchSubmitJobsResponse:
        """Accept jobs, all or none."""
        check_bounds(request, len(request.requests))
        if any(each.validate_only for each in request.requests):
            return await self._would_all(request)
        try:
            with self._metrics.refusals(len(request.requests)):
                submissions = await self._checked(request)
                admitted = await self._intake.submitting.submit_all(submissions)
        except BatchErrors as refused:
            for error in refused.errors.values():
                self._metrics.submissions_refused.labels(error.reason).inc()
            raise _as_one(refused.errors) from refused
        for each in admitted:
            self._metrics.count_submitted("batch", existed=each.existed)
        return pb.BatchSubmitJobsResponse(responses=await self._intake.responses(admitted))

    async def _would_all(self, request: pb.BatchSubmitJobsRequest) -> pb.BatchSubmitJobsResponse:
        try:
            return pb.BatchSubmitJobsResponse(responses=await self._intake.would(await self._checked(request)))
        except BatchErrors as refused:
            raise _as_one(refused.errors) from refused

    async def _checked(self, request: pb.BatchSubmitJobsRequest) -> list[Submission]:
        """The submissions of a batch. Raises BatchErrors with what is wrong with its items, as far as it was looked for."""
        errors: dict[int, TelecineError] = {}
        unlike, turns = defaultdict[int, list[Violation]](list), Turns()
        for place, violation in _unlike(request.requests):
            unlike[place].append(violation)
        count = 0
        for place, item in enumerate(request.requests):
            await turns.piece()
            if word := newer_kind(item.spec):
                errors[place] = NotSupported(word)
                continue
            found = unlike[place] + self._intake.validation.submission_violations(item)
            count += len(found)
            if found:
                errors[place] = InvalidRequest(found)
            if count >= MOST_VIOLATIONS:
                break
        if errors:
            raise BatchErrors(errors)
        submissions = []
        for item in request.requests:
            await turns.piece()
            submissions.append(self._intake.converted(item))
        return submissions


def _unlike(requests: Sequence[pb.SubmitJobRequest]) -> Iterator[tuple[int, Violation]]:
    """What does not go together in one batch, by place."""
    first, places = requests[0], dict[str, int]()
    for place, request in enumerate(requests):
        if tenant_of(request.tenant) != tenant_of(first.tenant):
            yield place, Violation(field="tenant", description="is another than that of requests[0]; a batch has one")
        if request.validate_only != first.validate_only:
            yield place, Violation(field="validate_only", description="must be the same in all of a batch")
        if request.job_id and places.setdefault(request.job_id, place) != place:
            there = places[request.job_id]
            yield place, Violation(field="job_id", description=f"stands at requests[{there}] already")


def _as_one(errors: Mapping[int, TelecineError]) -> TelecineError:
    """One error for all bad items: their violations, else NotSupported, else that of the first that waiting does not help."""
    violations = [
        Violation(field=f"requests[{place}].{each.field}", description=each.description)
        for place, error in errors.items()
        if isinstance(error, InvalidRequest)
        for each in error.violations
    ]
    if violations:
        return InvalidRequest(violations)
    chosen = min(errors, key=lambda place: (errors[place].retry_after is not None, place))
    error = errors[chosen]
    return type(error)(
        _listed({place: each.message for place, each in errors.items()}),
        metadata={**error.metadata, "requests": ",".join(map(str, itertools.islice(errors, MOST_PLACES)))},
        retry_after=error.retry_after,
    )


def _listed(texts: Mapping[int, str]) -> str:
    named = [f"requests[{place}]: {text}" for place, text in list(texts.items())[:MOST_NAMED]]
    rest = len(texts) - len(named)
    return "; ".join(named) + (f"; and {rest} more" if rest else "")
