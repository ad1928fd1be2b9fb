"""Values of arguments that callers write: each kind has a check that says what would be right.

A check returns None for a value that may be passed on as it is, else what would be right. Nothing here is a path, a URL
or a format that FFmpeg would look into further.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

Check = Callable[[str], str | None]

MAX_SIDE_PX = 8192
MAX_PICTURE_PX = 35_000_000
MAX_FRAME_RATE = 240
LONGEST_TIME_SECONDS = 2 * 24 * 3600
MOST_SLOWING = 20
"""How many times as long as its input a result may be made."""
EXPRESSION_LENGTH = 200
EXPRESSION_DEPTH = 8

_DECIMAL = re.compile(r"[+-]?[0-9]{1,9}(\.[0-9]{1,9})?")
_UNITS = {"": 1, "k": 1000, "K": 1000, "M": 1_000_000}
_AMOUNT = re.compile(r"([0-9]{1,10}(?:\.[0-9]{1,6})?)([kKM]?)")
_RATE = re.compile(r"([0-9]{1,6})(?:/([0-9]{1,6})|(\.[0-9]{1,6}))?")
_RATIO = re.compile(r"([0-9]{1,5})[:/]([0-9]{1,5})")
_CLOCK = re.compile(r"(?:([0-9]{1,2}):)?([0-5]?[0-9]):([0-5]?[0-9](?:\.[0-9]{1,9})?)")
_SECONDS = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,9})?)(s|ms|us)?")
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")

_EXPRESSION = re.compile(r"[A-Za-z0-9_+\-*/().,<>=!% ]+")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# The functions of FFmpeg's expressions but those that loop, print or keep state, and the variables of the filters
# below.
_WORDS = frozenset(
    [
        "abs",
        "acos",
        "asin",
        "atan",
        "atan2",
        "ceil",
        "clip",
        "cos",
        "eq",
        "exp",
        "floor",
        "gcd",
        "gt",
        "gte",
        "hypot",
        "if",
        "ifnot",
        "isnan",
        "log",
        "lt",
        "lte",
        "max",
        "min",
        "mod",
        "not",
        "pow",
        "round",
        "sin",
        "sqrt",
        "tan",
        "trunc",
        "between",
        "iw",
        "ih",
        "in_w",
        "in_h",
        "ow",
        "oh",
        "out_w",
        "out_h",
        "w",
        "h",
        "a",
        "sar",
        "dar",
        "hsub",
        "vsub",
        "n",
        "N",
        "t",
        "T",
        "x",
        "y",
        "PTS",
        "STARTPTS",
        "TB",
        "FRAME_RATE",
        "SR",
        "PI",
        "E",
    ]
)


def one_of(*words: str) -> Check:
    """Exactly one of *words*."""

    def check(value: str) -> str | None:
        return None if value in words else f"one of {', '.join(words)}"

    return check


def integer(lowest: int, highest: int) -> Check:
    """A whole number between both, inclusive."""

    def check(value: str) -> str | None:
        whole = re.fullmatch(r"-?[0-9]{1,10}", value)
        return None if whole and lowest <= int(value) <= highest else f"a whole number from {lowest} to {highest}"

    return check


def number(lowest: float, highest: float) -> Check:
    """A decimal number between both, inclusive; no exponent, no unit."""

    def check(value: str) -> str | None:
        if _DECIMAL.fullmatch(value) and lowest <= float(value) <= highest:
            return None
        return f"a number from {lowest:g} to {highest:g}"

    return check


def amount(lowest: int, highest: int) -> Check:
    """A number with an optional k or M (thousands and millions), such as a bitrate."""

    def check(value: str) -> str | None:
        match = _AMOUNT.fullmatch(value)
        if match and lowest <= Decimal(match[1]) * _UNITS[match[2]] <= highest:
            return None
        return f"a number from {lowest} to {highest}, k and M allowed"

    return check


def frame_rate(value: str) -> str | None:
    """As 30, 29.97 or 30000/1001."""
    match = _RATE.fullmatch(value)
    if match:
        rate = Decimal(match[1]) / max(1, int(match[2])) if match[2] else Decimal(match[1] + (match[3] or ""))
        if 0 < rate <= MAX_FRAME_RATE and match[2] != "0" and not (match[2] and int(match[2]) == 0):
            return None
    return f"a frame rate above 0 and at most {MAX_FRAME_RATE}, such as 30 or 30000/1001"


def ratio(value: str) -> str | None:
    """As 16/9, 16:9 or 1.5."""
    match = _RATIO.fullmatch(value)
    if match and int(match[1]) and int(match[2]):
        return None
    if number(0.01, 100)(value) is None:
        return None
    return "a ratio such as 16/9"


def time(value: str) -> str | None:
    """As 12.5, 900ms, 1:30 or 01:02:03.5; never negative."""
    clock = _CLOCK.fullmatch(value)
    if clock and int(clock[1] or 0) <= 48:
        return None
    plain = _SECONDS.fullmatch(value)
    if plain and Decimal(plain[1]) <= LONGEST_TIME_SECONDS:
        return None
    return "a time such as 12.5, 900ms or 00:01:30, at most 48 hours"


def time_seconds(value: str) -> float:
    """Of a value that :func:`time` has passed."""
    clock = _CLOCK.fullmatch(value)
    if clock:
        return int(clock[1] or 0) * 3600 + int(clock[2]) * 60 + float(clock[3])
    plain = _SECONDS.fullmatch(value)
    if plain is None:
        raise ValueError(f"{value!r} is not a time")
    return float(plain[1]) * {None: 1.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}[plain[2]]


def picture_size(value: str) -> str | None:
    """As 1280x720."""
    match = _SIZE.fullmatch(value)
    if match:
        wide, high = int(match[1]), int(match[2])
        if 1 <= wide <= MAX_SIDE_PX and 1 <= high <= MAX_SIDE_PX and wide * high <= MAX_PICTURE_PX:
            return None
    return f"a size such as 1280x720, at most {MAX_SIDE_PX} a side and {MAX_PICTURE_PX} pixels"


def expression(lowest: float, highest: float) -> Check:
    """A number between both, or an expression over the picture's and the frame's own values.

    The result of an expression is not bounded here: where it makes a size, picture_sizes.py bounds that again.
    """
    plain = number(lowest, highest)

    def check(value: str) -> str | None:
        if _DECIMAL.fullmatch(value):
            return plain(value)
        if len(value) > EXPRESSION_LENGTH or not _EXPRESSION.fullmatch(value) or _depth(value) > EXPRESSION_DEPTH:
            return f"a number from {lowest:g} to {highest:g}, or a short expression over iw, ih, n, t and the like"
        unknown = [word for word in _WORD.findall(value) if word not in _WORDS]
        if unknown:
            return f"an expression without {unknown[0]!r}"
        return None

    return check


def _depth(text: str) -> int:
    """The deepest nesting of parentheses; more than allowed when they do not match, or a comma stands outside of them."""
    depth = deepest = 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        deepest = max(deepest, depth)
        if depth < 0 or (depth == 0 and character == ","):
            return EXPRESSION_DEPTH + 1
    return deepest if depth == 0 else EXPRESSION_DEPTH + 1
