"""Why a stream ended, and how long to wait before the next one."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Collection

import grpc
import structlog
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from telecine_process.addresses import Address

log = structlog.get_logger(__name__)

# How soon after a break connecting is tried again: at once, then often for this long, then with a growing pause.
OFTEN_SECONDS = 3.0
FIRST_PAUSE_SECONDS = 0.3
OFTEN_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 10.0
# A second message within this time that breaks a rule shows that connecting again has not left it out.
VIOLATION_SECONDS = 60.0


class Reconnection:
    """Counts what fails between two streams. *refusal* is set, in words, once no scheduler of *addresses* takes this worker as
    it is: connecting again would not help.
    """

    def __init__(self, addresses: Collection[Address]) -> None:
        self._addresses = frozenset(addresses)
        # Those that have refused since the last Welcome: while schedulers are replaced, some are older or newer than others.
        self._refusing: set[Address] = set()
        self.refusal: str | None = None
        self._broke_at = time.monotonic()
        self._failures = 0
        self._violated_at = float("-inf")

    def succeed(self) -> None:
        """A scheduler has welcomed us."""
        self._failures = 0
        self._refusing.clear()

    def lose(self) -> None:
        """A stream that was welcome has ended."""
        self._broke_at = time.monotonic()

    def pause(self) -> float:
        """Seconds until the next try: none to speak of right after a break, then full jitter up to ten."""
        self._failures += 1
        if self._failures == 1:
            return random.uniform(0.0, FIRST_PAUSE_SECONDS)  # noqa: S311 - no secret
        often = time.monotonic() - self._broke_at < OFTEN_SECONDS
        longest = OFTEN_PAUSE_SECONDS if often else min(LONGEST_PAUSE_SECONDS, 0.5 * 2 ** min(self._failures, 8))
        return random.uniform(0.0, longest)  # noqa: S311 - no secret

    def consider(self, error: grpc.aio.AioRpcError, address: Address) -> float:
        """What the end with an error of a stream to *address* asks for: seconds to wait at least."""
        reason, wait = _details(error)
        if reason == "UNSUPPORTED_PROTOCOL":
            self._refusing.add(address)
            if self._refusing == self._addresses:
                self.refusal = error.details() or reason
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            log.info("scheduler unavailable", details=error.details())
        else:
            log.warning("stream ended", code=error.code().name, reason=reason, details=error.details())
        if error.code() is grpc.StatusCode.INVALID_ARGUMENT and self._is_lasting_violation():
            wait = max(wait, LONGEST_PAUSE_SECONDS)
        return wait

    def _is_lasting_violation(self) -> bool:
        """A defect of ours: nothing is gained by repeating it quickly. But the leases of a worker that stays away for
        the sake of one bad message go to others, so the first one on a stream is taken for an accident.
        """
        now = time.monotonic()
        before, self._violated_at = self._violated_at, now
        return self._failures > 0 or now - before < VIOLATION_SECONDS


def _details(error: grpc.aio.AioRpcError) -> tuple[str, float]:
    """The reason in ErrorInfo, and the seconds in RetryInfo."""
    reason, wait = "", 0.0
    with contextlib.suppress(ValueError):
        message = rpc_status.from_call(error)
        for detail in message.details if message else ():
            info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
            if detail.Unpack(info):
                reason = info.reason
            elif detail.Unpack(retry):
                wait = retry.retry_delay.ToTimedelta().total_seconds()
    return reason, wait
