"""Why nobody can run a job is a hint: no call waits for it, or fails for it. What a delete deleted is none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from telecine.v1 import scheduler_service_pb2 as pb
from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.domain.job import Job, JobName, JobState
from telecine_scheduler.domain.reply import DeleteReply
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.rpc.changes import Changes
from telecine_scheduler.rpc.validation import Validation
from telecine_scheduler.service.directory import WorkerDirectory

JOB_CLASS = JobClass(queue="default", units=1, requirements=frozenset())
JOB = Job(name=JobName(tenant="default", job_id="job"), state=JobState.QUEUED, revision=1, create=1)


class Silent:
    """A store, and who leases from it, that take calls and never answer; *knows* says whether classes are known."""

    def __init__(self, *, knows: bool) -> None:
        self._knows = knows

    async def workers(self, after: str, limit: int) -> None:
        await asyncio.Event().wait()

    async def classes_of(self, jobs: list[Job]) -> list[JobClass]:
        if not self._knows:
            await asyncio.Event().wait()
        return [JOB_CLASS for _ in jobs]


@pytest.mark.parametrize("knows", [False, True])
async def test_nobody_waits_for_a_hint(knows: bool) -> None:
    """Where the store is silent, jobs are told without it, and soon."""
    silent: Any = Silent(knows=knows)
    directory = WorkerDirectory(silent, silent, silent)
    async with asyncio.timeout(3):
        assert [""] == await directory.reasons_of([JOB])
        assert {JOB_CLASS: ""} == await directory.blocked_reasons([JOB_CLASS])


class Away:
    """A store that cannot be read, and that would delete."""

    deleted = False

    async def get(self, name: JobName, *, full: bool) -> Job:
        raise StoreUnavailable("away")

    async def delete(self, name: JobName) -> DeleteReply:
        self.deleted = True
        return DeleteReply.OK


async def test_a_delete_does_not_go_on_after_an_outage() -> None:
    """Its caller has waited long enough for one look at a store that is away."""
    store: Any = Away()
    none: Any = None
    with pytest.raises(StoreUnavailable):
        await Changes(store, none, Validation(), none).delete_job(pb.DeleteJobRequest(tenant="default", job_id="job"))
    assert not store.deleted
