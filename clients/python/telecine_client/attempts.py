"""When a call is made again, where, and when it is given up: one rule for every call of both clients."""

from __future__ import annotations

import logging
from datetime import timedelta

from telecine_client.addresses import Rotation, named
from telecine_client.backoff import Backoff
from telecine_client.errors import DeadlineExceeded, TelecineError, Unavailable

_log = logging.getLogger(__name__)


class Attempts:
    """The attempts at one call, which may take *timeout* in all. Times are seconds on one clock that never goes back.

    A scheduler that hangs must not cost the whole timeout while there are others: an attempt gets an equal share of what is
    left for each address that was not tried, and once that is over the next address is tried at once.

    Only for calls that may be repeated: every one of the contract may, SubmitJob because its job id is chosen before.
    """

    def __init__(self, timeout: timedelta, now: float, *, backoff: Backoff, rotation: Rotation) -> None:
        self._timeout = timeout
        self._deadline = now + timeout.total_seconds()
        self._backoff = backoff
        self._rotation = rotation
        self._address = rotation.current
        self._tried: dict[str, None] = {}
        self._failures: list[Unavailable] = []

    def begin(self, now: float) -> tuple[str, float]:
        """Where the next attempt goes, and how many seconds it may take."""
        untried = self._untried()
        current = self._rotation.current
        self._address = current if current in untried or not untried else untried[0]
        self._tried[self._address] = None
        return self._address, max(self._deadline - now, 0) / max(len(untried), 1)

    def wait(self, failed: TelecineError, now: float) -> float:
        """How many seconds to wait before the next attempt. Raises what the caller has to know when there is none."""
        if isinstance(failed, Unavailable | DeadlineExceeded):
            self._rotation.turn_from(self._address)
        error = named(failed, self._tried, self._timeout)
        if isinstance(error, DeadlineExceeded):
            if self._untried() and now < self._deadline:
                return 0
            # When the time ran out over being turned away, that says more than that it ran out.
            raise self._failures[-1] if self._failures else error
        if not isinstance(error, Unavailable):
            raise error
        self._failures.append(error)
        wait = self._backoff.wait(len(self._failures), at_least=error.retry_after).total_seconds()
        if now + wait >= self._deadline:
            raise error
        _log.info("a call failed and is made again", extra={"error": error})
        return wait

    def _untried(self) -> list[str]:
        return [address for address in self._rotation.addresses if address not in self._tried]
