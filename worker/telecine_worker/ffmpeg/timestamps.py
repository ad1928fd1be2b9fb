"""Times that setpts and asetpts of callers may set, and how much longer they make what passes."""

from __future__ import annotations

from collections.abc import Mapping

from telecine_worker.ffmpeg.values import MAX_FRAME_RATE, MOST_SLOWING, number

_FACTORS = (("", "*PTS"), ("PTS*", ""), ("PTS/", ""))
_factor = number(1 / MOST_SLOWING, MOST_SLOWING)
# Evenly spaced pictures: whatever the rate of the input, they take no longer than the slowest factor makes it.
_spaced = number(MAX_FRAME_RATE / MOST_SLOWING, MAX_FRAME_RATE)


def _slowed(value: str) -> float | None:
    """How many times as long the times of setpts and asetpts are made, at most; None: the form is not allowed."""
    if value in ("PTS-STARTPTS", "N/FRAME_RATE/TB", "N/SR/TB", "PTS"):
        return 1
    for before, after in _FACTORS:
        factor = value.removeprefix(before).removesuffix(after)
        if before + factor + after == value and _factor(factor) is None:
            return 1 / float(factor) if before == "PTS/" else float(factor)
    rate = value.removeprefix("N/").removesuffix("/TB")
    if f"N/{rate}/TB" == value and _spaced(rate) is None:
        return MAX_FRAME_RATE / float(rate)
    return None


def of_pictures(value: str) -> str | None:
    """What would be right instead of *value* in setpts; None: it may be passed on."""
    if _slowed(value) is not None:
        return None
    return "PTS-STARTPTS, N/FRAME_RATE/TB, N/30/TB with a rate from 12 to 240, or 0.5*PTS with a factor from 0.05 to 20"


def of_sound(value: str) -> str | None:
    """The same of asetpts."""
    # N counts samples.
    if _slowed(value) is not None and (value == "N/SR/TB" or not value.startswith("N")):
        return None
    return "PTS-STARTPTS, N/SR/TB, or 0.5*PTS with a factor from 0.05 to 20"


def slowing(options: Mapping[str, str]) -> float:
    """How many times as long either of them makes what passes, at most."""
    return _slowed(options.get("expr", "PTS")) or 1
