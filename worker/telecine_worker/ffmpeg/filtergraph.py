"""Filter graphs that callers write: taken apart, checked, and written anew, so that FFmpeg reads what was checked.

    graph  := filter ("," filter)*          at most 16
    filter := NAME ["=" value (":" value)*]
    value  := [OPTION "="] text             single quotes only around the whole text

No backslash, double quote, backtick, dollar, brackets, semicolon: one chain from one input to one output. Which
filters, options and values are allowed: filters.py.
"""

from __future__ import annotations

import re

from telecine_worker.ffmpeg.filters import FILTERS, Filter
from telecine_worker.ffmpeg.values import MAX_PICTURE_PX, MAX_SIDE_PX

MOST_FILTERS = 16
LONGEST_GRAPH = 2000

_FORBIDDEN = re.compile(r"[\\\"`$\[\];\n\r]")
_NAME = re.compile(r"[a-z0-9_]{1,32}")
_OPTION = re.compile(r"([A-Za-z_0-9]{1,32})=(.*)", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9_.+\-/|]+")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")


class GraphError(ValueError):
    """The graph is not allowed; the text says which part, and what would be right."""


def checked(graph: str, media: str) -> str:
    """*graph*, for "video" or "audio", as it may be given to FFmpeg. Raises GraphError."""
    if len(graph) > LONGEST_GRAPH:
        raise GraphError(f"a filter graph has at most {LONGEST_GRAPH} characters")
    bad = _FORBIDDEN.search(graph)
    if bad:
        raise GraphError(f"{bad[0]!r} is not allowed in a filter graph: write one chain, filter=option=value,filter")
    filters = _split(graph, ",")
    if len(filters) > MOST_FILTERS:
        raise GraphError(f"{len(filters)} filters; at most {MOST_FILTERS} are allowed")
    return ",".join(_filter(text, media) for text in filters)


def _split(text: str, separator: str) -> list[str]:
    """At *separator*, but not inside single quotes, which stay."""
    parts, quoted = [""], False
    for character in text:
        quoted ^= character == "'"
        if character == separator and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    if quoted:
        raise GraphError("a single quote is not closed")
    return parts


def _filter(text: str, media: str) -> str:
    name, has_arguments, arguments = text.strip().partition("=")
    known = FILTERS.get(name) if _NAME.fullmatch(name) else None
    if known is None or known.media != media:
        allowed = ", ".join(sorted(each for each, kind in FILTERS.items() if kind.media == media))
        raise GraphError(f"filter {name!r} is not on the allow-list; for {media}: {allowed}")
    options = _options(name, known, arguments) if has_arguments else {}
    _check_size(name, known, options)
    written = ":".join(
        f"{option}={_written(value, bounded=option in known.sizes)}" for option, value in options.items()
    )
    return f"{name}={written}" if written else name


def _options(name: str, known: Filter, arguments: str) -> dict[str, str]:
    options: dict[str, str] = {}
    positional = list(known.positional)
    for argument in _split(arguments, ":"):
        named = _OPTION.fullmatch(argument)
        if named:
            option, value = named.groups()
            positional.clear()
        elif positional:
            option, value = positional.pop(0), argument
        else:
            raise GraphError(f"filter {name}: {argument!r} needs the name of its option before it, as option=value")
        if option in options:
            raise GraphError(f"filter {name}: option {option!r} is given twice")
        options[option] = _value(name, known, option, value)
    return options


def _value(name: str, known: Filter, option: str, text: str) -> str:
    check = known.options.get(option)
    if check is None:
        allowed = ", ".join(known.options) or "none"
        raise GraphError(f"filter {name}: option {option!r} is not on the allow-list ({allowed})")
    value = text[1:-1] if len(text) >= 2 and text[0] == text[-1] == "'" else text
    if "'" in value:
        raise GraphError(f"filter {name}: single quotes may stand only around a whole value")
    # In a list of formats the separator | is also FFmpeg's own; a colon would end the value whatever the quotes.
    right = "no colon in a value" if ":" in value else check(value)
    if right is not None:
        raise GraphError(f"filter {name}: option {option} is {value!r}; right would be {right}")
    return value


def _check_size(name: str, known: Filter, options: dict[str, str]) -> None:
    sides = [float(value) for option, value in options.items() if option in known.sizes and _NUMBER.fullmatch(value)]
    if len(sides) == 2 and min(sides) > 0 and sides[0] * sides[1] > MAX_PICTURE_PX:
        raise GraphError(f"filter {name}: {sides[0]:g}x{sides[1]:g} is more than {MAX_PICTURE_PX} pixels")


def _written(value: str, *, bounded: bool) -> str:
    if bounded and not _NUMBER.fullmatch(value):
        # What an expression comes to is known only when it runs: the bound goes into it.
        return f"'min({MAX_SIDE_PX},{value})'"
    return value if _PLAIN.fullmatch(value) else f"'{value}'"
