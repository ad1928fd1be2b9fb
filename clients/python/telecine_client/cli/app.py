"""`telecine`: its commands, and the options that every one of them has."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import entry_points, version
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from telecine_client.cli import fleet_commands, job_commands, preset_commands, submission_commands
from telecine_client.cli.connection import Connection
from telecine_client.cli.hoisting import FLAGS, VALUED, checked, hoist, whole
from telecine_client.cli.quantities import parse_duration

_EPILOG = f"Options of every command, see telecine --help: {', '.join((*VALUED, *FLAGS))}."
# In the order in which --help lists them.
_SUBMITTING: tuple[Callable[..., None], ...] = (
    submission_commands.submit, submission_commands.transcode, submission_commands.thumbnails,
)  # fmt: skip
_OTHERS: tuple[Callable[..., None], ...] = (
    job_commands.get, job_commands.watch, job_commands.wait, job_commands.cancel, job_commands.retry, job_commands.delete,
    fleet_commands.stats, fleet_commands.workers, preset_commands.presets,
)  # fmt: skip


def build() -> typer.Typer:
    """The command line, with the commands that other packages of the distribution bring."""
    app = typer.Typer(
        name="telecine",
        cls=_Commands,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(connect)
    ours = partial(app.command, cls=_Command, epilog=_EPILOG)
    for command in _SUBMITTING:
        ours()(command)
    ours(context_settings={"allow_interspersed_args": False})(submission_commands.ffmpeg)
    ours("list")(job_commands.listing)
    for command in _OTHERS:
        ours()(command)
    for point in sorted(entry_points(group="telecine.commands"), key=lambda point: point.name):
        app.command(name=point.name)(point.load())
    return app


class _Commands(TyperGroup):
    """Reads the options of every command wherever they stand, for completion as well."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        return super().parse_args(ctx, hoist(whole(args) if ctx.resilient_parsing else checked(args)))


class _Command(TyperCommand):
    """Completes the options of every command beside its own."""

    def shell_complete(self, ctx: typer.Context, incomplete: str) -> list[Any]:  # type: ignore[override]
        root = ctx.find_root()
        others = root.command.shell_complete(root, incomplete) if incomplete.startswith("-") else []
        return super().shell_complete(ctx, incomplete) + [each for each in others if each.value in (*VALUED, *FLAGS)]


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
    request_timeout: Annotated[
        str, typer.Option(metavar="TIME", help="How long the scheduler may take to answer a request.")
    ] = "10s",
    tls: Annotated[
        bool | None, typer.Option("--tls/--no-tls", help="Encrypt, and check who answers. TELECINE_TLS.")
    ] = None,
    ca_file: Annotated[
        str | None, typer.Option(metavar="PEM", help="Whom to trust instead of the usual. TELECINE_CA_FILE.")
    ] = None,
    cert_file: Annotated[
        str | None, typer.Option(metavar="PEM", help="A certificate of your own. TELECINE_CERT_FILE.")
    ] = None,
    key_file: Annotated[str | None, typer.Option(metavar="PEM", help="Its key. TELECINE_KEY_FILE.")] = None,
    token_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Holds the token that says who you are. TELECINE_TOKEN_FILE, TELECINE_TOKEN."
        ),
    ] = None,
    json_lines: Annotated[bool, typer.Option("--json", help="Print proto JSON, one message a line.")] = False,
    _show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Submit FFmpeg jobs, watch them, and look after them.

    Exit codes: 0 succeeded, 1 failed, 2 wrong usage or refused, 3 cancelled, 4 no scheduler
    answers, 5 no such job, 6 not ended in time, 130 Ctrl-C, 143 SIGTERM (jobs go on). Of several
    jobs the first that did not go well decides.
    """
    context.obj = Connection(
        address=address, tenant=tenant, timeout=parse_duration(request_timeout), tls=tls, ca_file=ca_file, cert_file=cert_file,
        key_file=key_file, token_file=token_file, json_lines=json_lines,
    )  # fmt: skip
