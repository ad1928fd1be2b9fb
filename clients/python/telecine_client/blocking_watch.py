"""Watches of Client, each over any number of broken streams."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import timedelta

from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client.blocking_schedulers import BlockingSchedulers, Stub
from telecine_client.resumption import Seen
from telecine_client.values import Job, WatchEvent
from telecine_client.watched_jobs import WatchedJobs


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
    seen = Seen(revision=request.after_revision)
    breaks = schedulers.breaks(outage_timeout)

    def stream(stub: Stub, seconds: float | None) -> Generator[Job, None, None]:
        again = seen.resumed(request)
        with schedulers.opened(stub.WatchJob(again, timeout=seconds, metadata=schedulers.metadata())) as call:
            for response in call:
                breaks.contact(schedulers.now())
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
    breaks = schedulers.breaks(outage_timeout)

    def stream(stub: Stub, seconds: float | None) -> Generator[list[WatchEvent], None, None]:
        left = threading.Event()
        requests = _requests(watched, left)
        try:
            with schedulers.opened(stub.WatchJobs(requests, timeout=seconds, metadata=schedulers.metadata())) as call:
                for response in call:
                    breaks.contact(schedulers.now())
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


def end(schedulers: BlockingSchedulers, request: service_pb2.WatchJobRequest, deadline: float | None) -> Job:
    """The final job. Raises DeadlineExceeded at the *deadline* of the schedulers' clock."""
    with closing(watch(schedulers, request, deadline=deadline)) as jobs:
        for job in jobs:
            if job.state.final:
                return job
    raise AssertionError("a watch ends with a final job or an error")
