"""One lease of this worker, and what is said about it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog

from telecine.v1 import lease_service_pb2 as pb
from telecine_worker import convert
from telecine_worker.ffmpeg.progress import Phase, Snapshot
from telecine_worker.lease_key import LeaseKey
from telecine_worker.outcome import Ended, StopReason
from telecine_worker.publish_question import PublishQuestion

log = structlog.get_logger(__name__)


class RunningAttempt(Protocol):
    """What runs under a lease: an Attempt."""

    def stop(self, reason: StopReason, grace: timedelta) -> None: ...

    async def run(self) -> Ended: ...


@dataclass(slots=True, eq=False, kw_only=True)
class HeldLease:
    """One lease and its attempt. *task* is the kind of its task; *longest_run* is how long an attempt that is sound can
    run.
    """

    key: LeaseKey
    units: int
    task: str
    attempt: RunningAttempt
    question: PublishQuestion
    longest_run: timedelta
    # The lease is over, and the attempt cleans up: nothing more is said about it.
    lost: bool = False
    # The last speed FFmpeg reported; 0 while unknown.
    speed: float = 0.0
    # Counts renewals: progress that is overtaken on the way is not taken in.
    _sequence: int = field(default=0, init=False)
    _snapshot: Snapshot | None = field(default=None, init=False)
    _told: Snapshot | None = field(default=None, init=False)
    _began_at: float = field(default_factory=time.monotonic, init=False)
    _renewed_at: float = field(default_factory=time.monotonic, init=False)
    # When the oldest renewal was sent that is not answered.
    _asked_at: float | None = field(default=None, init=False)

    def note(self, snapshot: Snapshot) -> None:
        """How far the attempt is now."""
        self._snapshot = snapshot
        self.speed = snapshot.speed or self.speed

    @property
    def speed_now(self) -> float:
        """Media seconds per wall second; 0 while FFmpeg does not run."""
        return self._snapshot.speed if self._snapshot else 0.0

    @property
    def is_starting(self) -> bool:
        """Whether its inputs have not all come yet."""
        return self._snapshot is None or self._snapshot.phase is Phase.FETCHING

    @property
    def overdue(self) -> bool:
        """Whether the attempt should have ended long ago: it hangs, most likely in a file system that is gone."""
        return time.monotonic() - self._began_at > self.longest_run.total_seconds()

    def is_due(self, renew_every_seconds: float) -> bool:
        """Whether it is time to renew, or there is progress that was not told."""
        return time.monotonic() - self._renewed_at >= renew_every_seconds or self._snapshot != self._told

    def renewal(self) -> pb.Renewal:
        """A renewal with the newest progress."""
        self._sequence += 1
        self._renewed_at = time.monotonic()
        if self._asked_at is None:
            self._asked_at = self._renewed_at
        message = pb.Renewal(lease=self.key.ref, sequence=self._sequence)
        if self._snapshot is not None and self._snapshot != self._told:
            self._told = self._snapshot
            try:
                message.progress.CopyFrom(convert.progress(self._snapshot))
            except Exception:
                # A defect that concerns one attempt must not end the others.
                log.exception("progress cannot be told", job_id=self.key.job_id)
        return message

    def hear(self) -> None:
        """A renewal was answered, whatever the answer."""
        self._asked_at = None

    @property
    def unanswered_seconds(self) -> float:
        """For how long a renewal has waited for its answer."""
        return 0.0 if self._asked_at is None else time.monotonic() - self._asked_at

    def tell_again(self) -> None:
        """What was said on a stream that broke may not have arrived."""
        self._told = None

    def begin_stream(self) -> None:
        """A stream is open: what was asked on an older one is not answered any more, and what was said since its Hello was
        not sent.
        """
        self._asked_at = None
        self.tell_again()
        self.question.begin_stream()
