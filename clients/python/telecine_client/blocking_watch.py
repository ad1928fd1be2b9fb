"""Watches of Client, each over any number of broken streams."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from datetime import timedelta

from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import calls
from telecine_client.blocking_schedulers import BlockingSchedulers, Stub
from telecine_client.errors import DeadlineExceeded, NotFound, TelecineError, Unimplemented
from telecine_client.many import not_ended
from telecine_client.resumption import Breaks, Seen
from telecine_client.values import Job, WatchEvent
from telecine_client.watched_jobs import MOST_JOBS, WatchedJobs, chunks


def watch(
    schedulers: BlockingSchedulers,
    request: service_pb2.WatchJobRequest,
    *,
    outage_timeout: timedelta | None = None,
    deadline: float | None = None,
) -> Generator[Job, None, None]:
    """Give each newer snapshot of the job up to the final one; resumes by itself after the last revision it gave.

    Raises DeadlineExceeded at the *deadline* of the schedulers' clock.
    """
    now = schedulers.clock.time
    seen = Seen(revision=request.after_revision)
    breaks = Breaks(now(), backoff=schedulers.backoff, outage_timeout=outage_timeout)

    def stream(stub: Stub, seconds: float | None) -> Generator[Job, None, None]:
        again = seen.resumed(request)
        with schedulers.opened(stub.WatchJob(again, timeout=seconds, metadata=schedulers.metadata())) as call:
            for response in call:
                breaks.contact(now())
                job = seen.take(response.job)
                if job is not None:
                    breaks.news()
                    yield job

    with closing(schedulers.resumed(stream, breaks, deadline=deadline)) as jobs:
        for job in jobs:
            yield job
            if job.state.final:
                return


def watch_many(
    schedulers: BlockingSchedulers,
    watched: WatchedJobs,
    *,
    outage_timeout: timedelta | None = None,
    deadline: float | None = None,
) -> Generator[WatchEvent, None, None]:
    """Give what changes, until nothing more can come. Raises DeadlineExceeded at the *deadline* of the schedulers' clock."""
    now = schedulers.clock.time
    breaks = Breaks(now(), backoff=schedulers.backoff, outage_timeout=outage_timeout)

    def stream(stub: Stub, seconds: float | None) -> Generator[list[WatchEvent], None, None]:
        left = threading.Event()
        requests = _requests(watched, left)
        try:
            with schedulers.opened(stub.WatchJobs(requests, timeout=seconds, metadata=schedulers.metadata())) as call:
                for response in call:
                    breaks.contact(now())
                    if together := watched.take(response):
                        breaks.news()
                        yield together
        finally:
            left.set()

    if watched.over:
        return
    with closing(schedulers.resumed(stream, breaks, deadline=deadline)) as news:
        for together in news:
            yield from together
            if watched.over:
                return


def _requests(watched: WatchedJobs, left: threading.Event) -> Iterator[service_pb2.WatchJobsRequest]:
    """What a stream is told. One that follows stays open until it is left; the other ends with its last job."""
    yield from watched.opening()
    if watched.follows:
        left.wait()


def wait_for_all(
    schedulers: BlockingSchedulers, tenant: str, job_ids: Iterable[str], timeout: timedelta | None
) -> dict[str, Job | TelecineError]:
    """What each ended as, or why that was not seen, by id and in their order."""
    wanted = list(dict.fromkeys(job_ids))
    deadline = None if timeout is None else schedulers.clock.time() + timeout.total_seconds()
    ends: dict[str, Job | TelecineError] = {}
    try:
        for chunk in chunks(wanted, MOST_JOBS):
            for one in _ends(schedulers, tenant, chunk, deadline):
                ends |= one
    except DeadlineExceeded:
        # Those that did not end in time are told so below.
        pass
    return {job_id: ends.get(job_id) or not_ended(job_id, timeout) for job_id in wanted}


def _ends(
    schedulers: BlockingSchedulers, tenant: str, job_ids: list[str], deadline: float | None
) -> Iterator[dict[str, Job | TelecineError]]:
    """What each ended as, as they end; one after the other where the scheduler cannot watch many at once."""
    try:
        with closing(watch_many(schedulers, WatchedJobs(tenant, job_ids), deadline=deadline)) as events:
            for event in events:
                if event.error is not None:
                    yield {event.job_id: event.error}
                elif event.job is not None and event.job.state.final:
                    yield {event.job_id: event.job}
    except Unimplemented:
        for job_id in job_ids:
            yield {job_id: _end(schedulers, calls.watch(tenant, job_id, full=True), deadline)}


def _end(
    schedulers: BlockingSchedulers, request: service_pb2.WatchJobRequest, deadline: float | None
) -> Job | TelecineError:
    try:
        return end(schedulers, request, deadline)
    except NotFound as gone:
        return gone


def end(schedulers: BlockingSchedulers, request: service_pb2.WatchJobRequest, deadline: float | None) -> Job:
    """The final job. Raises DeadlineExceeded at the *deadline* of the schedulers' clock."""
    with closing(watch(schedulers, request, deadline=deadline)) as jobs:
        for job in jobs:
            if job.state.final:
                return job
    raise AssertionError("a watch ends with a final job or an error")
