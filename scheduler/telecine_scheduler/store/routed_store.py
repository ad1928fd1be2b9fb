"""The store over all partitions: the same typed verbs, each carried out where its tenant lives."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from telecine_scheduler.domain.figures import QueueCounts
from telecine_scheduler.domain.job import Job, JobName, JobState
from telecine_scheduler.domain.lease import Acknowledgement, Lease, Report, Ruling, StreamId
from telecine_scheduler.domain.reply import CancelReply, DeleteReply, RetryReply
from telecine_scheduler.domain.submission import Submission
from telecine_scheduler.domain.worker import WorkerRecord
from telecine_scheduler.store.job_store import JobStore
from telecine_scheduler.store.merging import merged_workers
from telecine_scheduler.store.partition import Partitions, not_reached


class RoutedStore:
    """What each verb does and raises, JobStore says. StoreUnavailable is about the tenant's partition, not about the others.

    Where it is not *patient*, it is raised at once of a partition that is known to be away while others serve.
    """

    def __init__(self, partitions: Partitions, *, patient: bool = True) -> None:
        self._partitions = partitions
        self._patient = patient

    def _of(self, tenant: str) -> JobStore:
        partition = self._partitions.of(tenant)
        if not self._patient and partition not in self._partitions.worth_asking():
            raise not_reached()
        return partition.store

    def partition_of(self, tenant: str) -> int:
        """The number of a tenant's partition, so that what concerns one does not wait for what concerns another."""
        return self._partitions.of(tenant).number

    async def submit(self, job: Submission, *, dispatches: bool) -> tuple[Job, bool]:
        """Admit a job."""
        return await self._of(job.name.tenant).submit(job, dispatches=dispatches)

    async def submit_all(self, jobs: Sequence[Submission]) -> list[tuple[Job, bool]]:
        """Admit a batch of one tenant's jobs, or nothing of it."""
        return await self._of(jobs[0].name.tenant).submit_all(jobs)

    async def check(self, jobs: Sequence[Submission]) -> list[Job | None]:
        """What `submit_all` would come to."""
        return await self._of(jobs[0].name.tenant).check(jobs)

    async def get(self, name: JobName, *, full: bool) -> Job | None:
        """The job as it is now."""
        return await self._of(name.tenant).get(name, full=full)

    async def list_names(
        self, tenant: str, *, states: Collection[JobState], labels: Mapping[str, str], before: int | None, limit: int
    ) -> tuple[list[JobName], int | None]:
        """A page of names of a tenant's jobs."""
        return await self._of(tenant).list_names(tenant, states=states, labels=labels, before=before, limit=limit)

    async def cancel(self, name: JobName, *, reason: str) -> tuple[CancelReply, Job | JobState | None]:
        """Ask for a job's end."""
        return await self._of(name.tenant).cancel(name, reason=reason)

    async def retry(self, job: Submission, *, expected_generation: int) -> tuple[RetryReply, Job | None]:
        """Run a FAILED or CANCELLED job again."""
        return await self._of(job.name.tenant).retry(job, expected_generation=expected_generation)

    async def delete(self, name: JobName) -> DeleteReply:
        """Delete a final job's record."""
        return await self._of(name.tenant).delete(name)

    async def queue_counts(self, tenant: str, queue: str) -> QueueCounts:
        """A tenant's jobs in one queue, or in all."""
        return await self._of(tenant).queue_counts(tenant, queue)

    async def accept(self, lease: Lease, *, refusal: str = "") -> Ruling:
        """The worker's answer to a grant."""
        return await self._of(lease.name.tenant).accept(lease, refusal=refusal)

    async def renew(self, lease: Lease, *, sequence: int, progress: bytes) -> Ruling:
        """Extend a lease."""
        return await self._of(lease.name.tenant).renew(lease, sequence=sequence, progress=progress)

    async def publish(self, lease: Lease) -> Ruling:
        """May the lease's holder make its files visible?"""
        return await self._of(lease.name.tenant).publish(lease)

    async def finish(self, report: Report) -> Acknowledgement:
        """Record how an attempt ended."""
        return await self._of(report.lease.name.tenant).finish(report)

    async def adopt(self, lease: Lease, stream: StreamId) -> bool:
        """Take up an ADOPTABLE lease again."""
        return await self._of(lease.name.tenant).adopt(lease, stream)

    async def workers(self, after: str, limit: int) -> Sequence[WorkerRecord]:
        """The connected workers by id, as those partitions that answer know them."""
        pages = await self._partitions.each(lambda partition: partition.store.workers(after, limit))
        return merged_workers(pages, limit)
