"""What the commands do with jobs that exist, once their options are read. Loaded when a command runs: gRPC comes with it."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta

import typer

from telecine_client.cli import rendering
from telecine_client.cli.connection import Connection
from telecine_client.cli.exits import ExitCode, UsageError, code_of_job, explain, first_bad, say
from telecine_client.cli.following import events_of, follow, follow_all, follow_many
from telecine_client.cli.tables import JobTable
from telecine_client.cli.talk import Talk, talk
from telecine_client.cli.views import tell_end
from telecine_client.errors import TelecineError
from telecine_client.states import JobState
from telecine_client.values import Job

# Rows of a long listing that are printed at a time, and the largest page there is.
BATCH = 500
LARGEST_PAGE = 1000
# Jobs that are asked about at a time.
MOST_LOOKS = 32


def get(connection: Connection, job_ids: Sequence[str]) -> None:
    """The jobs as they are now."""
    shown = 0

    async def command(here: Talk) -> ExitCode:
        async def show(job_id: str) -> None:
            nonlocal shown
            job = await here.client.get(job_id)
            space = "\n" if shown else ""
            here.answer(job, space + "\n".join(rendering.describe(job)))
            shown += 1

        return await here.each(job_ids, show)

    talk(connection, command)


def listing(
    connection: Connection, states: Sequence[JobState], labels: Mapping[str, str], limit: int | None, *, wide: bool
) -> None:
    """The newest jobs, *limit* of them or all."""

    async def command(here: Talk) -> ExitCode:
        table, batch, count = JobTable(wide=wide, width=_terminal_width()), list[Job](), 0
        # One more than is shown tells whether there are more.
        most = None if limit is None else limit + 1
        page_size = min(most or LARGEST_PAGE, LARGEST_PAGE)
        found = here.client.list(states=states, labels=labels, full=wide, limit=most, page_size=page_size)
        async with aclosing(found) as jobs:
            async for job in jobs:
                count += 1
                if count == most:
                    break
                batch.append(job)
                if len(batch) == BATCH:
                    _print(here, table, batch)
                    batch.clear()
        _print(here, table, batch)
        if count == most:
            say(f"only the newest {limit}; --limit N lists more, --all lists all")
        return ExitCode.SUCCEEDED

    talk(connection, command)


def _terminal_width() -> int | None:
    """None where what is printed is read by a program or kept in a file."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _print(here: Talk, table: JobTable, jobs: Sequence[Job]) -> None:
    lines = (job.to_json() for job in jobs) if here.connection.json_lines else table.lines(jobs)
    for line in lines:
        typer.echo(line)


def watch(connection: Connection, job_ids: Sequence[str], labels: Mapping[str, str], *, everything: bool) -> None:
    """The jobs until they have ended; or all jobs, or those with the labels, until interrupted."""
    if sum((bool(job_ids), bool(labels), everything)) != 1:
        raise UsageError("name the jobs to watch, or give --label, or --all")

    async def command(here: Talk) -> ExitCode:
        if len(set(job_ids)) == 1:
            return await follow(here, await here.client.get(job_ids[0]))
        await here.reach()
        return await follow_many(here, job_ids) if job_ids else await follow_all(here, labels)

    talk(connection, command)


def wait(connection: Connection, job_ids: Sequence[str], timeout: timedelta | None) -> None:
    """Say how the jobs ended, once all have, or after *timeout* (None: without end)."""

    async def command(here: Talk) -> ExitCode:
        here.job_ids = tuple(dict.fromkeys(job_ids))
        await here.reach()
        ends = await _ends(here, timeout)
        return first_bad([_tell(here, job_id, ends.get(job_id)) for job_id in here.job_ids])

    talk(connection, command)


async def _ends(here: Talk, timeout: timedelta | None) -> Mapping[str, Job | TelecineError]:
    """The final jobs by id, and why others cannot be watched; those that did not end in time are left out."""
    ends: dict[str, Job | TelecineError] = {}
    unheard = dict.fromkeys(here.job_ids)
    limit = asyncio.timeout(timeout.total_seconds() if timeout is not None else None)
    try:
        async with limit, aclosing(events_of(here)) as events:
            async for event in events:
                unheard.pop(event.job_id, None)
                if event.error is not None:
                    ends[event.job_id] = event.error
                elif event.job is not None and event.job.state.final:
                    ends[event.job_id] = event.job
    except TimeoutError:
        if not limit.expired():
            raise
        ends |= await _looked_at(here, list(unheard))
    return ends


async def _looked_at(here: Talk, job_ids: Sequence[str]) -> Mapping[str, Job | TelecineError]:
    """Those that turn out to have ended, though there was no time to hear of it."""

    async def look(job_id: str) -> Job | TelecineError:
        try:
            async with room:
                return await here.client.get(job_id)
        except TelecineError as failed:
            return failed

    room = asyncio.Semaphore(MOST_LOOKS)
    found = zip(job_ids, await asyncio.gather(*map(look, job_ids)), strict=True)
    return {job_id: seen for job_id, seen in found if isinstance(seen, TelecineError) or seen.state.final}


def _tell(here: Talk, job_id: str, end: Job | TelecineError | None) -> ExitCode:
    """Say how the job ended, or why that is not known."""
    if end is None:
        say(f"the job {job_id} did not end in time; it goes on")
        return ExitCode.NOT_YET
    if isinstance(end, TelecineError):
        return explain(end, about=job_id if len(here.job_ids) > 1 else "")
    here.answer(end, f"{job_id} {rendering.summary(end)}")
    if not here.connection.json_lines:
        tell_end(end)
    return code_of_job(end)


def cancel(connection: Connection, job_ids: Sequence[str], reason: str) -> None:
    """Ask for the jobs to end; does not wait for it."""

    async def command(here: Talk) -> ExitCode:
        async def end(job_id: str) -> None:
            job = await here.client.cancel(job_id, reason)
            here.answer(job, f"{job.job_id} {rendering.summary(job)}")

        return await here.each(job_ids, end)

    talk(connection, command)


def retry(connection: Connection, job_ids: Sequence[str], generation: int, *, wait_for_end: bool) -> None:
    """Run jobs again that failed or were cancelled."""
    if generation and len(set(job_ids)) > 1:
        raise UsageError("--generation is for one job; every job counts its own")
    again: list[Job] = []

    async def command(here: Talk) -> ExitCode:
        async def start(job_id: str) -> None:
            job = await here.client.retry(job_id, expected_generation=generation)
            here.answer(job, f"{job.job_id} {rendering.summary(job)}")
            again.append(job)

        code = await here.each(job_ids, start)
        if not (wait_for_end and again):
            return code
        if len(again) == 1:
            return first_bad([code, await follow(here, again[0])])
        return first_bad([code, await follow_many(here, [job.job_id for job in again])])

    talk(connection, command)


def delete(connection: Connection, job_ids: Sequence[str]) -> None:
    """Remove the records of finished jobs."""

    async def command(here: Talk) -> ExitCode:
        async def remove(job_id: str) -> None:
            await here.client.delete(job_id)
            deleted = {"tenant": here.client.tenant, "jobId": job_id, "deleted": True}
            as_json = json.dumps(deleted, separators=(",", ":"))
            typer.echo(as_json if here.connection.json_lines else f"{job_id} deleted")

        return await here.each(job_ids, remove)

    talk(connection, command)
