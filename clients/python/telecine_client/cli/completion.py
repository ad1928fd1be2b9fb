"""What the shell offers at a press of TAB: states, and the ids of jobs that a command could take."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import typer

from telecine_client.states import JobState

# Somebody waits at the prompt, and an answer that is late is worth nothing.
DEADLINE = timedelta(seconds=1)
MOST_JOBS = 200

STATES = tuple(state for state in JobState if state is not JobState.UNKNOWN)


def states(incomplete: str) -> list[str]:
    """The states of the contract, as `telecine list --state` takes them."""
    return [state.value for state in STATES if state.startswith(incomplete)]


def presets(incomplete: str) -> list[tuple[str, str]]:
    """Names of presets, each with what it is for."""
    from telecine_client import presets as known  # noqa: PLC0415 - most completions have no need of it

    return [(name, known.describe(name)) for name in known.names() if name.startswith(incomplete)]


def any_jobs(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Ids with their states, newest first; nothing where no scheduler answers at once."""
    return _jobs(context, incomplete, ())


def unfinished_jobs(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Of jobs that may still be cancelled or waited for."""
    return _jobs(context, incomplete, tuple(state for state in STATES if not state.final))


def retryable_jobs(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Of jobs that ended without success."""
    return _jobs(context, incomplete, (JobState.FAILED, JobState.CANCELLED))


def finished_jobs(context: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Of jobs that may be deleted."""
    return _jobs(context, incomplete, tuple(state for state in STATES if state.final))


def _jobs(context: typer.Context, incomplete: str, wanted: tuple[JobState, ...]) -> list[tuple[str, str]]:
    from telecine_client.cli.candidates import candidates  # noqa: PLC0415 - gRPC comes with it

    return list(_unused(context, candidates(context.find_root().params, wanted, incomplete)))


def _unused(context: typer.Context, found: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """Without those that stand on the line already."""
    given = context.params.get("jobs") or ()
    return (pair for pair in found if pair[0] not in given)
