"""The command that shows presets."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from telecine_client import presets as known
from telecine_client.cli import completion
from telecine_client.cli.exits import UsageError


def presets(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Show this one.", autocompletion=completion.presets)
    ] = None,
) -> None:
    """List the presets, or show one: the spec that it stands for, in YAML."""
    if name is not None:
        if name not in known.names():
            raise UsageError(f"there is no preset {name!r}; there are {', '.join(known.names())}")
        typer.echo(known.text(name), nl=False)
    elif context.obj.json_lines:
        for each in known.names():
            typer.echo(json.dumps({"name": each, "description": known.describe(each)}, separators=(",", ":")))
    else:
        width = max(map(len, known.names()))
        for each in known.names():
            typer.echo(f"{each.ljust(width)}  {known.describe(each)}")
