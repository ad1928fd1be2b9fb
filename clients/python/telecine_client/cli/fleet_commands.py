"""The commands about queues and workers, and their options; what they do is in fleet.py."""

from __future__ import annotations

from typing import Annotated

import typer

from telecine_client.cli.options import Wide


def stats(
    context: typer.Context,
    queue: Annotated[str, typer.Option(metavar="NAME", help="One queue; default: all of the tenant's.")] = "",
) -> None:
    """Show how full the queue is, and how many workers serve it."""
    from telecine_client.cli import fleet  # noqa: PLC0415 - gRPC comes with it

    fleet.stats(context.obj, queue)


def workers(context: typer.Context, wide: Wide = False) -> None:
    """List the workers that are connected."""
    from telecine_client.cli import fleet  # noqa: PLC0415

    fleet.workers(context.obj, wide=wide)
