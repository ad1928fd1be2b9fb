"""The commands of `telecine` and their options; what they do is in running.py."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points, version
from typing import Annotated

import typer

from telecine_client.cli.connection import Connection
from telecine_client.cli.quantities import parse_bitrate, parse_duration, parse_offset

# Options of every command; they may stand before it or after it.
_VALUED = ("--address", "--tenant", "--timeout")
_FLAGS = ("--json",)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]
JobIdOption = Annotated[
    str | None, typer.Option("--job-id", metavar="ID", help="An id of your own; submitting it twice is one job.")
]
Priority = Annotated[int | None, typer.Option(metavar="0..100", help="Higher goes first; default 50.")]
Queue = Annotated[str | None, typer.Option(metavar="NAME", help="Which workers take it; default: default.")]
Labels = Annotated[list[str] | None, typer.Option("--label", metavar="KEY=VALUE", help="May be repeated.")]
NoOverwrite = Annotated[bool, typer.Option("--no-overwrite", help="Fail when an output exists already.")]
Detach = Annotated[bool, typer.Option("--detach", help="Print the id and do not wait.")]


def build() -> typer.Typer:
    """The command line, with the commands that other packages of the distribution bring."""
    app = typer.Typer(
        name="telecine",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(connect)
    for command in (submit, transcode, get, watch, cancel):
        app.command()(command)
    app.command(context_settings={"allow_interspersed_args": False})(ffmpeg)
    for point in sorted(entry_points(group="telecine.commands"), key=lambda point: point.name):
        app.command(name=point.name)(point.load())
    return app


def hoist(args: Sequence[str]) -> list[str]:
    """The same arguments with the options of every command before the command, up to "--"."""
    end = args.index("--") if "--" in args else len(args)
    mine: list[str] = []
    others: list[str] = []
    rest = iter(args[:end])
    for arg in rest:
        if arg in _VALUED:
            mine += [arg, *([value] if (value := next(rest, None)) is not None else [])]
        elif arg in _FLAGS or arg.startswith(tuple(f"{name}=" for name in _VALUED)):
            mine.append(arg)
        else:
            others.append(arg)
    return [*mine, *others, *args[end:]]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"telecine {version('telecine')}")
        raise typer.Exit


def connect(
    context: typer.Context,
    address: Annotated[
        str | None,
        typer.Option(metavar="HOST:PORT", help="Of a scheduler; several by commas. TELECINE_ADDRESS, 127.0.0.1:50051."),
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose jobs. TELECINE_TENANT, else default.")
    ] = None,
    timeout: Annotated[
        str, typer.Option(metavar="TIME", help="How long the scheduler may take to answer a request.")
    ] = "10s",
    json_lines: Annotated[bool, typer.Option("--json", help="Print jobs as proto JSON, one a line.")] = False,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Submit FFmpeg jobs, watch them and cancel them.

    Exit codes: 0 succeeded, 1 failed, 2 wrong usage or refused, 3 cancelled, 4 no scheduler
    answers, 5 no such job, 130 Ctrl-C (the job goes on).
    """
    context.obj = Connection(address=address, tenant=tenant, timeout=parse_duration(timeout), json_lines=json_lines)


def submit(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE", help="{job_id?, tenant?, spec} in JSON or YAML; - is stdin.")],
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job to its end.")] = False,
    job_id: JobIdOption = None,
) -> None:
    """Submit the job that a file describes, and print its id."""
    from telecine_client.cli import running  # noqa: PLC0415 - gRPC comes with it

    running.submit(context.obj, file, job_id, wait=wait)


def transcode(
    context: typer.Context,
    source: Annotated[str, typer.Argument(metavar="INPUT", help="A path or URI.")],
    target: Annotated[
        str, typer.Argument(metavar="OUTPUT", help="A path or URI; the container follows the extension.")
    ],
    height: Annotated[int | None, typer.Option(metavar="PX", help="The width follows when only this is given.")] = None,
    width: Annotated[int | None, typer.Option(metavar="PX", help="The height follows when only this is given.")] = None,
    crf: Annotated[int | None, typer.Option(metavar="0..63", help="Constant quality; lower is better.")] = None,
    bitrate: Annotated[str | None, typer.Option(metavar="RATE", help="Of the video, e.g. 2.5M.")] = None,
    codec: Annotated[str | None, typer.Option(help="h264, h265, vp9, av1, copy, or none for no video.")] = None,
    preset: Annotated[str | None, typer.Option(help="The encoder's speed, e.g. veryfast.")] = None,
    two_pass: Annotated[bool, typer.Option("--two-pass", help="Read twice to meet --bitrate better.")] = False,
    audio_codec: Annotated[
        str | None, typer.Option(help="aac, opus, mp3, flac, ac3, pcm_s16le, copy, or none for no sound.")
    ] = None,
    audio_bitrate: Annotated[str | None, typer.Option(metavar="RATE", help="E.g. 128k.")] = None,
    start: Annotated[str | None, typer.Option(metavar="TIME", help="Leave out what is before, e.g. 1:30.")] = None,
    end: Annotated[str | None, typer.Option(metavar="TIME", help="Leave out what is after.")] = None,
    priority: Priority = None,
    queue: Queue = None,
    job_id: JobIdOption = None,
    label: Labels = None,
    no_overwrite: NoOverwrite = False,
    detach: Detach = False,
) -> None:
    """Encode one file to another and follow the job to its end."""
    from telecine_client.cli import encoding, running  # noqa: PLC0415

    chosen = encoding.Encoding(
        height_px=height,
        width_px=width,
        crf=crf,
        bitrate_bps=parse_bitrate(bitrate) if bitrate else None,
        codec=codec,
        preset=preset,
        two_pass=two_pass,
        audio_codec=audio_codec,
        audio_bitrate_bps=parse_bitrate(audio_bitrate) if audio_bitrate else None,
        start=parse_offset(start) if start else None,
        end=parse_offset(end) if end else None,
    )
    how = running.Submission(
        job_id=job_id, priority=priority, queue=queue, labels=label or (), overwrite=not no_overwrite, detach=detach
    )
    running.transcode(context.obj, source, target, chosen, how)


def ffmpeg(
    context: typer.Context,
    args: Annotated[
        list[str], typer.Argument(metavar="-- ARGS...", help="After --: what would stand after ffmpeg, paths included.")
    ],
    source: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=PATH", help="A file that ARGS call NAME, or {in:NAME}. May be repeated."),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="A file that ARGS write, where that is not plain. May be repeated."),
    ] = None,
    priority: Priority = None,
    queue: Queue = None,
    job_id: JobIdOption = None,
    label: Labels = None,
    no_overwrite: NoOverwrite = False,
    detach: Detach = False,
) -> None:
    """Run an FFmpeg command line as a job: telecine ffmpeg -- -i film.mkv -vf scale=640:-2 small.mp4."""
    from telecine_client.cli import running  # noqa: PLC0415

    how = running.Submission(
        job_id=job_id, priority=priority, queue=queue, labels=label or (), overwrite=not no_overwrite, detach=detach
    )
    running.ffmpeg(context.obj, args, source or (), output or (), how)


def get(context: typer.Context, job: JobId) -> None:
    """Show a job as it is now."""
    from telecine_client.cli import running  # noqa: PLC0415

    running.get(context.obj, job)


def watch(context: typer.Context, job: JobId) -> None:
    """Follow a job to its end."""
    from telecine_client.cli import running  # noqa: PLC0415

    running.watch(context.obj, job)


def cancel(
    context: typer.Context,
    job: JobId,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Kept with the job, for people.")] = "",
) -> None:
    """Ask for a job to end; it never succeeds afterwards."""
    from telecine_client.cli import running  # noqa: PLC0415

    running.cancel(context.obj, job, reason)
