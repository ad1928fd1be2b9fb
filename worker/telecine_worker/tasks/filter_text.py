"""Filters of our own as FFmpeg reads them, from typed values: no text of a caller and no word of a file gets into a graph."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction

_PLAIN = re.compile(r"[A-Za-z0-9_.+*/|-]+", re.ASCII)
_EXPRESSION = re.compile(r"[A-Za-z0-9_.+*/(),<>-]+", re.ASCII)


def filter_text(name: str, *values: int | str | Fraction, **options: int | float | str | Fraction) -> str:
    """One filter: *values* are positional. What would need more than quotes is a defect, and a ValueError."""
    written = [_written(value) for value in values]
    written += [f"{option}={_written(value)}" for option, value in options.items()]
    return f"{name}={':'.join(written)}" if written else name


def chain(filters: Iterable[str]) -> str:
    """One after the other."""
    return ",".join(filters)


def _written(value: int | float | str | Fraction) -> str:
    match value:
        case Fraction():
            return f"{value.numerator}/{value.denominator}"
        case float():
            return f"{value:.6f}"
    text = str(value)
    if _PLAIN.fullmatch(text):
        return text
    if _EXPRESSION.fullmatch(text):
        return f"'{text}'"
    raise ValueError(f"{text!r} may not stand in a filter graph")
