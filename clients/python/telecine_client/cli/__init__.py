"""The command line `telecine`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run one command and leave with its exit code."""
    from telecine_client.cli.app import build  # noqa: PLC0415 - importing the package must stay cheap
    from telecine_client.cli.leaving import leaving  # noqa: PLC0415

    with leaving():
        build()(args=sys.argv[1:], prog_name="telecine")
