"""When a call is made again, and when it is given up: one rule for every call of both clients."""

from __future__ import annotations

from datetime import timedelta

from telecine_client.addresses import Rotation
from telecine_client.backoff import Backoff
from telecine_client.errors import DeadlineExceeded, TelecineError, Unavailable


class Attempts:
    """The attempts at one call, which may take *timeout* in all. Times are seconds on one clock that never goes back.

    Only for calls that may be repeated: every one of the contract may, SubmitJob because its job id is chosen before.
    """

    def __init__(self, timeout: timedelta, now: float, *, backoff: Backoff, rotation: Rotation) -> None:
        self._timeout = timeout
        self._deadline = now + timeout.total_seconds()
        self._backoff = backoff
        self._rotation = rotation
        self._failures: list[Unavailable] = []

    def left(self, now: float) -> float:
        """Seconds for the next attempt."""
        return max(self._deadline - now, 0)

    def wait(self, raw: TelecineError, now: float) -> float:
        """How many seconds to wait before the next attempt. Raises what the caller has to know when there is none."""
        error = self._rotation.named(raw, self._timeout)
        if isinstance(error, DeadlineExceeded) and self._failures:
            # The time ran out over being turned away, which says more than that it ran out.
            raise self._failures[-1] from raw
        if not isinstance(error, Unavailable):
            raise error from raw.__cause__
        self._failures.append(error)
        wait = self._backoff.wait(len(self._failures), at_least=error.retry_after).total_seconds()
        if now + wait >= self._deadline:
            raise error from raw.__cause__
        return wait
