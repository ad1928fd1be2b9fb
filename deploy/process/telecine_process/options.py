"""Command-line options of the servers: each is a flag and an environment variable; the flag wins, then the variable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer


def setting(name: str, text: str, parse: Callable[[str], Any] | None = None) -> Any:
    """The option for TELECINE_<name>: its flag is the name in lower case with dashes.

    *parse* makes the value from the text and raises ValueError, saying what would be right.
    """
    flag = "--" + name.lower().replace("_", "-")
    return typer.Option(flag, envvar=f"TELECINE_{name}", help=text, parser=_parser(parse) if parse else None)


def _parser(parse: Callable[[str], Any]) -> Callable[[Any], Any]:
    def parsed(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return parse(value)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    parsed.__name__ = parse.__name__.removeprefix("parse_")
    return parsed


def usage_error(message: str) -> typer.BadParameter:
    """A setting that cannot be: printed as usage, exit code 2."""
    return typer.BadParameter(message)
