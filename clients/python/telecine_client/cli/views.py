"""Three ways to show jobs that go on: bars, a line for each change, or JSON."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Column

from telecine_client.cli import rendering
from telecine_client.cli.exits import say
from telecine_client.states import JobState
from telecine_client.values import Job

# Of a bar, and of what else stands beside it: the state, a UUID before it where several jobs are shown, and "100%".
_WIDTHS = (20, 17)
_NAMED_WIDTHS = (10, 54)


class View(ABC):
    """Shows the snapshots of jobs, those of one job in order; entered before the first."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    @abstractmethod
    def show(self, job: Job) -> None:
        """The next snapshot; the last one of a job is final."""


class JsonView(View):
    """One Job message a line, nothing else."""

    def show(self, job: Job) -> None:
        """The snapshot as it came."""
        typer.echo(job.to_json())


class LineView(View):
    """One line a change, for logs."""

    def __init__(self) -> None:
        self._last: dict[str, str] = {}

    def show(self, job: Job) -> None:
        """Nothing where nothing changed that is shown."""
        line = f"{job.job_id} {rendering.summary(job)}"
        if line != self._last.get(job.job_id):
            typer.echo(line)
        self._last[job.job_id] = line
        if job.state.final:
            self._last.pop(job.job_id)
            tell_end(job)


class BarView(View):
    """A live bar for each job, on a terminal."""

    def __init__(self, *, named: bool = False) -> None:
        """*named*: each bar says whose it is."""
        self._named = named
        self._bars: dict[str, TaskID] = {}
        console = Console()
        bar_width, others = _NAMED_WIDTHS if named else _WIDTHS
        # A long reason must not take the place of the state.
        detail = Column(no_wrap=True, overflow="ellipsis", max_width=max(console.width - bar_width - others, 12))
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=bar_width),
            TaskProgressColumn(),
            TextColumn("{task.fields[detail]}", markup=False, table_column=detail),
            console=console,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, job: Job) -> None:
        """Moves the bar; it pulses while nobody knows how far the job is."""
        if job.job_id not in self._bars:
            self._bars[job.job_id] = self._progress.add_task("", total=None, detail="")
        fraction = 1.0 if job.state is JobState.SUCCEEDED else job.progress.fraction if job.progress else None
        self._progress.update(
            self._bars[job.job_id],
            total=None if fraction is None else 1.0,
            completed=fraction or 0.0,
            description=f"{job.job_id} {job.state.value}" if self._named else job.state.value,
            detail=_detail(job),
        )
        if job.state.final and not self._named:
            self._progress.stop()
        if job.state.final:
            tell_end(job)


def _detail(job: Job) -> str:
    """What stands behind a bar."""
    if job.state.final:
        return ""
    return rendering.progress_text(job.progress, fraction=False) if job.progress else rendering.note(job)


def tell_end(job: Job) -> None:
    """Files on standard output, a failure on standard error."""
    if job.failure and job.state is JobState.FAILED:
        say(f"the job {job.job_id} failed", *rendering.failure_lines(job.failure))
    else:
        for line in rendering.ending(job):
            typer.echo(f"  {line}")
