"""The client."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from types import TracebackType
from typing import Self

import grpc

from telecine.v1 import job_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client import wire
from telecine_client.backoff import Backoff
from telecine_client.errors import error
from telecine_client.job_id import new_job_id
from telecine_client.schedulers import Schedulers, parse_addresses
from telecine_client.spec import AnySpec, job_spec
from telecine_client.values import Job
from telecine_client.watch import watch

DEFAULT_ADDRESS = "127.0.0.1:50051"
DEFAULT_TENANT = "default"
DEFAULT_TIMEOUT = timedelta(seconds=30)


class AsyncClient:
    """Submits jobs, looks at them, cancels them and watches them to their end.

        async with AsyncClient() as client:
            job = await client.submit(spec)
            job = await client.wait(job.job_id)

    *address* is HOST:PORT or a comma list of them, which are tried in turn (default: TELECINE_ADDRESS, else
    127.0.0.1:50051); *tenant* defaults to TELECINE_TENANT, else "default". *timeout* bounds each of submit, get and
    cancel: while no scheduler can be reached they are tried again, with growing random pauses or as long as the
    scheduler asks, and then raise Unavailable.

    Every call raises TelecineError (see telecine_client.errors). May be shared by the tasks of one event loop.
    """

    def __init__(
        self, address: str | None = None, *, tenant: str | None = None, timeout: timedelta = DEFAULT_TIMEOUT
    ) -> None:
        """Connects when first used. Raises ValueError for what is no address, or a timeout that is not positive."""
        if timeout <= timedelta():
            raise ValueError(f"the timeout has to be positive, not {timeout}")
        text = os.environ.get("TELECINE_ADDRESS") or DEFAULT_ADDRESS if address is None else address
        self.tenant = os.environ.get("TELECINE_TENANT") or DEFAULT_TENANT if tenant is None else tenant
        self._timeout = timeout
        self._schedulers = Schedulers(parse_addresses(text), backoff=Backoff())

    @property
    def addresses(self) -> tuple[str, ...]:
        """Of the schedulers, in the order in which they are tried."""
        return self._schedulers.addresses

    async def submit(self, spec: AnySpec, *, job_id: str | None = None) -> Job:
        """Hand over a job; once this returns it is durable and will reach a final state.

        The id is chosen here before the first send, so that a repeated send is never a second job. With an id of your
        own you may repeat the whole call: the same spec returns the job that exists, another one raises JobExists.
        """
        request = service_pb2.SubmitJobRequest(
            tenant=self.tenant, job_id=new_job_id() if job_id is None else job_id, spec=job_spec(spec)
        )
        response = await self._schedulers.call(lambda stub: stub.SubmitJob, request, timeout=self._timeout)
        return wire.job(response.job)

    async def get(self, job_id: str) -> Job:
        """The job as it is now. Raises JobNotFound."""
        request = service_pb2.GetJobRequest(tenant=self.tenant, job_id=job_id)
        response = await self._schedulers.call(lambda stub: stub.GetJob, request, timeout=self._timeout)
        return wire.job(response.job)

    async def cancel(self, job_id: str, reason: str = "") -> Job:
        """Ask for the job to end; once this returns it never succeeds. *reason* is kept with the job, for people.

        The answer is CANCELLED, or CANCELLING while a worker stops. Cancelling twice is fine. Raises JobNotFound;
        JobFinished when it had succeeded or failed; Publishing when it is about to.
        """
        request = service_pb2.CancelJobRequest(tenant=self.tenant, job_id=job_id, reason=reason)
        response = await self._schedulers.call(lambda stub: stub.CancelJob, request, timeout=self._timeout)
        return wire.job(response.job)

    async def watch(
        self, job_id: str, after_revision: int = 0, *, outage_timeout: timedelta | None = None
    ) -> AsyncGenerator[Job, None]:
        """Give the job as it is (unless *after_revision* is its revision), each newer snapshot, and always the final one.

        Revisions rise; those that come faster than they are read are left out, but `recent_changes` has the
        last 20 changes of state. Broken streams are resumed. Raises Unavailable when no scheduler answered for
        *outage_timeout* (None: never).
        """
        request = service_pb2.WatchJobRequest(tenant=self.tenant, job_id=job_id, after_revision=after_revision)
        async with aclosing(watch(self._schedulers, request, outage_timeout=outage_timeout)) as jobs:
            async for job in jobs:
                yield job

    async def wait(self, job_id: str, timeout: timedelta | None = None) -> Job:
        """The final job, complete. Raises DeadlineExceeded (a TimeoutError) when it did not end within *timeout*."""
        request = service_pb2.WatchJobRequest(tenant=self.tenant, job_id=job_id, view=job_pb2.JOB_VIEW_FULL)
        limit = asyncio.timeout(timeout.total_seconds() if timeout is not None else None)
        try:
            async with limit, aclosing(watch(self._schedulers, request, outage_timeout=None)) as jobs:
                async for job in jobs:
                    if job.state.final:
                        return job
        except TimeoutError as late:
            if not limit.expired():
                raise
            raise error(
                grpc.StatusCode.DEADLINE_EXCEEDED, f"the job {job_id} did not end within {timeout}; it goes on"
            ) from late
        raise AssertionError("a watch ends with a final job or an error")

    async def close(self) -> None:
        """End every call and connection."""
        await self._schedulers.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
