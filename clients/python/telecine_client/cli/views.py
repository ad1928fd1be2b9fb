"""Three ways to show a job that goes on: a bar, a line for each change, or JSON."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from telecine_client.cli import rendering
from telecine_client.cli.exits import say
from telecine_client.states import JobState
from telecine_client.values import Job


class View(ABC):
    """Shows the snapshots of one job, in order; entered before the first."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    @abstractmethod
    def show(self, job: Job) -> None:
        """The next snapshot; the last one is final."""


class JsonView(View):
    """One Job message a line, nothing else."""

    def show(self, job: Job) -> None:
        """The snapshot as it came."""
        typer.echo(job.to_json())


class LineView(View):
    """One line a change, for logs."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, job: Job) -> None:
        """Nothing where nothing changed that is shown."""
        line = f"{job.job_id} {rendering.summary(job)}"
        if line != self._last:
            typer.echo(line)
        self._last = line
        if job.state.final:
            tell_end(job)


class BarView(View):
    """A live bar on a terminal."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[detail]}"),
            console=Console(),
        )
        self._task = self._progress.add_task("", total=None, detail="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, job: Job) -> None:
        """Moves the bar; it pulses while nobody knows how far the job is."""
        succeeded = job.state is JobState.SUCCEEDED
        fraction = 1.0 if succeeded else job.progress.fraction if job.progress else None
        self._progress.update(
            self._task,
            total=None if fraction is None else 1.0,
            completed=fraction or 0.0,
            description=job.state.value,
            detail=rendering.progress_text(job.progress, fraction=False)
            if job.progress and not job.state.final
            else "",
        )
        if job.state.final:
            self._progress.stop()
            tell_end(job)


def tell_end(job: Job) -> None:
    """Files on standard output, a failure on standard error."""
    if job.failure and job.state is JobState.FAILED:
        say(f"the job {job.job_id} failed", *rendering.failure_lines(job.failure))
    else:
        for line in rendering.ending(job):
            typer.echo(f"  {line}")
