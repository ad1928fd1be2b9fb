"""What every job may be told beside its task, as keyword arguments of the builders in spec.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypedDict

from google.protobuf.message import Message

from telecine.v1 import media_pb2


class SpecOptions(TypedDict, total=False):
    """Each that is left out has the contract's default; see media.proto for the bounds."""

    queue: str
    """Which workers take it."""
    priority: int
    """0..100, higher first, default 50."""
    requirements: Iterable[str]
    """Capabilities that a worker must have besides those the task implies."""
    units: int
    """Slots it takes on a worker."""
    labels: Mapping[str, str]
    """To list and watch jobs by."""
    not_before: datetime
    """With a time zone: the job is not begun earlier."""
    max_attempts: int
    """Charged attempts, default 3; 1: no second one."""
    initial_backoff: timedelta
    max_backoff: timedelta
    queue_timeout: timedelta
    """From submit to the first start."""
    total_timeout: timedelta
    """From submit to the end, all attempts."""
    soft_run_timeout: timedelta
    """Of one attempt, until FFmpeg is asked to stop."""
    hard_run_timeout: timedelta
    """Of one attempt, until FFmpeg is killed; default 24 h."""
    stall_timeout: timedelta
    """Without any progress of FFmpeg; default 2 min."""
    cancel_grace: timedelta
    """From the request to stop to the kill."""
    retention: timedelta
    """How long the record is kept after the end."""


_LIMITS = (
    "queue_timeout",
    "total_timeout",
    "soft_run_timeout",
    "hard_run_timeout",
    "stall_timeout",
    "cancel_grace",
)


def apply(options: SpecOptions, spec: media_pb2.JobSpec) -> None:
    """Write the *options* into *spec*.

    Raises ValueError for a not_before without time zone, which could be any hour, and TypeError for an option there is not.
    """
    unknown = sorted(options.keys() - SpecOptions.__annotations__.keys())
    if unknown:
        known = ", ".join(SpecOptions.__annotations__)
        raise TypeError(f"there is no option {', '.join(unknown)}; there are {known}")
    start = options.get("not_before")
    if start is not None:
        if start.tzinfo is None:
            raise ValueError(
                f"not_before {start} has no time zone; give one, e.g. datetime.now(UTC) + timedelta(hours=1)"
            )
        spec.not_before_time.FromDatetime(start)
    _copy(options, spec, "queue", "priority", "units")
    _copy(options, spec.retry_policy, "max_attempts")
    _copy_durations(options, spec.retry_policy, "initial_backoff", "max_backoff")
    _copy_durations(options, spec.limits, *_LIMITS)
    if "retention" in options:
        spec.retention_duration.FromTimedelta(options["retention"])
    spec.requirements.extend(options.get("requirements", ()))
    spec.labels.update(options.get("labels", {}))


def _copy(options: Mapping[str, object], message: Message, *names: str) -> None:
    for name in names:
        if name in options:
            setattr(message, name, options[name])


def _copy_durations(options: Mapping[str, Any], message: Message, *names: str) -> None:
    for name in names:
        if name in options:
            getattr(message, name).FromTimedelta(options[name])
