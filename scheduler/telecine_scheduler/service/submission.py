"""Admitting jobs: once, however often the caller sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from telecine_scheduler.domain.admission import BatchRefused
from telecine_scheduler.domain.errors import JobExists, TelecineError
from telecine_scheduler.domain.job import Job
from telecine_scheduler.domain.submission import Submission
from telecine_scheduler.service.leasing import Leasing
from telecine_scheduler.service.worker_stream import WorkerStream
from telecine_scheduler.store.partition import Partition
from telecine_scheduler.store.routed_store import RoutedStore

# The names of the fields in which two encoded specs differ, secrets aside; empty where they are equal.
Compare = Callable[[bytes, bytes], tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A job, and whether it was there before."""

    job: Job
    existed: bool


class BatchErrors(Exception):
    """Nothing of a batch was stored; what is wrong with each bad item, by its index."""

    def __init__(self, errors: Mapping[int, TelecineError]) -> None:
        super().__init__(f"{len(errors)} items of a batch were refused")
        self.errors = errors


class Submitting:
    """Puts jobs into the queue, and hands them on at once where a worker here is idle."""

    def __init__(self, store: RoutedStore, leasing: Leasing, compare: Compare) -> None:
        self._store = store
        self._leasing = leasing
        self._compare = compare

    async def submit(self, submission: Submission) -> Admitted:
        """Raises JobExists where the job was there with another spec, and what the store refuses."""
        [admitted] = await self.submit_each([submission])
        if isinstance(admitted, Exception):
            raise admitted
        return admitted

    async def submit_each(self, submissions: Sequence[Submission]) -> list[Admitted | Exception]:
        """Each for itself, in this order: the job, or why there is none. What is no TelecineError is a defect."""
        loop = asyncio.get_running_loop()
        idle: list[tuple[WorkerStream, Partition]] = []
        sent = [self._send(submission, idle) for submission in submissions]
        for stream, partition in idle:
            # Once the tasks of the submits have begun, so that the dispatch stands behind them in the lane.
            loop.call_soon(stream.submitted, partition)
        answers = await asyncio.shield(asyncio.gather(*sent, return_exceptions=True))
        return [self._admitted(submission, answer) for submission, answer in zip(submissions, answers, strict=True)]

    def _send(self, submission: Submission, idle: list[tuple[WorkerStream, Partition]]) -> Awaitable[tuple[Job, bool]]:
        partition = self._leasing.partitions.of(submission.name.tenant)
        stream = self._leasing.idle_for(partition, submission.job_class)
        if stream is not None:
            # At once, so that another submit of this turn counts on another worker.
            stream.promise(partition, submission.job_class.units)
            idle.append((stream, partition))
        return asyncio.ensure_future(self._store.submit(submission, dispatches=stream is not None))

    def _admitted(self, submission: Submission, answer: tuple[Job, bool] | BaseException) -> Admitted | Exception:
        if isinstance(answer, Exception):
            return answer
        if isinstance(answer, BaseException):
            raise answer
        job, existed = answer
        try:
            return self._differing(submission, job) or Admitted(job=job, existed=existed)
        except Exception as error:  # noqa: BLE001 - a stored spec that cannot be compared concerns this job alone
            return error

    async def submit_all(self, submissions: Sequence[Submission]) -> list[Admitted]:
        """All or none. Raises BatchErrors."""
        while True:
            try:
                answers = await self._store.submit_all(submissions)
            except BatchRefused as refused:
                submissions = await self._equalled(submissions, refused)
                continue
            return [Admitted(job=job, existed=existed) for job, existed in answers]

    async def check(self, submissions: Sequence[Submission]) -> list[Job | None]:
        """The jobs that have these ids already, with equal specs. Raises BatchErrors where submitting would be refused."""
        while True:
            try:
                return await self._store.check(submissions)
            except BatchRefused as refused:
                submissions = await self._equalled(submissions, refused)

    async def _equalled(self, submissions: Sequence[Submission], refused: BatchRefused) -> Sequence[Submission]:
        """The same with the digests of jobs that exist with an equal spec. Raises BatchErrors where there is another reason."""
        errors, equalled = dict(refused.errors), list(submissions)
        names = [submissions[index].name for index in refused.existing]
        jobs = await asyncio.gather(*(self._store.get(name, full=True) for name in names))
        for index, job in zip(refused.existing, jobs, strict=True):
            if job is None:
                # Deleted meanwhile: asked again as it is.
                continue
            another = self._differing(submissions[index], job)
            if another:
                errors[index] = another
            equalled[index] = replace(submissions[index], digest=job.digest)
        if errors:
            raise BatchErrors(dict(sorted(errors.items()))) from refused
        return equalled

    def _differing(self, submission: Submission, job: Job) -> JobExists | None:
        """The refusal where *job*, which has the submission's id, has another spec."""
        differing = self._compare(job.spec, submission.spec) if job.digest != submission.digest else ()
        if not differing:
            return None
        state = job.state.public.name
        return JobExists(
            f"job {job.name} exists ({state}) with another spec; it differs in {', '.join(differing)}; "
            "use another job_id for another job",
            metadata={"state": state, "fields": ",".join(differing)},
        )
