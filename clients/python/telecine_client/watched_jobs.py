"""What a watch of many jobs knows: which jobs, how far each was seen, and what has to be said to a new stream."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import groupby, islice
from typing import TypeVar

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import wire
from telecine_client.arguments import checked_several
from telecine_client.errors import Violation, invalid
from telecine_client.job_id import checked_job_id
from telecine_client.rpc_errors import from_status
from telecine_client.values import WatchEvent

MOST_JOBS = 10_000
"""Added to one stream at a time, by the contract."""
MOST_A_MESSAGE = 1000
# So many followed jobs' revisions are kept, to leave out what comes twice after a break.
_REMEMBERED = 10_000

Item = TypeVar("Item")


class WatchedJobs:
    """Jobs that are named, and, with *every* or *labels*, whatever else changes in the tenant."""

    def __init__(
        self,
        tenant: str,
        job_ids: Iterable[str] = (),
        *,
        every: bool = False,
        labels: Mapping[str, str] | None = None,
        resume_token: str | None = None,
    ) -> None:
        """Raises InvalidRequest for what is no job id, or too many of them."""
        self._tenant = tenant
        self._every = every
        self._labels = dict(labels or {})
        self._token = resume_token or ""
        self._revisions = dict.fromkeys(map(checked_job_id, checked_several("job_ids", job_ids)), 0)
        self._followed: OrderedDict[str, int] = OrderedDict()
        self._unsaid: list[tuple[bool, str]] = []
        """Whether it was added or removed, and which."""
        if len(self._revisions) > MOST_JOBS:
            rule = f"has {len(self._revisions)} ids; one watch takes at most {MOST_JOBS}"
            raise invalid(f"job_ids {rule}", Violation(field="job_ids", description=rule))

    @property
    def follows(self) -> bool:
        """Whether it goes on when every named job has ended."""
        return self._every or bool(self._labels)

    @property
    def over(self) -> bool:
        """Nothing more can come."""
        return not self.follows and not self._revisions

    def add(self, job_id: str) -> None:
        """Watch this one too."""
        self._revisions[job_id] = 0
        self._unsaid.append((True, job_id))

    def remove(self, job_id: str) -> None:
        """Not this one any more."""
        if self._revisions.pop(job_id, None) is not None:
            self._unsaid.append((False, job_id))

    def opening(self) -> list[service_pb2.WatchJobsRequest]:
        """What a new stream is told first."""
        self._unsaid.clear()
        start = service_pb2.WatchJobsRequest.Start(
            tenant=self._tenant, all=self._every, labels=self._labels, resume_token=self._token
        )
        named = (_adding(chunk) for chunk in chunks(self._revisions.items(), MOST_A_MESSAGE))
        return [service_pb2.WatchJobsRequest(start=start), *named]

    def changes(self) -> list[service_pb2.WatchJobsRequest]:
        """What the stream that is open has not been told yet."""
        unsaid, self._unsaid = self._unsaid, []
        return [
            _adding((job_id, 0) for _, job_id in chunk) if added else _removing(job_id for _, job_id in chunk)
            for added, run in groupby(unsaid, key=lambda change: change[0])
            for chunk in chunks(run, MOST_A_MESSAGE)
        ]

    def take(self, response: service_pb2.WatchJobsResponse) -> list[WatchEvent]:
        """What is new in it. The last event has its resume_token, those before it the one before it.

        Where nothing else is new, a newer token is an event by itself: the caller's would be too old some day.
        """
        before = WatchEvent(job_id="", job=None, error=None, reset=False, resume_token=self._token)
        events = [replace(before, reset=True)] if response.reset else []
        events += [
            replace(before, job_id=message.job_id, job=wire.job(message))
            for message in response.jobs
            if self._is_new(message)
        ]
        events += [
            replace(before, job_id=failed.job_id, error=from_status(failed.error))
            for failed in response.errors
            if self._revisions.pop(failed.job_id, None) is not None
        ]
        self._token = response.resume_token or self._token
        if self.follows and not events and self._token != before.resume_token:
            events = [before]
        if events:
            events[-1] = replace(events[-1], resume_token=self._token)
        return events

    def _is_new(self, message: job_pb2.Job) -> bool:
        job_id, revision = message.job_id, message.revision
        final = wire.job_state(message.state).final
        if job_id in self._revisions:
            new = final or revision > self._revisions[job_id]
            self._revisions[job_id] = revision
            if final:
                del self._revisions[job_id]
        else:
            new = self.follows and revision > self._followed.get(job_id, 0)
        if self.follows:
            self._remember(job_id, revision)
        return new

    def _remember(self, job_id: str, revision: int) -> None:
        self._followed[job_id] = max(revision, self._followed.get(job_id, 0))
        self._followed.move_to_end(job_id)
        if len(self._followed) > _REMEMBERED:
            self._followed.popitem(last=False)


def _adding(jobs: Iterable[tuple[str, int]]) -> service_pb2.WatchJobsRequest:
    revisions = [service_pb2.JobRevision(job_id=job_id, after_revision=revision) for job_id, revision in jobs]
    return service_pb2.WatchJobsRequest(add=service_pb2.WatchJobsRequest.Add(jobs=revisions))


def _removing(job_ids: Iterable[str]) -> service_pb2.WatchJobsRequest:
    return service_pb2.WatchJobsRequest(remove=service_pb2.WatchJobsRequest.Remove(job_ids=job_ids))


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """At most *size* at a time."""
    rest = iter(items)
    return iter(lambda: list(islice(rest, size)), [])
