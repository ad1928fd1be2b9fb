"""Jobs followed to their end, and shown on the way."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta

from telecine_client.cli.exits import ExitCode, code_of_job, explain, first_bad, say
from telecine_client.cli.talk import Talk
from telecine_client.cli.views import BarView, JsonView, LineView, View
from telecine_client.values import Job, WatchEvent
from telecine_client.watched_jobs import MOST_JOBS, chunks

# A job outlives a scheduler that restarts; a person or script that waits for it should too, but not for ever.
OUTAGE_TIMEOUT = timedelta(minutes=10)
# More bars than that do not fit on a terminal.
MOST_BARS = 20


async def follow(here: Talk, job: Job) -> ExitCode:
    """Show the job, which is as it was just now, until it has ended."""
    here.job_ids = [job.job_id]
    with _view(here, 1) as view:
        view.show(job)
        last = job
        if not job.state.final:
            async with aclosing(here.client.watch(job.job_id, job.revision, outage_timeout=OUTAGE_TIMEOUT)) as later:
                async for last in later:
                    view.show(last)
    return code_of_job(last)


async def follow_many(here: Talk, job_ids: Sequence[str]) -> ExitCode:
    """Show the jobs until every one has ended; one that cannot be watched is said, and is nothing to the others."""
    here.job_ids = tuple(dict.fromkeys(job_ids))
    codes: dict[str, ExitCode] = {}
    with _view(here, len(here.job_ids)) as view:
        async with aclosing(events_of(here)) as events:
            async for event in events:
                if event.error is not None:
                    codes[event.job_id] = explain(event.error, about=event.job_id)
                elif event.job is not None:
                    view.show(event.job)
                    if event.job.state.final:
                        codes[event.job_id] = code_of_job(event.job)
    return first_bad(codes[job_id] for job_id in here.job_ids)


async def events_of(here: Talk) -> AsyncGenerator[WatchEvent, None]:
    """What becomes of here.job_ids up to their ends; of more than one watch takes the later ones after the earlier ones."""
    for job_ids in chunks(here.job_ids, MOST_JOBS):
        async with aclosing(here.client.watch_many(job_ids, outage_timeout=OUTAGE_TIMEOUT)) as events:
            async for event in events:
                yield event


async def follow_all(here: Talk, labels: Mapping[str, str]) -> ExitCode:
    """Show what becomes of a tenant's jobs, or of those with all the *labels*, until interrupted."""
    with _view(here, MOST_BARS + 1) as view:
        events = here.client.watch_many(all=not labels, labels=labels, outage_timeout=OUTAGE_TIMEOUT)
        async with aclosing(events) as shown:
            async for event in shown:
                if event.reset:
                    say("changes were missed, because no scheduler was to be had for too long; see: telecine list")
                elif event.job is not None:
                    view.show(event.job)
    return ExitCode.SUCCEEDED


def _view(here: Talk, jobs: int) -> View:
    if here.connection.json_lines:
        return JsonView()
    return BarView(named=jobs > 1) if sys.stdout.isatty() and jobs <= MOST_BARS else LineView()
