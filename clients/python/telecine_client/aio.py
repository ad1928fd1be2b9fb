"""The client of programs that run an event loop."""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from datetime import timedelta
from types import TracebackType
from typing import Self, Unpack

from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import calls
from telecine_client.arguments import checked_duration, checked_several
from telecine_client.backoff import Backoff
from telecine_client.calls import AnyJob, Response, Value
from telecine_client.jobs_watch import JobsWatch
from telecine_client.many import not_ended, submit_all, wait_for_all
from telecine_client.schedulers import Schedulers
from telecine_client.settings import DEFAULT_TIMEOUT, SecurityOptions, Settings
from telecine_client.spec import AnySpec
from telecine_client.states import JobState
from telecine_client.submit_stream import SubmitStreams
from telecine_client.values import Job, Page, QueueStats, WatchEvent, Worker
from telecine_client.waits import Waits
from telecine_client.watch import watch
from telecine_client.watched_jobs import WatchedJobs


class AsyncClient:
    """Submits jobs, looks at them, cancels them and watches them to their end.

        async with AsyncClient() as client:
            job = await client.submit(spec)
            job = await client.wait(job.job_id)

    *address* is HOST:PORT or a comma list of them, which are tried in turn (default: TELECINE_ADDRESS, else
    127.0.0.1:50051); *tenant* defaults to TELECINE_TENANT, else "default". *timeout* bounds each single call: while no
    scheduler can be reached it is tried again, with growing random pauses or as long as the scheduler asks, and then
    raises Unavailable. Of several schedulers one that hangs is left after its share of the time. *coalesce* sends what is
    submitted at the same time in one message (False: a call for each job). TLS and tokens: see SecurityOptions.

    Every call raises TelecineError (see telecine_client.errors), or RuntimeError once the client is closed. May be
    shared by the tasks of one event loop.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        tenant: str | None = None,
        timeout: timedelta = DEFAULT_TIMEOUT,
        coalesce: bool = True,
        **security: Unpack[SecurityOptions],
    ) -> None:
        """Connects when first used. Raises ValueError for an argument, or a variable of the environment, that cannot be."""
        settings = Settings.resolve(address, tenant, timeout, security)
        self.tenant = settings.tenant
        self._timeout = settings.timeout
        self._schedulers = Schedulers(settings, backoff=Backoff())
        self._submissions = SubmitStreams(self._schedulers) if coalesce else None
        self._waits = Waits(self._schedulers, self.tenant)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of the schedulers, in the order in which they are tried."""
        return self._schedulers.rotation.addresses

    async def submit(self, spec: AnySpec, *, job_id: str | None = None, validate_only: bool = False) -> Job:
        """Hand over a job; once this returns it is durable and will reach a final state.

        The id is chosen here before the first send, so that a repeated send is never a second job. With an id of your
        own you may repeat the whole call: the same spec returns the job that exists, another one raises JobExists.
        *validate_only* checks everything and changes nothing; `blocked_reason` says whether a worker could run it now.
        """
        self._schedulers.check()
        return await self._submit(calls.submit_request(self.tenant, spec, job_id, validate_only=validate_only))

    async def submit_batch(self, jobs: Iterable[AnyJob], *, validate_only: bool = False) -> builtins.list[Job]:
        """Hand over at most 500 jobs, all or none; the answers are in the same order.

        InvalidRequest names as many violations as fit, by their places ("requests[3].spec.task"); nothing is stored then.
        """
        call = calls.submit_batch(self.tenant, jobs, validate_only=validate_only)
        return await self._call(call)

    async def submit_many(self, jobs: Iterable[AnyJob], *, in_flight: int = 1000) -> builtins.list[Job]:
        """Hand over any number of jobs, each on its own, at most *in_flight* of them unanswered at a time.

        The answers are in the same order. Raises SubmitManyError when some were not accepted, after all have been tried, or
        when *jobs* itself raises; it has every job's id and result.
        """
        self._schedulers.check()
        requests = calls.submit_each(self.tenant, jobs)
        return await submit_all(requests, self._submit, in_flight=calls.checked_in_flight(in_flight))

    async def get(self, job_id: str, *, full: bool = True) -> Job:
        """The job as it is now; not *full*: without spec, attempts and artifacts. Raises JobNotFound."""
        return await self._call(calls.get(self.tenant, job_id, full=full))

    async def list(
        self,
        *,
        states: Iterable[JobState] = (),
        labels: Mapping[str, str] | None = None,
        limit: int | None = None,
        page_size: int = 0,
        full: bool = False,
    ) -> AsyncGenerator[Job, None]:
        """The tenant's jobs, newest first, at most *limit*: those in one of *states* that have all of *labels*.

        They are fetched in pages (0: as large as the scheduler likes). A job that is there all the while and stays within the
        filter comes exactly once.
        """
        listing = calls.Listing(self.tenant, states, labels, limit=limit, page_size=page_size, full=full)
        while (call := listing.next_call()) is not None:
            for job in listing.take(await self._call(call)):
                yield job

    async def list_page(
        self,
        *,
        states: Iterable[JobState] = (),
        labels: Mapping[str, str] | None = None,
        page_size: int = 0,
        page_token: str = "",
        full: bool = False,
    ) -> Page:
        """One page of such a listing; *page_token* is the `next_page_token` of the one before, empty for the first."""
        call = calls.list_page(self.tenant, states, labels, page_size=page_size, page_token=page_token, full=full)
        return await self._call(call)

    async def cancel(self, job_id: str, reason: str = "") -> Job:
        """Ask for the job to end; once this returns it never succeeds. *reason* is kept with the job, for people.

        The answer is CANCELLED, or CANCELLING while a worker stops. Cancelling twice is fine. Raises JobNotFound;
        JobFinished when it had succeeded or failed; Publishing when it is about to.
        """
        return await self._call(calls.cancel(self.tenant, job_id, reason))

    async def retry(self, job_id: str, *, expected_generation: int = 0) -> Job:
        """Run a FAILED or CANCELLED job again, as a new generation with new counters and time limits.

        *expected_generation* is Job.generation as you saw it; 0: the one it is at now, which is asked for first, so that the
        call can be repeated when its answer is lost. Raises JobNotFound, JobNotFinished, JobSucceeded, GenerationMismatch.
        """
        if expected_generation == 0:
            expected_generation = (await self.get(job_id, full=False)).generation
        call = calls.retry(self.tenant, job_id, expected_generation=expected_generation)
        return await self._call(call)

    async def delete(self, job_id: str) -> None:
        """Delete a finished job's record; its files stay, its id stays taken for 24 h. Raises JobNotFound, JobNotFinished."""
        await self._call(calls.delete(self.tenant, job_id))

    async def queue_stats(self, queue: str = "") -> QueueStats:
        """How full the tenant's queue is (empty: all its queues), and how many workers serve it."""
        return await self._call(calls.queue_stats(self.tenant, queue))

    async def workers(self, *, page_size: int = 0) -> AsyncGenerator[Worker, None]:
        """The workers that are connected to any scheduler, by id; fetched in pages (0: as large as the scheduler likes)."""
        page: calls.WorkerPage | None = None
        while page is None or page.next_page_token:
            token = page.next_page_token if page else ""
            page = await self._call(calls.workers(page_size, token))
            for worker in page.workers:
                yield worker

    async def watch(
        self, job_id: str, after_revision: int = 0, *, outage_timeout: timedelta | None = None
    ) -> AsyncGenerator[Job, None]:
        """Give the job as it is (unless *after_revision* is its revision), each newer snapshot, and always the final one.

        Revisions rise; those that come faster than they are read are left out, but `recent_changes` has the
        last 20 changes of state. Broken streams are resumed. Raises Unavailable when no scheduler answered for
        *outage_timeout* (None: never).
        """
        request = calls.watch(self.tenant, job_id, after_revision)
        async with aclosing(watch(self._schedulers, request, outage_timeout=outage_timeout)) as jobs:
            async for job in jobs:
                yield job

    async def watch_many(
        self,
        job_ids: Iterable[str] = (),
        *,
        all: bool = False,  # noqa: A002 - the contract's word
        labels: Mapping[str, str] | None = None,
        resume_token: str | None = None,
        outage_timeout: timedelta | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Changes of many jobs over one stream: of those named (at most 10,000), and of the tenant's that have all *labels*,
        or of *all* of them.

        A named job comes as in `watch`; one that cannot be watched is an event with an error. With named jobs alone it ends
        when each has ended; with labels or *all* it goes on, from now or from a *resume_token* of an earlier event, until
        it is closed. Broken streams are resumed; see WatchEvent.reset. After a break a job's last snapshot may come twice. Keep
        the `resume_token` of each event, also of those about no job: an old one is good for a limited time.
        Raises Unavailable when no scheduler answered for *outage_timeout* (None: never).
        """
        watched = WatchedJobs(self.tenant, job_ids, every=all, labels=labels, resume_token=resume_token)
        if watched.over:
            return
        many = JobsWatch(self._schedulers, watched, outage_timeout=outage_timeout)
        async with aclosing(many.events()) as events:
            async for together in events:
                for event in together:
                    yield event
                if watched.over:
                    return

    async def wait(self, job_id: str, timeout: timedelta | None = None, *, full: bool = True) -> Job:
        """The job when it is final. Raises JobNotFound, JobDeleted; DeadlineExceeded (a TimeoutError) when it did not end
        within *timeout* (None: waits as long as it takes, whatever schedulers come and go), after one look at the end.

        All waits of one client share a stream. Not *full* saves a call, and leaves spec and attempts out; they are also
        out when the job was deleted or retried in the moment of its end, or when they could not be had in time.
        """
        job: Job | None = None
        checked_duration("timeout", timeout)
        limit = asyncio.timeout(timeout.total_seconds() if timeout is not None else None)
        try:
            async with limit:
                job = await self._waits.end(job_id)
                return await self._waits.completed(job, self._timeout) if full else job
        except TimeoutError as late:
            if not limit.expired():
                raise
            job = job or await self._waits.look(job_id)
            if job is None:
                raise not_ended(job_id, timeout) from late
            return job

    async def wait_many(self, job_ids: Iterable[str], timeout: timedelta | None = None) -> dict[str, Job]:
        """The jobs when all are final, by id, with their artifacts; spec and attempts are left out (see get).

        Raises WaitManyError, with what was seen, when some could not be waited for or did not end within *timeout*. Those
        that nothing was heard of until then are looked at once.
        """
        wanted = checked_several("job_ids", job_ids)
        return await wait_for_all(wanted, self._waits, checked_duration("timeout", timeout))

    async def close(self) -> None:
        """End every call and connection; whoever still waits for an answer gets Unavailable. May be called twice.

        Raises RuntimeError in another event loop than the client's.
        """
        await self._schedulers.close()
        await self._waits.close()
        if self._submissions is not None:
            await self._submissions.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def _call(self, call: calls.Call[Response, Value]) -> Value:
        self._schedulers.check()
        return await self._schedulers.call(call, timeout=self._timeout)

    async def _submit(self, request: service_pb2.SubmitJobRequest) -> Job:
        async def attempt(address: str, seconds: float) -> service_pb2.SubmitJobResponse:
            if self._submissions is None or request.validate_only:
                return await self._schedulers.unary(address, "SubmitJob", request, seconds)
            return await self._submissions.attempt(address, request, seconds)

        return calls.submitted(await self._schedulers.repeat(attempt, timeout=self._timeout))
