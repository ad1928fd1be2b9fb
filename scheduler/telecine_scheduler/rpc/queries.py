"""The calls that only read: a job, a tenant's jobs, its queue, and the workers."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable, Iterator, Sequence

from google.protobuf.message import DecodeError

from telecine.v1 import job_pb2, scheduler_service_pb2
from telecine_scheduler.domain.job import JobName, JobState
from telecine_scheduler.rpc.answers import Answers
from telecine_scheduler.rpc.job_messages import DOMAIN_STATES, worker_message
from telecine_scheduler.rpc.names import name_of, tenant_of
from telecine_scheduler.rpc.page_tokens import binding, not_ours, opened, sealed
from telecine_scheduler.rpc.validation import Validation
from telecine_scheduler.service.broken_records import BrokenRecords
from telecine_scheduler.service.directory import WorkerDirectory
from telecine_scheduler.service.watching import no_such_job
from telecine_scheduler.store.routed_store import RoutedStore

pb = scheduler_service_pb2

DEFAULT_PAGE = 50
# Jobs that are read at once, and about how large a page may become before it is cut short.
CHUNK = 100
MAX_PAGE_BYTES = 2 * 1024 * 1024


class Queries:
    """Converts, reads, converts."""

    def __init__(
        self,
        store: RoutedStore,
        directory: WorkerDirectory,
        answers: Answers,
        validation: Validation,
        broken: BrokenRecords,
    ) -> None:
        self._store = store
        self._broken = broken
        self._directory = directory
        self._answers = answers
        self._validation = validation

    async def get_job(self, request: pb.GetJobRequest) -> pb.GetJobResponse:
        """One job as it is now."""
        self._validation.check(request)
        name = name_of(request.tenant, request.job_id)
        full = request.view != job_pb2.JOB_VIEW_BASIC
        job = await self._store.get(name, full=full)
        if job is None:
            raise no_such_job(name)
        return pb.GetJobResponse(job=await self._answers.job(job, full=full))

    async def list_jobs(self, request: pb.ListJobsRequest) -> pb.ListJobsResponse:
        """A page of a tenant's jobs, newest first."""
        self._validation.check(request)
        tenant = tenant_of(request.tenant)
        states: set[JobState] = {DOMAIN_STATES[state] for state in request.states}
        bound_to = binding("list", tenant, [state.value for state in states], dict(request.labels))
        names, further = await self._store.list_names(
            tenant,
            states=states,
            labels=dict(request.labels),
            before=_number("page_token", request.page_token, bound_to),
            limit=request.page_size or DEFAULT_PAGE,
        )
        full = request.view == job_pb2.JOB_VIEW_FULL
        jobs, cut = await self._page(names, states, full=full)
        further = cut if cut is not None else further
        return pb.ListJobsResponse(jobs=jobs, next_page_token="" if further is None else sealed(str(further), bound_to))

    async def _page(
        self, names: Sequence[JobName], states: set[JobState], *, full: bool
    ) -> tuple[list[job_pb2.Job], int | None]:
        """The jobs that are still there and in one of *states*; where they get too large, the number to go on before.

        A record that cannot be read is left out, so that the others can still be listed.
        """
        page: list[job_pb2.Job] = []
        size = 0
        rest = iter(names)
        while chunk := list(itertools.islice(rest, CHUNK)):
            reads = (self._store.get(name, full=full) for name in chunk)
            found = self._broken.readable(chunk, await asyncio.gather(*reads, return_exceptions=True))
            jobs = [job for job in found.values() if job is not None and (not states or job.state.public in states)]
            for job, message in zip(jobs, await self._answers.each(jobs, full=full), strict=True):
                if isinstance(message, DecodeError):
                    self._broken.met(job.name, message)
                    continue
                page.append(message)
                size += message.ByteSize()
                if size >= MAX_PAGE_BYTES and job.name != names[-1]:
                    return page, job.create
        return page, None

    async def get_queue_stats(self, request: pb.GetQueueStatsRequest) -> pb.GetQueueStatsResponse:
        """How full a tenant's queue is, and how many workers serve it."""
        self._validation.check(request)
        await self._directory.freshen()
        counts = await self._store.queue_counts(tenant_of(request.tenant), request.queue)
        serving = self._directory.slots(request.queue)
        response = pb.GetQueueStatsResponse(
            jobs_by_state={state.name.lower(): number for state, number in counts.jobs.items()},
            worker_count=serving.workers,
            slot_count=serving.slots,
            busy_slot_count=serving.busy,
            blocked_job_count=sum(ready for each, ready in counts.ready if self._directory.is_blocked(each)),
        )
        if counts.oldest is not None:
            response.oldest_queued_duration.FromTimedelta(counts.oldest)
        return response

    async def list_workers(self, request: pb.ListWorkersRequest) -> pb.ListWorkersResponse:
        """A page of the connected workers, by id."""
        self._validation.check(request)
        bound_to, size = binding("workers"), request.page_size or DEFAULT_PAGE
        after = opened("page_token", request.page_token, bound_to) if request.page_token else ""
        found = await self._store.workers(after, size)
        workers = list(_fitting(map(worker_message, found)))
        more = len(found) == size or len(workers) < len(found)
        return pb.ListWorkersResponse(
            workers=workers, next_page_token=sealed(workers[-1].worker_id, bound_to) if more else ""
        )


def _fitting(workers: Iterable[pb.Worker]) -> Iterator[pb.Worker]:
    """As many as a page holds, and one at least."""
    size = 0
    for worker in workers:
        yield worker
        size += worker.ByteSize()
        if size >= MAX_PAGE_BYTES:
            return


def _number(field: str, token: str, bound_to: str) -> int | None:
    """The number that a token stands for; None without a token."""
    if not token:
        return None
    place = opened(field, token, bound_to)
    if not place.isascii() or not place.isdecimal():
        raise not_ours(field)
    return int(place)
