"""Whether a partition's Redis answers."""

from __future__ import annotations

import time

import structlog

from telecine_scheduler.domain.errors import StoreUnavailable

log = structlog.get_logger(__name__)

# A store that has not answered for this long is away.
AWAY_SECONDS = 2.0
WARN_SECONDS = 1.0


class StoreWatch:
    """Whether the store answers, as the sweeps and reads see it; warns at most once a second."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._answered = float("-inf")
        self._warned = float("-inf")

    def answered(self) -> None:
        """It did just now."""
        self._answered = time.monotonic()

    @property
    def away(self) -> bool:
        """Whether it has been silent for two seconds."""
        return time.monotonic() - self._answered > AWAY_SECONDS

    def failed(self, error: StoreUnavailable) -> None:
        """Say so, but not too often."""
        now = time.monotonic()
        if now - self._warned >= WARN_SECONDS:
            self._warned = now
            cause = error.__cause__
            log.warning(
                "job store unavailable", partition=self._partition, error=error.message,
                cause=type(cause).__name__ if cause else None,
            )  # fmt: skip
