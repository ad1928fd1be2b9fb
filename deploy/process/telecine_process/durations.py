"""Durations as people write them in settings: `500ms`, `30s`, `10m`, `1h30m`, `2d`."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_duration(text: str) -> timedelta:
    """The duration *text* stands for; ValueError says what would be right."""
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is no duration; write a number with a unit, such as 500ms, 30s, 10m or 1h30m")
    return sum((float(number) * _UNITS[unit] for number, unit in parts), timedelta())


def format_duration(duration: timedelta) -> str:
    """The shortest exact way to write *duration*, which is a whole number of milliseconds."""
    left = round(duration / _UNITS["ms"])
    text = ""
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, round(_UNITS[unit] / _UNITS["ms"]))
        text += f"{count}{unit}" if count else ""
    return text or "0s"
