"""Which ready job comes first: priority that ages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

MAX_PRIORITY = 100
DEFAULT_PRIORITY = 50
DEFAULT_AGING = timedelta(minutes=10)
# One level outweighs 116 days of waiting; 100 of them and a sequence stay exact in a double.
STRICT_AGING = timedelta(microseconds=10**13)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """A job's score is its sequence (the time it became ready) plus this penalty; the lowest score is served first.

    Because every job ages alike, the order of two jobs never changes, and a job of priority p is overtaken only by jobs of
    priority q that become ready less than (q - p) * aging after it.
    """

    aging: timedelta = DEFAULT_AGING

    def penalty(self, priority: int) -> int:
        """Microseconds of waiting that a job of this priority (0..100) is behind one of the highest."""
        return (MAX_PRIORITY - priority) * round(self.aging / timedelta(microseconds=1))
