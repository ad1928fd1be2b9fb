"""One command's talk with the scheduler: errors, Ctrl-C, and a job followed to its end."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from datetime import timedelta

import typer

from telecine.v1 import media_pb2
from telecine_client.aio import AsyncClient
from telecine_client.cli.connection import Connection
from telecine_client.cli.exits import ExitCode, UsageError, code_of_job, explain, say
from telecine_client.cli.views import BarView, JsonView, LineView, View
from telecine_client.errors import TelecineError
from telecine_client.job_id import new_job_id
from telecine_client.values import Job

# A job outlives a scheduler that restarts; a person or script that waits for it should too, but not for ever.
OUTAGE_TIMEOUT = timedelta(minutes=10)


@dataclass(slots=True, kw_only=True)
class Talk:
    """A command while it runs."""

    client: AsyncClient
    connection: Connection
    job_id: str = ""
    """The job that goes on when the command is interrupted."""
    submitted: bool = True
    """False while the scheduler has not confirmed that it has the job."""

    async def submit(self, spec: media_pb2.JobSpec, job_id: str | None) -> Job:
        """Hand over the job."""
        self.job_id, self.submitted = job_id or new_job_id(), False
        job = await self.client.submit(spec, job_id=self.job_id)
        self.submitted = True
        return job

    async def follow(self, job: Job) -> ExitCode:
        """Show the job, which is as it was just now, until it has ended."""
        self.job_id = job.job_id
        with self._view() as view:
            view.show(job)
            last = job
            if not job.state.final:
                async with aclosing(
                    self.client.watch(job.job_id, job.revision, outage_timeout=OUTAGE_TIMEOUT)
                ) as later:
                    async for last in later:
                        view.show(last)
        return code_of_job(last)

    def answer(self, job: Job, text: str) -> ExitCode:
        """What a command prints that does not wait."""
        typer.echo(job.to_json() if self.connection.json_lines else text)
        return ExitCode.SUCCEEDED

    def _view(self) -> View:
        if self.connection.json_lines:
            return JsonView()
        return BarView() if sys.stdout.isatty() else LineView()

    def interrupted(self) -> None:
        """Say what goes on without us."""
        command = self.connection.command()
        if not self.job_id:
            say("interrupted")
        elif not self.submitted:
            say(f"interrupted; the job {self.job_id} may have been submitted. See: {command} get {self.job_id}")
        else:
            hints = f"{command} watch {self.job_id}   or cancel it: {command} cancel {self.job_id}"
            say(f"interrupted; the job {self.job_id} goes on. Watch it: {hints}")


def talk(connection: Connection, command: Callable[[Talk], Awaitable[ExitCode]]) -> None:
    """Run *command* and leave with its exit code; what can be expected to go wrong becomes a clear line."""
    talks: list[Talk] = []

    async def run() -> ExitCode:
        async with _client(connection) as client:
            talks.append(Talk(client=client, connection=connection))
            return await command(talks[0])

    with reporting():
        try:
            code = asyncio.run(run())
        except KeyboardInterrupt:
            if talks:
                talks[0].interrupted()
            code = ExitCode.INTERRUPTED
    raise typer.Exit(code)


@contextmanager
def reporting() -> Iterator[None]:
    """Errors of ours become a clear line and an exit code."""
    try:
        yield
    except TelecineError as error:
        raise typer.Exit(explain(error)) from error


def _client(connection: Connection) -> AsyncClient:
    try:
        return AsyncClient(connection.address, tenant=connection.tenant, timeout=connection.timeout)
    except ValueError as wrong:
        raise UsageError(str(wrong)) from wrong
