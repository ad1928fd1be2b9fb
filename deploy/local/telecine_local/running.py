"""What the commands do with their options, and how they end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from telecine_local import demonstration
from telecine_local.child import StartFailed
from telecine_local.member import say
from telecine_local.places import DirectoryUnusable, default_data_directory, open_places
from telecine_local.sandbox import worker_settings
from telecine_local.session import run_in
from telecine_local.stack import Setup, Stack, program
from telecine_local.toolchain import Toolchain, ToolFailed
from telecine_local.valkey import ServerMissing, find_server

EXPECTED = (StartFailed, DirectoryUnusable, ServerMissing, ToolFailed, demonstration.DemoFailed)


def dev(
    *,
    listen: str,
    metrics_listen: str,
    workers: int,
    slots: int,
    data: Path | None,
    file_roots: Sequence[Path],
    redis_server: Path | None,
) -> None:
    """A stack in the foreground until it is told to stop; exits 0 then."""
    roots = [root.absolute() for root in file_roots]
    for root in roots:
        if ":" in str(root) or not root.is_dir():
            raise typer.BadParameter(f"--file-root {root}: has to be a directory without a colon in its path")
    with _reporting(), open_places(data or default_data_directory(os.environ)) as places:
        worker = program("telecine-worker")

        async def settings() -> Mapping[str, str]:
            return worker_settings(await Toolchain.find(worker), os.environ)

        setup = Setup(
            listen=listen,
            metrics_listen=metrics_listen,
            workers=workers,
            slots=slots,
            file_roots=roots,
            database=find_server(redis_server),
            scheduler=program("telecine-scheduler"),
            worker=worker,
            worker_settings=settings,
        )
        stack = Stack(setup, places)

        async def work() -> int:
            for name, address in stack.metrics.items():
                say(f"metrics of {name}: http://{address}/metrics")
            say(f"data: {places.data}; files below {', '.join(map(str, roots))}; Ctrl-C stops")
            typer.echo(f"ready address={stack.address}")
            never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            return await never

        asyncio.run(run_in(stack, work, when_stopped=0))


def demo(*, source: Path | None, output: Path, redis_server: Path | None) -> None:
    """One transcode, checked; exits with its code."""
    with _reporting():
        code = demonstration.run(
            source=source,
            output=output,
            database=find_server(redis_server),
            scheduler=program("telecine-scheduler"),
            worker=program("telecine-worker"),
        )
    raise typer.Exit(code)


@contextmanager
def _reporting() -> Iterator[None]:
    """What can be expected to go wrong becomes one line and exit code 1."""
    try:
        yield
    except EXPECTED as wrong:
        for line in (str(wrong), *getattr(wrong, "__notes__", ())):
            say(line)
        raise typer.Exit(1) from wrong
