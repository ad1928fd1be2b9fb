"""Durations and bitrates as people write them."""

from __future__ import annotations

import re
from datetime import timedelta

from telecine_client.cli.exits import UsageError

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WITH_UNITS = re.compile(rf"(?:{_PART.pattern})+")
_CLOCK = re.compile(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:\.\d+)?)")
_BITRATE = re.compile(r"(\d+(?:\.\d+)?)([kKmM]?)")


def parse_duration(text: str) -> timedelta:
    """Numbers with units, as in the settings of the servers: 500ms, 30s, 1h30m, 2d. Raises UsageError."""
    if not _WITH_UNITS.fullmatch(text):
        raise UsageError(f"{text!r} is no duration; write for example 500ms, 30s, 1h30m or 2d")
    return _length(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)), text)


def parse_offset(text: str) -> timedelta:
    """A place in a film: seconds (90, 90.5), a clock (1:30, 1:02:03.5) or a duration (90s). Raises UsageError."""
    found = _CLOCK.fullmatch(text)
    if found:
        hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return _length(hours * 3600 + minutes * 60 + seconds, text)
    if _WITH_UNITS.fullmatch(text):
        return parse_duration(text)
    raise UsageError(f"{text!r} is no place in a film; write seconds (90.5), a clock (1:30) or a duration (90s)")


def parse_bitrate(text: str) -> int:
    """Bits per second, with k for thousands and M for millions: 800k, 2.5M, 128000. Raises UsageError."""
    found = _BITRATE.fullmatch(text)
    if not found:
        raise UsageError(f"{text!r} is no bitrate; write for example 800k, 2.5M or 128000")
    return round(float(found[1]) * {"": 1, "k": 1_000, "m": 1_000_000}[found[2].lower()])


def _length(seconds: float, text: str) -> timedelta:
    try:
        return timedelta(seconds=seconds)
    except OverflowError as endless:
        raise UsageError(f"{text!r} is longer than anything lasts") from endless
