"""Many submits or waits of AsyncClient at once, each with a result of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from datetime import timedelta
from typing import Any, Protocol

import grpc

from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client.errors import DeadlineExceeded, InvalidRequest, SubmitManyError, TelecineError, WaitManyError
from telecine_client.values import Job

Submit = Callable[[service_pb2.SubmitJobRequest], Awaitable[Job]]
Asked = tuple[str, service_pb2.SubmitJobRequest | InvalidRequest]
"""A job's id, and what is sent for it or why nothing can be."""

# The look at jobs for whose ends the time of a wait was too short.
LONGEST_LOOK = timedelta(seconds=5)


async def submit_all(jobs: Iterable[Asked], submit: Submit, *, in_flight: int) -> list[Job]:
    """Submit each, at most *in_flight* at a time.

    Raises SubmitManyError when some failed, after all were tried, or when *jobs* raises, after those before were tried.
    """
    room = asyncio.Semaphore(in_flight)
    job_ids: list[str] = []
    tasks: list[asyncio.Task[Job | TelecineError]] = []

    async def one(asked: service_pb2.SubmitJobRequest | InvalidRequest) -> Job | TelecineError:
        try:
            return asked if isinstance(asked, InvalidRequest) else await submit(asked)
        except TelecineError as refused:
            return refused
        finally:
            room.release()

    try:
        given = AskedJobs(jobs)
        for job_id, asked in given:
            await room.acquire()
            job_ids.append(job_id)
            tasks.append(asyncio.create_task(one(asked)))
        results = [await task for task in tasks]
    finally:
        await _end(tasks)
    return all_accepted(job_ids, results, given.error)


class AskedJobs:
    """The jobs that an iterable of the caller's gives, up to its end or its error."""

    def __init__(self, jobs: Iterable[Asked]) -> None:
        self.error: Exception | None = None
        self._jobs = iter(jobs)

    def __iter__(self) -> Iterator[Asked]:
        try:
            yield from self._jobs
        except Exception as error:  # noqa: BLE001 - the caller's own, raised with what was submitted until then
            self.error = error


def all_accepted(
    job_ids: list[str], results: list[Job | TelecineError], broken_off: Exception | None = None
) -> list[Job]:
    """The results, when every one is a job. Raises SubmitManyError else, from the iterable's own error where there was one."""
    jobs = [result for result in results if isinstance(result, Job)]
    if broken_off is not None or len(jobs) < len(results):
        raise SubmitManyError(job_ids, results, broken_off=broken_off is not None) from broken_off
    return jobs


class Ends(Protocol):
    """What is asked about single jobs."""

    async def end(self, job_id: str) -> Job:
        """Once it has ended."""

    def heard_of(self, job_id: str) -> bool:
        """Whether anything came about it while *end* waits."""

    async def look(self, job_id: str) -> Job | None:
        """If it has ended by now."""


async def wait_for_all(job_ids: Iterable[str], ends: Ends, timeout: timedelta | None) -> dict[str, Job]:
    """The last snapshot of each, by id. Raises WaitManyError when some could not be seen within *timeout*."""

    async def one(job_id: str) -> Job | TelecineError:
        try:
            return await ends.end(job_id)
        except TelecineError as failed:
            return failed

    tasks = {job_id: asyncio.create_task(one(job_id)) for job_id in dict.fromkeys(job_ids)}
    try:
        if tasks:
            await asyncio.wait(tasks.values(), timeout=timeout.total_seconds() if timeout is not None else None)
        unheard = [job_id for job_id, task in tasks.items() if not task.done() and not ends.heard_of(job_id)]
        looked = await _looks(unheard, ends)
        results = {
            job_id: task.result() if task.done() else looked.get(job_id) or not_ended(job_id, timeout)
            for job_id, task in tasks.items()
        }
    finally:
        await _end(tasks.values())
    return all_ended(results)


async def _looks(job_ids: Collection[str], ends: Ends) -> dict[str, Job]:
    """Those that have ended by now, as far as that can be learned within LONGEST_LOOK for all of them."""
    found: dict[str, Job] = {}

    async def one(job_id: str) -> None:
        job = await ends.look(job_id)
        if job is not None:
            found[job_id] = job

    looks = [asyncio.create_task(one(job_id)) for job_id in job_ids]
    try:
        if looks:
            await asyncio.wait(looks, timeout=LONGEST_LOOK.total_seconds())
    finally:
        await _end(looks)
    return found


def all_ended(results: dict[str, Job | TelecineError]) -> dict[str, Job]:
    """The results, when every one is a job. Raises WaitManyError else."""
    jobs = {job_id: result for job_id, result in results.items() if isinstance(result, Job)}
    errors = {job_id: result for job_id, result in results.items() if isinstance(result, TelecineError)}
    if errors:
        raise WaitManyError(jobs, errors)
    return jobs


def not_ended(job_id: str, timeout: timedelta | None) -> DeadlineExceeded:
    """What a wait ends with whose time is over."""
    return DeadlineExceeded(
        f"the job {job_id} did not end within {timeout}; it goes on", code=grpc.StatusCode.DEADLINE_EXCEEDED
    )


async def _end(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Leave none behind, whatever ended us."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
