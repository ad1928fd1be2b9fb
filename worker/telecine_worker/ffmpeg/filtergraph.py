"""Filter graphs that callers write: taken apart, checked, and written anew, so that FFmpeg reads what was checked.

    graph  := filter ("," filter)*          at most 16
    filter := NAME ["=" value (":" value)*]
    value  := [OPTION "="] text             single quotes only around the whole text

No backslash, double quote, backtick, dollar, brackets, semicolon: one chain from one input to one output. Which
filters, options and values are allowed: filters.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from telecine_worker.ffmpeg.filters import FILTERS, Filter
from telecine_worker.ffmpeg.picture_sizes import SizeError
from telecine_worker.ffmpeg.values import MOST_SLOWING

MOST_FILTERS = 16
LONGEST_GRAPH = 2000

_FORBIDDEN = re.compile(r"[\\\"`$\[\];\n\r]")
_NAME = re.compile(r"[a-z0-9_]{1,32}")
_OPTION = re.compile(r"([A-Za-z_0-9]{1,32})=(.*)", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9_.+\-/|]+")
# Of fractions that are multiplied.
_ROUNDED = 1 + 1e-9

# Its name, what is known of it, and its options.
_Filter = tuple[str, Filter, Mapping[str, str]]


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
    parsed = [_filter(text, media) for text in filters]
    _check_slowing(parsed)
    return ",".join(map(_written, parsed))


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


def _filter(text: str, media: str) -> _Filter:
    name, has_arguments, arguments = text.strip().partition("=")
    known = FILTERS.get(name) if _NAME.fullmatch(name) else None
    if known is None or known.media != media:
        allowed = ", ".join(sorted(each for each, kind in FILTERS.items() if kind.media == media))
        raise GraphError(f"filter {name!r} is not on the allow-list; for {media}: {allowed}")
    options = _options(name, known, arguments) if has_arguments else {}
    if known.bounded is not None:
        try:
            options = known.bounded(options)
        except SizeError as error:
            raise GraphError(f"filter {name}: {error}") from None
    return name, known, options


def _options(name: str, known: Filter, arguments: str) -> dict[str, str]:
    options: dict[str, str] = {}
    written: dict[str, str] = {}
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
        same = known.aliases.get(option, option)
        if same in options:
            raise GraphError(f"filter {name}: option {option!r} sets the same as {written[same]!r}; leave one out")
        written[same] = option
        options[same] = _value(name, known, option, value)
    return options


def _value(name: str, known: Filter, option: str, text: str) -> str:
    check = known.options.get(known.aliases.get(option, option))
    if check is None:
        allowed = ", ".join((*known.options, *known.aliases)) or "none"
        raise GraphError(f"filter {name}: option {option!r} is not on the allow-list ({allowed})")
    value = text[1:-1] if len(text) >= 2 and text[0] == text[-1] == "'" else text
    if "'" in value:
        raise GraphError(f"filter {name}: single quotes may stand only around a whole value")
    # In a list of formats the separator | is also FFmpeg's own; a colon would end the value whatever the quotes.
    right = "no colon in a value" if ":" in value else check(value)
    if right is not None:
        raise GraphError(f"filter {name}: option {option} is {value!r}; right would be {right}")
    return value


def _check_slowing(parsed: Iterable[_Filter]) -> None:
    so_far = 1.0
    for name, known, options in parsed:
        so_far *= known.slowing(options) if known.slowing is not None else 1
        if so_far > MOST_SLOWING * _ROUNDED:
            raise GraphError(
                f"filter {name}: with those before it, it makes the result {so_far:g} times as long as the input; "
                f"at most {MOST_SLOWING} times is allowed"
            )


def _written(parsed: _Filter) -> str:
    name, _, options = parsed
    written = ":".join(
        f"{option}={value}" if _PLAIN.fullmatch(value) else f"{option}='{value}'" for option, value in options.items()
    )
    return f"{name}={written}" if written else name
