"""Many submits or waits of AsyncClient at once, each with a result of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from datetime import timedelta

import grpc

from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client.errors import DeadlineExceeded, SubmitManyError, TelecineError, WaitManyError
from telecine_client.values import Job

Submit = Callable[[service_pb2.SubmitJobRequest], Awaitable[Job]]


async def submit_all(requests: Iterable[service_pb2.SubmitJobRequest], submit: Submit, *, in_flight: int) -> list[Job]:
    """Submit each, at most *in_flight* at a time. Raises SubmitManyError when some failed, after all were tried."""
    room = asyncio.Semaphore(in_flight)
    job_ids: list[str] = []
    tasks: list[asyncio.Task[Job | TelecineError]] = []

    async def one(request: service_pb2.SubmitJobRequest) -> Job | TelecineError:
        try:
            return await submit(request)
        except TelecineError as refused:
            return refused
        finally:
            room.release()

    try:
        for request in requests:
            await room.acquire()
            job_ids.append(request.job_id)
            tasks.append(asyncio.create_task(one(request)))
        results = [await task for task in tasks]
    finally:
        await _end(tasks)
    return all_accepted(job_ids, results)


def all_accepted(job_ids: list[str], results: list[Job | TelecineError]) -> list[Job]:
    """The results, when every one is a job. Raises SubmitManyError else."""
    jobs = [result for result in results if isinstance(result, Job)]
    if len(jobs) < len(results):
        raise SubmitManyError(job_ids, results)
    return jobs


async def wait_for_all(
    job_ids: Iterable[str], end: Callable[[str], Awaitable[Job]], timeout: timedelta | None
) -> dict[str, Job]:
    """The last snapshot of each, by id. Raises WaitManyError when some could not be seen within *timeout*."""

    async def one(job_id: str) -> Job | TelecineError:
        try:
            return await end(job_id)
        except TelecineError as failed:
            return failed

    tasks = {job_id: asyncio.create_task(one(job_id)) for job_id in dict.fromkeys(job_ids)}
    try:
        if tasks:
            await asyncio.wait(tasks.values(), timeout=timeout.total_seconds() if timeout is not None else None)
        results = {
            job_id: task.result() if task.done() else not_ended(job_id, timeout) for job_id, task in tasks.items()
        }
    finally:
        await _end(tasks.values())
    return all_ended(results)


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


async def _end(tasks: Collection[asyncio.Task[Job | TelecineError]]) -> None:
    """Leave none behind, whatever ended us."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
