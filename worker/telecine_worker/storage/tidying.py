"""How long an attempt may tidy up in a store when it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable

# What succeeded may have staged thousands of files, which some stores remove one by one.
AFTER_SUCCESS_SECONDS = 60.0
AFTER_FAILURE_SECONDS = 5.0
# Of the few that a worker has for its end.
DRAINING_SECONDS = 2.0


class Tidying:
    """Of one attempt: *succeeded* and *draining* may be set at any time."""

    def __init__(self) -> None:
        self.succeeded = False
        self.draining = False

    def begin(self) -> Callable[[], bool]:
        """What says whether it has taken too long, from now on."""
        begun = time.monotonic()
        return lambda: time.monotonic() - begun > self._seconds

    @property
    def _seconds(self) -> float:
        if self.draining:
            return DRAINING_SECONDS
        return AFTER_SUCCESS_SECONDS if self.succeeded else AFTER_FAILURE_SECONDS
