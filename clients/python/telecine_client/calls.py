"""The single calls of the contract: what is asked, and how the answer is read. Both clients make them as they stand here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from google.protobuf.message import Message

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import wire
from telecine_client.arguments import checked_several
from telecine_client.errors import InvalidRequest, Violation, invalid
from telecine_client.job_id import checked_job_id, new_job_id
from telecine_client.spec import AnySpec, job_spec
from telecine_client.states import JobState
from telecine_client.values import Job, Page, QueueStats, Worker

Response = TypeVar("Response", bound=Message)
Value = TypeVar("Value")
M = TypeVar("M", bound=Message)

AnyJob = AnySpec | tuple[str, AnySpec]
"""A spec, or (job id, spec) for an id of your own."""

INT32_MAX = 2**31 - 1
MAX_SPEC_BYTES = 64 * 1024
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Both serialized, by the contract."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Generic[Response, Value]):
    """One call, ready to be made."""

    method: str
    request: Message
    read: Callable[[Response], Value]


def submit_request(
    tenant: str, spec: AnySpec, job_id: str | None, *, validate_only: bool = False
) -> service_pb2.SubmitJobRequest:
    """The id is chosen here, before the first send, so that a repeated send is never a second job.

    Raises InvalidRequest for a spec or an id that cannot be.
    """
    return service_pb2.SubmitJobRequest(
        tenant=tenant,
        job_id=new_job_id() if job_id is None else checked_job_id(job_id),
        spec=_bounded("spec", job_spec(spec), MAX_SPEC_BYTES),
        validate_only=validate_only,
    )


def submitted(response: service_pb2.SubmitJobResponse) -> Job:
    """The job of an answer."""
    return wire.job(response.job)


def submit(request: service_pb2.SubmitJobRequest) -> Call[service_pb2.SubmitJobResponse, Job]:
    """One job."""
    return Call(method="SubmitJob", request=request, read=submitted)


def submit_each(
    tenant: str, jobs: Iterable[AnyJob], *, validate_only: bool = False
) -> Iterator[tuple[str, service_pb2.SubmitJobRequest | InvalidRequest]]:
    """The id of each, and what is sent for it or why nothing can be; in order, made when it is asked for."""
    for job_id, spec in map(_named, jobs):
        chosen = new_job_id() if job_id is None else job_id
        try:
            yield chosen, submit_request(tenant, spec, chosen, validate_only=validate_only)
        except InvalidRequest as wrong:
            yield chosen, wrong


def submit_batch(
    tenant: str, jobs: Iterable[AnyJob], *, validate_only: bool
) -> Call[service_pb2.BatchSubmitJobsResponse, list[Job]]:
    """All or none."""
    requests: list[service_pb2.SubmitJobRequest] = []
    wrong: dict[str, InvalidRequest] = {}
    for place, (_, asked) in enumerate(submit_each(tenant, jobs, validate_only=validate_only)):
        if isinstance(asked, InvalidRequest):
            wrong[f"requests[{place}]"] = asked
        else:
            requests.append(asked)
    if wrong:
        raise _wrong_batch(wrong)
    return Call(
        method="BatchSubmitJobs",
        request=_bounded("requests", service_pb2.BatchSubmitJobsRequest(requests=requests), MAX_BATCH_BYTES),
        read=lambda response: list(map(submitted, response.responses)),
    )


def _wrong_batch(wrong: Mapping[str, InvalidRequest]) -> InvalidRequest:
    """Of the wrong jobs by their places: as many violations as fit, and the first message."""
    found = [
        Violation(field=f"{place}.{each.field}", description=each.description)
        for place, error in wrong.items()
        for each in error.violations
    ]
    place, first = next(iter(wrong.items()))
    others = f"; so are {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return invalid(f"{place} is wrong: {first.message}{others}", *found)


def get(tenant: str, job_id: str, *, full: bool = True) -> Call[service_pb2.GetJobResponse, Job]:
    """One job."""
    request = service_pb2.GetJobRequest(tenant=tenant, job_id=job_id, view=_view(full=full))
    return Call(method="GetJob", request=request, read=lambda response: wire.job(response.job))


def list_page(
    tenant: str,
    states: Iterable[JobState],
    labels: Mapping[str, str] | None,
    *,
    page_size: int,
    page_token: str = "",
    full: bool = False,
) -> Call[service_pb2.ListJobsResponse, Page]:
    """One page of a listing."""
    request = service_pb2.ListJobsRequest(
        tenant=tenant,
        states=[_state_number(state) for state in dict.fromkeys(checked_several("states", states))],
        labels=labels or {},
        page_size=_size("page_size", page_size),
        page_token=page_token,
        view=_view(full=full),
    )
    return Call(method="ListJobs", request=request, read=wire.page)


class Listing:
    """A whole listing, page by page."""

    def __init__(
        self,
        tenant: str,
        states: Iterable[JobState],
        labels: Mapping[str, str] | None,
        *,
        limit: int | None,
        page_size: int,
        full: bool,
    ) -> None:
        """Raises InvalidRequest for a limit that is negative."""
        if limit is not None and limit < 0:
            raise _broken("limit", f"must not be negative, and is {limit}; leave it out for all of them")
        wanted = tuple(checked_several("states", states))
        self._ask = partial(list_page, tenant, wanted, labels, page_size=page_size, full=full)
        self._left = limit
        self._next: str | None = ""

    def next_call(self) -> Call[service_pb2.ListJobsResponse, Page] | None:
        """For the next page; None when all was listed that was wanted."""
        wanted = self._left is None or self._left > 0
        return self._ask(page_token=self._next) if self._next is not None and wanted else None

    def take(self, page: Page) -> tuple[Job, ...]:
        """The jobs of the page, as far as they are wanted."""
        jobs = page.jobs[: self._left]
        self._left = None if self._left is None else self._left - len(jobs)
        self._next = page.next_page_token or None
        return jobs


def cancel(tenant: str, job_id: str, reason: str) -> Call[service_pb2.CancelJobResponse, Job]:
    """Ask for an end."""
    request = service_pb2.CancelJobRequest(tenant=tenant, job_id=job_id, reason=reason)
    return Call(method="CancelJob", request=request, read=lambda response: wire.job(response.job))


def retry(tenant: str, job_id: str, *, expected_generation: int) -> Call[service_pb2.RetryJobResponse, Job]:
    """Ask for a new generation."""
    request = service_pb2.RetryJobRequest(
        tenant=tenant, job_id=job_id, expected_generation=_size("expected_generation", expected_generation)
    )
    return Call(method="RetryJob", request=request, read=lambda response: wire.job(response.job))


def delete(tenant: str, job_id: str) -> Call[service_pb2.DeleteJobResponse, None]:
    """Delete the record of a finished job."""
    request = service_pb2.DeleteJobRequest(tenant=tenant, job_id=job_id)
    return Call(method="DeleteJob", request=request, read=lambda _: None)


def queue_stats(tenant: str, queue: str) -> Call[service_pb2.GetQueueStatsResponse, QueueStats]:
    """How full it is."""
    request = service_pb2.GetQueueStatsRequest(tenant=tenant, queue=queue)
    return Call(method="GetQueueStats", request=request, read=wire.queue_stats)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPage:
    """Some of the workers."""

    workers: Sequence[Worker]
    next_page_token: str


def workers(page_size: int, page_token: str) -> Call[service_pb2.ListWorkersResponse, WorkerPage]:
    """One page of the workers."""
    return Call(
        method="ListWorkers",
        request=service_pb2.ListWorkersRequest(page_size=_size("page_size", page_size), page_token=page_token),
        read=lambda response: WorkerPage(
            workers=list(map(wire.worker, response.workers)), next_page_token=response.next_page_token
        ),
    )


def watch(tenant: str, job_id: str, after_revision: int = 0, *, full: bool = False) -> service_pb2.WatchJobRequest:
    """*full* holds for every answer; else only the first is."""
    if after_revision < 0:
        raise _broken("after_revision", "must not be negative; 0 begins with the job as it is now")
    view = job_pb2.JOB_VIEW_FULL if full else job_pb2.JOB_VIEW_UNSPECIFIED
    return service_pb2.WatchJobRequest(
        tenant=tenant, job_id=checked_job_id(job_id), after_revision=after_revision, view=view
    )


def checked_in_flight(count: int) -> int:
    """The same. Raises InvalidRequest when nothing could ever be sent."""
    if count < 1:
        raise _broken("in_flight", f"has to be at least 1, and is {count}")
    return count


def _named(job: AnyJob) -> tuple[str | None, AnySpec]:
    return job if isinstance(job, tuple) else (None, job)


def _bounded(field: str, message: M, most: int) -> M:
    """The same. A larger one would be refused by the scheduler, or by the transport in its own words."""
    size = message.ByteSize()
    if size > most:
        raise _broken(field, f"has {size} bytes; at most {most} are allowed")
    return message


def _view(*, full: bool) -> job_pb2.JobView.ValueType:
    return job_pb2.JOB_VIEW_FULL if full else job_pb2.JOB_VIEW_BASIC


def _size(name: str, value: int) -> int:
    """The same; what the wire has no room for is refused here, all else by the scheduler."""
    if not -INT32_MAX <= value <= INT32_MAX:
        raise _broken(name, f"is out of range: {value}")
    return value


def _state_number(state: JobState) -> job_pb2.JobState.ValueType:
    try:
        return job_pb2.JobState.Value(f"JOB_STATE_{JobState(state).name}")
    except ValueError:
        known = ", ".join(each.value for each in JobState if each is not JobState.UNKNOWN)
        raise _broken("states", f"{state!s} is no state of a job; there are {known}") from None


def _broken(field: str, description: str) -> Exception:
    return invalid(f"{field} {description}", Violation(field=field, description=description))
