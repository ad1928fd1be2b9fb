"""Time limits of a spec: their bounds, and how they fit together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from telecine.v1 import media_pb2
from telecine_scheduler.domain.errors import Violation
from telecine_scheduler.domain.submission import DEFAULT_HARD_RUN

SHORTEST = timedelta(milliseconds=1)
# FFmpeg is looked at about once a second.
SHORTEST_STALL = timedelta(seconds=1)
LONGEST_STALL = timedelta(days=1)
LONGEST_RUN = timedelta(days=7)
LONGEST_WAIT = timedelta(days=366)

_BOUNDS = {
    "queue_timeout": (SHORTEST, LONGEST_WAIT),
    "total_timeout": (SHORTEST, LONGEST_WAIT),
    "soft_run_timeout": (SHORTEST, LONGEST_RUN),
    "hard_run_timeout": (SHORTEST, LONGEST_RUN),
    "stall_timeout": (SHORTEST_STALL, LONGEST_STALL),
}


def limit_violations(limits: media_pb2.Limits) -> Iterator[Violation]:
    """What is wrong with limits whose durations are valid ones."""
    for name, (shortest, longest) in _BOUNDS.items():
        if limits.HasField(name) and not shortest <= _of(limits, name) <= longest:  # type: ignore[arg-type]
            yield _violation(name, f"must be from {_shown(shortest)} to {_shown(longest)}")
    both = limits.HasField("queue_timeout") and limits.HasField("total_timeout")
    if both and _of(limits, "queue_timeout") > _of(limits, "total_timeout"):
        yield _violation("queue_timeout", "must not be longer than total_timeout")
    if limits.HasField("soft_run_timeout"):
        hard = _of(limits, "hard_run_timeout") if limits.HasField("hard_run_timeout") else DEFAULT_HARD_RUN
        if _of(limits, "soft_run_timeout") >= hard:
            yield _violation("soft_run_timeout", f"must be shorter than hard_run_timeout, which is {_shown(hard)}")


def _of(limits: media_pb2.Limits, name: str) -> timedelta:
    value: Duration = getattr(limits, name)
    return value.ToTimedelta()


def _shown(duration: timedelta) -> str:
    return f"{duration.total_seconds():g} s"


def _violation(name: str, description: str) -> Violation:
    return Violation(field=f"spec.limits.{name}", description=description)
