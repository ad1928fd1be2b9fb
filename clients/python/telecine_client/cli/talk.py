"""One command's talk with the scheduler: its client, its errors, Ctrl-C and SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import typer

from telecine_client.cli.connection import Connection
from telecine_client.cli.exits import ExitCode, explain, first_bad, say
from telecine_client.cli.patience import telling_of_trouble
from telecine_client.errors import TelecineError

if TYPE_CHECKING:
    from telecine_client.aio import AsyncClient
    from telecine_client.values import Job


# More ids than that are not repeated to whoever interrupts.
MOST_NAMED = 20


@dataclass(slots=True, kw_only=True)
class Talk:
    """A command while it runs."""

    client: AsyncClient
    connection: Connection
    job_ids: Sequence[str] = field(default=())
    """The jobs that go on when the command is interrupted."""
    submitted: bool = True
    """False while the scheduler has not confirmed that it has the jobs."""

    def answer(self, job: Job, text: str) -> None:
        """A job, for people as *text*."""
        typer.echo(job.to_json() if self.connection.json_lines else text)

    async def reach(self) -> None:
        """Fail at once where there is no scheduler: later on a watch bears with one that is away for a while."""
        await self.client.list_page(page_size=1)

    async def each(self, job_ids: Sequence[str], act: Callable[[str], Awaitable[None]]) -> ExitCode:
        """Do the same with every job, in order; what goes wrong with one is said, and is nothing to the others."""
        codes = []
        for job_id in dict.fromkeys(job_ids):
            try:
                await act(job_id)
                codes.append(ExitCode.SUCCEEDED)
            except TelecineError as error:
                codes.append(explain(error, about=job_id if len(job_ids) > 1 else ""))
                if codes[-1] is ExitCode.UNREACHABLE:
                    break
        return first_bad(codes)

    def interrupted(self) -> None:
        """Say what goes on without us."""
        command, ids = self.connection.command(), " ".join(self.job_ids)
        one = len(self.job_ids) == 1
        what = f"the job {ids}" if one else f"{len(self.job_ids)} jobs"
        if not self.job_ids:
            say("interrupted")
        elif len(self.job_ids) > MOST_NAMED:
            say(f"interrupted; {what} {'go on' if self.submitted else 'may have been submitted'}. See: {command} list")
        elif not self.submitted:
            say(f"interrupted; {what} may have been submitted. See: {command} get {ids}")
        else:
            goes, it = ("goes", "it") if one else ("go", "them")
            hints = f"{command} watch {ids}   or cancel {it}: {command} cancel {ids}"
            say(f"interrupted; {what} {goes} on. Watch {it}: {hints}")


def talk(connection: Connection, command: Callable[[Talk], Awaitable[ExitCode]]) -> None:
    """Run *command* and leave with its exit code; what can be expected to go wrong becomes a clear line."""
    talks: list[Talk] = []

    async def run() -> ExitCode:
        # What SIGINT does by itself: everything that is open is closed, a terminal's cursor comes back.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _current_task().cancel, signal.SIGTERM)
        async with connection.client() as client:
            talks.append(Talk(client=client, connection=connection))
            with telling_of_trouble(connection.timeout):
                return await command(talks[0])

    with reporting():
        try:
            code = asyncio.run(run())
        except (KeyboardInterrupt, asyncio.CancelledError) as ended:
            for each in talks:
                each.interrupted()
            code = ExitCode.INTERRUPTED if isinstance(ended, KeyboardInterrupt) else ExitCode.TERMINATED
    raise typer.Exit(code)


def _current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    if task is None:
        raise AssertionError("a coroutine runs in a task")
    return task


@contextmanager
def reporting() -> Iterator[None]:
    """Errors of ours become a clear line and an exit code."""
    try:
        yield
    except TelecineError as error:
        raise typer.Exit(explain(error)) from error
