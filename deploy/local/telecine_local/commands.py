"""What telecine_local adds to the command line: the options of `telecine dev`, `demo`, `plan` and `probe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from telecine_client.cli.options import Changes, PresetName

RedisServer = Annotated[
    Path | None,
    typer.Option("--redis-server", metavar="PATH", help="A redis-server or valkey-server; else the bundled one."),
]


def dev(
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", envvar="TELECINE_LISTEN", help="Of the scheduler; port 0 works.")
    ] = "127.0.0.1:50051",
    metrics_listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", envvar="TELECINE_METRICS_LISTEN", help="Of the scheduler's metrics.")
    ] = "127.0.0.1:0",
    workers: Annotated[int, typer.Option(min=1, metavar="N", help="Worker processes.")] = 1,
    slots: Annotated[
        int, typer.Option(min=1, metavar="N", envvar="TELECINE_SLOTS", help="Jobs that a worker runs at a time.")
    ] = 1,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Jobs are kept here. Default: ~/.local/state/telecine/dev.")
    ] = None,
    file_root: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            envvar="TELECINE_FILE_ROOTS",
            help="Jobs use files below it. May be repeated; in the variable with colons between. Default: where you are.",
        ),
    ] = None,
    redis_server: RedisServer = None,
) -> None:
    """Run a whole Telecine on this machine, in the foreground.

    A database, a scheduler and workers, as processes that are started again when they die. Ctrl-C or SIGTERM stops
    them in order; a second one kills them. Jobs survive either.
    """
    from telecine_local import running  # noqa: PLC0415 - nothing of it is needed to list the commands

    roots = [Path.cwd()] if file_root is None else file_root
    running.dev(
        listen=listen,
        metrics_listen=metrics_listen,
        workers=workers,
        slots=slots,
        data=data_dir,
        file_roots=roots,
        redis_server=redis_server,
    )


def demo(
    source: Annotated[
        Path | None, typer.Option("--input", metavar="FILE", help="A film of your own; else a test picture is made.")
    ] = None,
    output: Annotated[Path, typer.Option(metavar="DIR", help="Where the result goes, and stays.")] = Path(
        "telecine-demo"
    ),
    redis_server: RedisServer = None,
) -> None:
    """Show that it works: transcode a clip to 480p through a real scheduler and worker, and check the result."""
    from telecine_local import running  # noqa: PLC0415

    running.demo(source=source, output=output, redis_server=redis_server)


FFmpeg = Annotated[
    Path | None,
    typer.Option("--ffmpeg", metavar="PATH", envvar="TELECINE_FFMPEG", help="The ffmpeg to use; default: searched."),
]


def plan(
    context: typer.Context,
    file: Annotated[
        str | None, typer.Argument(metavar="[FILE]", help="{job_id?, tenant?, spec} in JSON or YAML; - is stdin.")
    ] = None,
    preset: PresetName = None,
    source: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=FILE", help="A file here that stands for this input. May be repeated."),
    ] = None,
    change: Changes = None,
    ffmpeg: FFmpeg = None,
) -> None:
    """Print what a worker here would run for a job, and what it would check.

    Nothing is run but a look at the inputs, which have to be files of this machine: what is planned depends on what they are.
    """
    from telecine_local.offline import commands  # noqa: PLC0415 - it comes with gRPC and the worker

    commands.plan(
        file=file, preset=preset, inputs=source or (), changes=change or (), ffmpeg=ffmpeg,
        as_json=context.obj.json_lines,
    )  # fmt: skip


def probe(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Of this machine.")],
    ffmpeg: FFmpeg = None,
) -> None:
    """Print what a file here is, as a worker would see it."""
    from telecine_local.offline import commands  # noqa: PLC0415

    commands.probe(file=file, ffmpeg=ffmpeg, as_json=context.obj.json_lines)
