"""Admitting jobs: once, however often the caller sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from telecine_scheduler.domain.errors import JobExists
from telecine_scheduler.domain.job import Job
from telecine_scheduler.domain.submission import Submission
from telecine_scheduler.service.leasing import Leasing
from telecine_scheduler.store.job_store import JobStore

# The names of the fields in which two encoded specs differ, secrets aside; empty where they are equal.
Compare = Callable[[bytes, bytes], tuple[str, ...]]


class Submitting:
    """Puts jobs into the queue, and hands them on at once where a worker here is idle."""

    def __init__(self, store: JobStore, leasing: Leasing, compare: Compare) -> None:
        self._store = store
        self._leasing = leasing
        self._compare = compare

    async def submit(self, submission: Submission) -> tuple[Job, bool]:
        """The job, and whether it was there before. Raises JobExists where it was with another spec."""
        idle = self._leasing.idle_for(submission.job_class)
        admitted = asyncio.ensure_future(self._store.submit(submission, dispatches=idle is not None))
        if idle is not None:
            # At once, so that another submit of this turn counts on another worker. The dispatch is sent by a task of the
            # stream's own, which comes after the submit's in the loop and so stands behind it in the lane.
            idle.promise(submission.job_class.units)
        job, existed = await asyncio.shield(admitted)
        if existed and job.digest != submission.digest:
            self._refuse_another(job, submission)
        return job, existed

    def _refuse_another(self, job: Job, submission: Submission) -> None:
        differing = self._compare(job.spec, submission.spec)
        if differing:
            state = "QUEUED" if job.state.name == "LEASED" else job.state.name
            raise JobExists(
                f"job {job.name} exists ({state}) with another spec; it differs in {', '.join(differing)}; "
                "use another job_id for another job",
                metadata={"state": state, "fields": ",".join(differing)},
            )
