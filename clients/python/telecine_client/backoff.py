"""How long to wait before a call is made again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential, with full jitter, so that clients that lost one scheduler together do not come back together."""

    first: timedelta = timedelta(milliseconds=100)
    ceiling: timedelta = timedelta(seconds=2)

    def ceiling_after(self, failures: int) -> timedelta:
        """The longest wait after this many failures in a row (from 1)."""
        # The exponent is bounded: a timedelta does not hold 2 to the power of every number of failures.
        return min(self.ceiling, self.first * (1 << min(failures - 1, 32)))

    def wait(self, failures: int, *, at_least: timedelta | None) -> timedelta:
        """A random wait after *failures* in a row; *at_least* is what the scheduler asked for."""
        wait = self.ceiling_after(failures) * random.random()  # noqa: S311 - spreads load, guards nothing
        return max(wait, at_least or timedelta())
