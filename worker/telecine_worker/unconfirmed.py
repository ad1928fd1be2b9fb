"""Outcomes that nobody has acknowledged yet: what of them a Hello has, what follows it, and when they are said again.

One that no scheduler takes must neither keep the worker out nor take others along. Once a Hello with outcomes was refused,
the next one has none, and each is said alone. Where a stream ends over one, a Hello has that one only; and if that is
refused, too, the outcome is replaced.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import structlog

from telecine.v1 import lease_service_pb2 as pb
from telecine_worker import convert
from telecine_worker.failure import Failure, FailureKind
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.journal import Journal
from telecine_worker.lease_key import LeaseKey
from telecine_worker.outcome import Failed

log = structlog.get_logger(__name__)

RESEND_OUTCOME_SECONDS = 5.0
# The others follow the Welcome: a message must not grow beyond what a scheduler takes.
MOST_IN_HELLO = 500
MOST_BYTES_IN_HELLO = 1 << 20


class Unconfirmed:
    """The journal as a stream sees it."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._sent_at = 0.0
        self._in_hello: set[LeaseKey] = set()
        # Those that a scheduler has taken since a Hello was refused; None: none was, and nothing is suspected.
        self._taken: set[LeaseKey] | None = None
        # Said and not answered yet; and the one over which a stream may have ended.
        self._alone: LeaseKey | None = None
        self._accused: LeaseKey | None = None

    def begin_stream(self) -> list[pb.Outcome]:
        """Those for a Hello: the oldest, as many as it has room for; while some are suspected, the accused one at most."""
        self._sent_at = time.monotonic()
        self._alone = None
        chosen = self._oldest() if self._taken is None else self._known(self._accused)
        self._in_hello = {LeaseKey.of(outcome.lease) for outcome in chosen}
        return chosen

    def _oldest(self) -> list[pb.Outcome]:
        room, chosen = MOST_BYTES_IN_HELLO, list[pb.Outcome]()
        for outcome in self._journal.unconfirmed[:MOST_IN_HELLO]:
            room -= outcome.ByteSize()
            if room < 0 and chosen:
                break
            chosen.append(outcome)
        return chosen

    def _known(self, key: LeaseKey | None) -> list[pb.Outcome]:
        found = None if key is None else self._journal.find(key)
        return [] if found is None else [found]

    def left_out(self) -> list[pb.Outcome]:
        """Those that the Hello does not have."""
        return [each for each in self._journal.unconfirmed if LeaseKey.of(each.lease) not in self._in_hello]

    def rest(self) -> list[pb.Outcome]:
        """Those to be said after the Welcome: all that the Hello did not have, or a suspected one."""
        if self._taken is None:
            return self.left_out()
        self._accused = None
        self._taken |= self._in_hello
        return self._next_alone(self._taken)

    def _next_alone(self, taken: set[LeaseKey]) -> list[pb.Outcome]:
        for outcome in self._journal.unconfirmed:
            key = LeaseKey.of(outcome.lease)
            if key not in taken:
                self._alone = key
                return [outcome]
        self._alone = self._taken = None
        return []

    def hear(self, key: LeaseKey) -> list[pb.Outcome]:
        """An outcome was answered, whatever the answer. The next one to be said alone, if there is one."""
        if self._taken is None or key != self._alone:
            return []
        self._taken.add(key)
        return self._next_alone(self._taken)

    def due(self) -> Sequence[pb.Outcome]:
        """Those to be said again now: all that are not suspected, every few seconds."""
        now = time.monotonic()
        if now - self._sent_at < RESEND_OUTCOME_SECONDS:
            return ()
        self._sent_at = now
        taken = self._taken
        return [each for each in self._journal.unconfirmed if taken is None or LeaseKey.of(each.lease) in taken]

    def accuse(self) -> bool:
        """A stream ended because a message broke a rule: whether that may be an outcome that was said alone."""
        self._accused, self._alone = self._alone, None
        return self._accused is not None

    async def refuse(self, outcomes: Sequence[pb.Outcome]) -> None:
        """A Hello with these outcomes was refused. One that was so twice, and alone, becomes a failure of its own job, and is
        dropped where it is that already.
        """
        if self._taken is None:
            self._taken = set()
            return
        self._accused = None
        for outcome in outcomes:
            await self._replace(outcome, _REFUSED)

    async def replace_large(self) -> None:
        """What is larger than an outcome may be, as an older worker may have left it, fails its job, too."""
        for outcome in self._journal.unconfirmed:
            size = outcome.ByteSize()
            if size > convert.MOST_OUTCOME_BYTES:
                await self._replace(outcome, convert.too_large("OUTPUT_TOO_LARGE", size).failure)

    async def _replace(self, outcome: pb.Outcome, failure: Failure) -> None:
        key = LeaseKey.of(outcome.lease)
        log.error("outcome cannot be said", tenant=key.tenant, job_id=key.job_id, token=key.token, why=failure.message)
        self._journal.set_aside(key)
        replacement = convert.outcome(key.ref, Failed(usage=Usage(), failure=failure))
        if replacement is not None and replacement != outcome:
            await self._journal.add(replacement)


_REFUSED = Failure(
    kind=FailureKind.UNKNOWN,
    reason="INTERNAL_ERROR",
    message="a defect of the worker: no scheduler took its outcome; the worker's log and journal have the details",
)
