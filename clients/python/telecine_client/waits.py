"""All waits of one AsyncClient for the ends of jobs, over as few WatchJobs streams as they need: one for ten thousand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta

import grpc

from telecine_client import calls
from telecine_client.errors import TelecineError, Unimplemented, closed, error
from telecine_client.job_id import checked_job_id
from telecine_client.jobs_watch import JobsWatch
from telecine_client.many import LONGEST_LOOK
from telecine_client.schedulers import Schedulers
from telecine_client.values import Job, WatchEvent
from telecine_client.watch import watch
from telecine_client.watched_jobs import MOST_JOBS, WatchedJobs

End = asyncio.Future[Job]

# Thousands of jobs may end together; their calls must not come together.
MOST_COMPLETED_AT_ONCE = 32


class Waits:
    """Nothing is open before the first wait; the streams stay open for the next ones, until they break or are closed."""

    def __init__(self, schedulers: Schedulers, tenant: str) -> None:
        self._schedulers = schedulers
        self._tenant = tenant
        self._shared: list[_SharedWatch] = []
        self._completing = asyncio.Semaphore(MOST_COMPLETED_AT_ONCE)
        self._each_alone = False
        """A scheduler has no WatchJobs."""

    async def end(self, job_id: str) -> Job:
        """The job's last snapshot, with artifacts; without spec and attempts. Raises a TelecineError as every watch does."""
        checked_job_id(job_id)
        if not self._each_alone:
            try:
                return await self._room(job_id).end(job_id)
            except Unimplemented:
                self._each_alone = True
        async with aclosing(self._alone(job_id)) as jobs:
            async for job in jobs:
                if job.state.final:
                    return job
        raise AssertionError("a watch ends with a final job or an error")

    def heard_of(self, job_id: str) -> bool:
        """Whether anything came about a job that is waited for."""
        return any(each.heard_of(job_id) for each in self._shared)

    async def look(self, job_id: str) -> Job | None:
        """The job, if it has ended by now; None also where that is not to be had. For waits that had no time to hear of it."""
        try:
            async with self._completing:
                job = await self._schedulers.call(calls.get(self._tenant, job_id), timeout=LONGEST_LOOK)
        except TelecineError:
            # The wait's own time is over; that nothing can be asked is no news about the job.
            return None
        return job if job.state.final else None

    async def completed(self, job: Job, timeout: timedelta) -> Job:
        """The final *job* with spec and attempts; as it is when they are not to be had any more, or not within *timeout*."""
        if job.spec is not None:
            return job
        try:
            async with self._completing:
                whole = await self._schedulers.call(calls.get(self._tenant, job.job_id), timeout=timeout)
        except TelecineError:
            # It was deleted, or no scheduler is there just now: that it ended, and how, was seen all the same.
            return job
        return whole if whole.revision == job.revision else job

    def _alone(self, job_id: str) -> AsyncGenerator[Job, None]:
        request = calls.watch(self._tenant, job_id, full=True)
        return watch(self._schedulers, request, outage_timeout=None)

    def _room(self, job_id: str) -> _SharedWatch:
        self._schedulers.check()
        self._shared = [each for each in self._shared if not each.over]
        for each in self._shared:
            if each.has_room_for(job_id):
                return each
        self._shared.append(_SharedWatch(self._schedulers, self._tenant))
        return self._shared[-1]

    async def close(self) -> None:
        """End the streams; whoever still waits is told that the client was closed."""
        await asyncio.gather(*(each.close() for each in self._shared))


class _SharedWatch:
    """One stream and the task that reads it."""

    def __init__(self, schedulers: Schedulers, tenant: str) -> None:
        self._schedulers = schedulers
        self._watched = WatchedJobs(tenant)
        self._watch = JobsWatch(schedulers, self._watched, outage_timeout=None)
        self._ends: dict[str, list[End]] = {}
        self._heard: set[str] = set()
        """Of the jobs in _ends."""
        self._running = asyncio.create_task(self._run())

    @property
    def over(self) -> bool:
        return self._running.done()

    def heard_of(self, job_id: str) -> bool:
        return job_id in self._heard

    def has_room_for(self, job_id: str) -> bool:
        return job_id in self._ends or len(self._ends) < MOST_JOBS

    async def end(self, job_id: str) -> Job:
        end: End = asyncio.get_running_loop().create_future()
        if job_id not in self._ends:
            self._watch.add(job_id)
        self._ends.setdefault(job_id, []).append(end)
        try:
            return await end
        finally:
            self._leave(job_id, end)

    async def close(self) -> None:
        if not self.over:
            self._running.cancel()
            await asyncio.wait([self._running])

    def _leave(self, job_id: str, end: End) -> None:
        others = self._ends.get(job_id, [])
        if end in others:
            others.remove(end)
            if not others:
                del self._ends[job_id]
                self._heard.discard(job_id)
                self._watch.remove(job_id)

    async def _run(self) -> None:
        ended = error(grpc.StatusCode.INTERNAL, "the watch of the jobs could not be read")
        try:
            async with aclosing(self._watch.events()) as events:
                async for together in events:
                    for event in together:
                        self._take(event)
        except TelecineError as broken:
            ended = broken
        finally:
            if self._schedulers.closed:
                ended = closed()
            for job_id in list(self._ends):
                self._fail(job_id, ended)

    def _take(self, event: WatchEvent) -> None:
        if event.error is not None:
            self._fail(event.job_id, event.error)
        elif event.job is not None and event.job.state.final:
            for end in self._taken(event.job_id):
                end.set_result(event.job)
        elif event.job_id in self._ends:
            self._heard.add(event.job_id)

    def _fail(self, job_id: str, why: TelecineError) -> None:
        """Each gets an exception of their own, because each raises it."""
        for end in self._taken(job_id):
            end.set_exception(type(why)(why.message, code=why.code, details=why.details))

    def _taken(self, job_id: str) -> list[End]:
        self._heard.discard(job_id)
        return [end for end in self._ends.pop(job_id, []) if not end.done()]
