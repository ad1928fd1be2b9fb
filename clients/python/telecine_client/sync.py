"""The client of programs without an event loop: AsyncClient's calls, each of which blocks its thread."""

from __future__ import annotations

import builtins
from collections.abc import Generator, Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Self, Unpack

import grpc

from telecine_client import blocking_submission, blocking_watch, calls
from telecine_client.arguments import checked_duration, checked_several
from telecine_client.backoff import Backoff
from telecine_client.blocking_schedulers import BlockingSchedulers, Clock
from telecine_client.blocking_waits import BlockingWaits
from telecine_client.calls import AnyJob, Response, Value
from telecine_client.errors import DeadlineExceeded, TelecineError
from telecine_client.many import LONGEST_LOOK, all_ended, not_ended
from telecine_client.settings import DEFAULT_TIMEOUT, SecurityOptions, Settings
from telecine_client.spec import AnySpec
from telecine_client.states import JobState
from telecine_client.values import Job, Page, QueueStats, WatchEvent, Worker
from telecine_client.watched_jobs import WatchedJobs


class Client:
    """Submits jobs, looks at them, cancels them and watches them to their end.

        with Client() as client:
            job = client.submit(spec)
            job = client.wait(job.job_id)

    The calls, what they promise and what they raise are those of AsyncClient, and so are the arguments but for these: there
    is no *coalesce* (a submit is a call of its own; submit_many uses streams), wait has no *full* (its job is always
    complete), and *in_flight* of submit_many counts jobs that go out together. May be shared by threads. A generator that
    is left before its end should be closed: contextlib.closing(client.watch(...)).
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        tenant: str | None = None,
        timeout: timedelta = DEFAULT_TIMEOUT,
        **security: Unpack[SecurityOptions],
    ) -> None:
        """Connects when first used. Raises ValueError for an argument, or a variable of the environment, that cannot be."""
        settings = Settings.resolve(address, tenant, timeout, security)
        self._open(settings, None, None)

    @classmethod
    def over(
        cls,
        channel: grpc.Channel,
        *,
        tenant: str | None = None,
        timeout: timedelta = DEFAULT_TIMEOUT,
        clock: Clock | None = None,
    ) -> Self:
        """A client over a channel of your own, with its address, credentials and interceptors; you close it yourself.

        With grpc_testing.channel and a grpc_testing clock a program can be tested without a scheduler.
        """
        client = cls.__new__(cls)
        client._open(Settings.of_a_channel(tenant, timeout), clock, channel)  # noqa: SLF001 - its own
        return client

    def _open(self, settings: Settings, clock: Clock | None, channel: grpc.Channel | None) -> None:
        self.tenant = settings.tenant
        self._timeout = settings.timeout
        self._schedulers = BlockingSchedulers(settings, backoff=Backoff(), clock=clock, channel=channel)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of the schedulers, in the order in which they are tried."""
        return self._schedulers.rotation.addresses

    def submit(self, spec: AnySpec, *, job_id: str | None = None, validate_only: bool = False) -> Job:
        """Hand over a job; once this returns it is durable and will reach a final state. See AsyncClient.submit."""
        request = calls.submit_request(self.tenant, spec, job_id, validate_only=validate_only)
        return self._call(calls.submit(request))

    def submit_batch(self, jobs: Iterable[AnyJob], *, validate_only: bool = False) -> builtins.list[Job]:
        """Hand over at most 500 jobs, all or none; the answers are in the same order. See AsyncClient.submit_batch."""
        call = calls.submit_batch(self.tenant, jobs, validate_only=validate_only)
        return self._call(call)

    def submit_many(self, jobs: Iterable[AnyJob], *, in_flight: int = 2000) -> builtins.list[Job]:
        """Hand over any number of jobs, each on its own: *in_flight* of them, and once these are answered the next.

        The answers are in the same order. Raises SubmitManyError as AsyncClient.submit_many does.
        """
        self._schedulers.check()
        return blocking_submission.submit_all(
            self._schedulers,
            calls.submit_each(self.tenant, jobs),
            timeout=self._timeout,
            in_flight=calls.checked_in_flight(in_flight),
        )

    def get(self, job_id: str, *, full: bool = True) -> Job:
        """The job as it is now; not *full*: without spec, attempts and artifacts. Raises JobNotFound."""
        return self._call(calls.get(self.tenant, job_id, full=full))

    def list(
        self,
        *,
        states: Iterable[JobState] = (),
        labels: Mapping[str, str] | None = None,
        limit: int | None = None,
        page_size: int = 0,
        full: bool = False,
    ) -> Generator[Job, None, None]:
        """The tenant's jobs, newest first, fetched in pages. See AsyncClient.list."""
        listing = calls.Listing(self.tenant, states, labels, limit=limit, page_size=page_size, full=full)
        while (call := listing.next_call()) is not None:
            yield from listing.take(self._call(call))

    def list_page(
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
        return self._call(call)

    def cancel(self, job_id: str, reason: str = "") -> Job:
        """Ask for the job to end; once this returns it never succeeds. See AsyncClient.cancel."""
        return self._call(calls.cancel(self.tenant, job_id, reason))

    def retry(self, job_id: str, *, expected_generation: int = 0) -> Job:
        """Run a FAILED or CANCELLED job again, as a new generation. See AsyncClient.retry."""
        if expected_generation == 0:
            expected_generation = self.get(job_id, full=False).generation
        call = calls.retry(self.tenant, job_id, expected_generation=expected_generation)
        return self._call(call)

    def delete(self, job_id: str) -> None:
        """Delete a finished job's record; its files stay, its id stays taken for 24 h. Raises JobNotFound, JobNotFinished."""
        self._call(calls.delete(self.tenant, job_id))

    def queue_stats(self, queue: str = "") -> QueueStats:
        """How full the tenant's queue is (empty: all its queues), and how many workers serve it."""
        return self._call(calls.queue_stats(self.tenant, queue))

    def workers(self, *, page_size: int = 0) -> Generator[Worker, None, None]:
        """The workers that are connected to any scheduler, by id; fetched in pages (0: as large as the scheduler likes)."""
        page: calls.WorkerPage | None = None
        while page is None or page.next_page_token:
            token = page.next_page_token if page else ""
            page = self._call(calls.workers(page_size, token))
            yield from page.workers

    def watch(
        self, job_id: str, after_revision: int = 0, *, outage_timeout: timedelta | None = None
    ) -> Generator[Job, None, None]:
        """Give the job as it is, each newer snapshot, and always the final one, over broken streams. See AsyncClient.watch."""
        request = calls.watch(self.tenant, job_id, after_revision)
        return blocking_watch.watch(self._schedulers, request, outage_timeout=outage_timeout)

    def watch_many(
        self,
        job_ids: Iterable[str] = (),
        *,
        all: bool = False,  # noqa: A002 - the contract's word
        labels: Mapping[str, str] | None = None,
        resume_token: str | None = None,
        outage_timeout: timedelta | None = None,
    ) -> Generator[WatchEvent, None, None]:
        """Changes of many jobs over one stream, which is resumed when it breaks. See AsyncClient.watch_many."""
        watched = WatchedJobs(self.tenant, job_ids, every=all, labels=labels, resume_token=resume_token)
        return blocking_watch.watch_many(self._schedulers, watched, outage_timeout=outage_timeout)

    def wait(self, job_id: str, timeout: timedelta | None = None) -> Job:
        """The final job, complete. Raises JobNotFound, JobDeleted; DeadlineExceeded when it did not end within *timeout*,
        after one look at the end.
        """
        checked_duration("timeout", timeout)
        deadline = None if timeout is None else self._schedulers.now() + timeout.total_seconds()
        request = calls.watch(self.tenant, job_id, full=True)
        try:
            return blocking_watch.end(self._schedulers, request, deadline)
        except DeadlineExceeded as late:
            job = self._look(job_id)
            if job is None:
                raise not_ended(job_id, timeout) from late
            return job

    def _look(self, job_id: str) -> Job | None:
        """The job, if it has ended by now; None also where that is not to be had."""
        try:
            job = self._schedulers.call(calls.get(self.tenant, job_id), timeout=LONGEST_LOOK)
        except TelecineError:
            # The wait's own time is over; that nothing can be asked is no news about the job.
            return None
        return job if job.state.final else None

    def wait_many(self, job_ids: Iterable[str], timeout: timedelta | None = None) -> dict[str, Job]:
        """The jobs when all are final, by id, with their artifacts. See AsyncClient.wait_many.

        Of more than 10,000 the later ones are watched after the earlier ones.
        """
        self._schedulers.check()
        checked_duration("timeout", timeout)
        waits = BlockingWaits(self._schedulers, self.tenant, timeout)
        return all_ended(waits.ends(checked_several("job_ids", job_ids)))

    def _call(self, call: calls.Call[Response, Value]) -> Value:
        self._schedulers.check()
        return self._schedulers.call(call, timeout=self._timeout)

    def close(self) -> None:
        """End every call and connection; other threads that wait for an answer get Unavailable. May be called twice."""
        self._schedulers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
