"""Waits of Client for the ends of many jobs: over one WatchJobs stream for ten thousand, one such stream after the other."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from datetime import timedelta

from telecine_client import blocking_watch, calls
from telecine_client.blocking_schedulers import BlockingSchedulers
from telecine_client.errors import DeadlineExceeded, InvalidRequest, TelecineError, Unimplemented
from telecine_client.job_id import checked_job_id
from telecine_client.many import LONGEST_LOOK, not_ended
from telecine_client.values import Job
from telecine_client.watched_jobs import MOST_JOBS, WatchedJobs, chunks

Ends = dict[str, Job | TelecineError]


class BlockingWaits:
    """For several jobs until a deadline of the schedulers' clock (*timeout* None: without end).

    Those that nothing was heard of until then, as there was no time for them, are looked at once.
    """

    def __init__(self, schedulers: BlockingSchedulers, tenant: str, timeout: timedelta | None) -> None:
        self._schedulers = schedulers
        self._tenant = tenant
        self._timeout = timeout
        self._deadline = None if timeout is None else schedulers.now() + timeout.total_seconds()
        self._looking = False
        self._ends: Ends = {}
        self._heard: set[str] = set()

    def ends(self, job_ids: Iterable[str]) -> Ends:
        """What each ended as, or why that was not seen, by id and in their order."""
        wanted = list(dict.fromkeys(job_ids))
        self._wait_for(filter(self._can_be, wanted))
        unheard = [job_id for job_id in wanted if job_id not in self._heard | self._ends.keys()]
        if unheard:
            self._looking, self._deadline = True, self._schedulers.now() + LONGEST_LOOK.total_seconds()
            self._wait_for(unheard)
        return {job_id: self._ends.get(job_id) or not_ended(job_id, self._timeout) for job_id in wanted}

    def _can_be(self, job_id: str) -> bool:
        try:
            checked_job_id(job_id)
        except InvalidRequest as wrong:
            self._ends[job_id] = wrong
            return False
        return True

    def _wait_for(self, job_ids: Iterable[str]) -> None:
        for chunk in chunks(job_ids, MOST_JOBS):
            try:
                self._wait_together(chunk)
            except Unimplemented:
                for job_id in chunk:
                    self._wait_alone(job_id)
            except DeadlineExceeded:
                # Those that did not end in time are told so at the end.
                continue
            except TelecineError as failed:
                for job_id in chunk:
                    self._ends.setdefault(job_id, failed)

    def _wait_together(self, job_ids: list[str]) -> None:
        watched = WatchedJobs(self._tenant, job_ids)
        with closing(blocking_watch.watch_many(self._schedulers, watched, deadline=self._deadline)) as events:
            for event in events:
                self._heard.add(event.job_id)
                if event.error is not None:
                    self._ends[event.job_id] = event.error
                elif event.job is not None and event.job.state.final:
                    self._ends[event.job_id] = event.job
                if self._looking and self._heard.issuperset(job_ids):
                    return

    def _wait_alone(self, job_id: str) -> None:
        """Where the scheduler cannot watch many at once."""
        request = calls.watch(self._tenant, job_id, full=True)
        try:
            with closing(blocking_watch.watch(self._schedulers, request, deadline=self._deadline)) as jobs:
                for job in jobs:
                    self._heard.add(job_id)
                    if job.state.final:
                        self._ends[job_id] = job
                    if self._looking:
                        return
        except DeadlineExceeded:
            # It did not end in time; the others may have.
            return
        except TelecineError as failed:
            self._ends[job_id] = failed
