"""What the commands do that show queues and workers. Loaded when a command runs: gRPC comes with it."""

from __future__ import annotations

from contextlib import aclosing

import typer

from telecine_client.cli.connection import Connection
from telecine_client.cli.exits import ExitCode
from telecine_client.cli.json_lines import stats_json, worker_json
from telecine_client.cli.tables import WorkerTable, stats_lines
from telecine_client.cli.talk import Talk, talk


def stats(connection: Connection, queue: str) -> None:
    """How full the tenant's queue is; all its queues when *queue* is empty."""

    async def command(here: Talk) -> ExitCode:
        found = await here.client.queue_stats(queue)
        for line in [stats_json(found)] if here.connection.json_lines else stats_lines(found):
            typer.echo(line)
        return ExitCode.SUCCEEDED

    talk(connection, command)


def workers(connection: Connection, *, wide: bool) -> None:
    """The workers that are connected, by id."""

    async def command(here: Talk) -> ExitCode:
        async with aclosing(here.client.workers()) as each:
            found = [worker async for worker in each]
        as_json = here.connection.json_lines
        for line in map(worker_json, found) if as_json else WorkerTable(wide=wide).lines(found):
            typer.echo(line)
        return ExitCode.SUCCEEDED

    talk(connection, command)
