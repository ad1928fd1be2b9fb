"""Options of the form NAME=VALUE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from telecine_client.cli.exits import UsageError
from telecine_client.cli.quantities import parse_duration

# What --limit may name, and the field of Limits it stands for.
_LIMITS = {
    "queue": "queue_timeout",
    "total": "total_timeout",
    "soft": "soft_run_timeout",
    "hard": "hard_run_timeout",
    "stall": "stall_timeout",
}


def parse_pairs(texts: Sequence[str], option: str, form: str) -> Mapping[str, str]:
    """Values by name. Raises UsageError, which shows the *form*, also for a name that is given two values."""
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(f"{option} {text}: write {form}")
        if pairs.setdefault(name, value) != value:
            raise UsageError(f"{option} {name} has two values; give it one")
    return pairs


def parse_labels(texts: Sequence[str]) -> Mapping[str, str]:
    """Labels of a job, or those that a job must have. Raises UsageError."""
    return parse_pairs(texts, "--label", "KEY=VALUE")


def parse_limits(texts: Sequence[str]) -> Mapping[str, timedelta]:
    """Time limits by the name of their field in Limits. Raises UsageError."""
    limits = {}
    for name, value in parse_pairs(texts, "--limit", "KIND=TIME, for example total=2h").items():
        if name not in _LIMITS:
            raise UsageError(f"--limit {name}={value}: there is no such limit; there are {', '.join(_LIMITS)}")
        limits[_LIMITS[name]] = parse_duration(value)
    return limits
