"""The commands about jobs that exist, and their options; what they do is in jobs.py."""

from __future__ import annotations

from typing import Annotated

import typer

from telecine_client.cli import completion
from telecine_client.cli.exits import UsageError
from telecine_client.cli.options import FinishedJobIds, JobIds, LabelFilter, RetryableJobIds, UnfinishedJobIds, Wide
from telecine_client.cli.pairs import parse_labels
from telecine_client.cli.quantities import parse_duration
from telecine_client.states import JobState

NEWEST = 50


def get(context: typer.Context, jobs: JobIds) -> None:
    """Show jobs as they are now."""
    from telecine_client.cli import jobs as running  # noqa: PLC0415 - gRPC comes with it

    running.get(context.obj, jobs)


def listing(
    context: typer.Context,
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="STATE", help="Only these. May be repeated.", autocompletion=completion.states),
    ] = None,
    label: LabelFilter = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="At most so many.")] = NEWEST,
    everything: Annotated[bool, typer.Option("--all", help="All of them, however many.")] = False,
    wide: Wide = False,
) -> None:
    """List jobs, newest first."""
    from telecine_client.cli import jobs as running  # noqa: PLC0415

    states = [_state(text) for text in dict.fromkeys(state or ())]
    running.listing(context.obj, states, parse_labels(label or ()), None if everything else limit, wide=wide)


def _state(text: str) -> JobState:
    if text.lower() not in completion.STATES:
        raise UsageError(f"--state {text}: there is no such state; there are {', '.join(completion.STATES)}")
    return JobState(text.lower())


def watch(
    context: typer.Context,
    jobs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[JOB...]", help="Ids of jobs.", autocompletion=completion.unfinished_jobs),
    ] = None,
    label: LabelFilter = None,
    everything: Annotated[bool, typer.Option("--all", help="All jobs of the tenant, until Ctrl-C.")] = False,
) -> None:
    """Follow jobs to their end.

    With --label or --all it shows what becomes of every such job, until Ctrl-C.
    """
    from telecine_client.cli import jobs as running  # noqa: PLC0415

    running.watch(context.obj, jobs or (), parse_labels(label or ()), everything=everything)


def wait(
    context: typer.Context,
    jobs: UnfinishedJobIds,
    timeout: Annotated[
        str | None, typer.Option(metavar="TIME", help="Give up after so long, e.g. 10m; the jobs go on.")
    ] = None,
) -> None:
    """Wait until jobs have ended, and say how."""
    from telecine_client.cli import jobs as running  # noqa: PLC0415

    running.wait(context.obj, jobs, parse_duration(timeout) if timeout else None)


def cancel(
    context: typer.Context,
    jobs: UnfinishedJobIds,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Kept with the jobs, for people.")] = "",
) -> None:
    """Ask for jobs to end.

    Once this has succeeded they never do.
    """
    from telecine_client.cli import jobs as running  # noqa: PLC0415

    running.cancel(context.obj, jobs, reason)


def retry(
    context: typer.Context,
    jobs: RetryableJobIds,
    generation: Annotated[
        int, typer.Option(metavar="N", min=0, help="Only if the job is at this one, as `telecine get` shows.")
    ] = 0,
    wait_for_end: Annotated[bool, typer.Option("--wait", help="Follow the jobs to their end.")] = False,
) -> None:
    """Run jobs again that failed or were cancelled."""
    from telecine_client.cli import jobs as running  # noqa: PLC0415

    running.retry(context.obj, jobs, generation, wait_for_end=wait_for_end)


def delete(context: typer.Context, jobs: FinishedJobIds) -> None:
    """Delete the records of finished jobs.

    The files they made stay, and their ids stay taken for 24 h.
    """
    from telecine_client.cli import jobs as running  # noqa: PLC0415

    running.delete(context.obj, jobs)
