"""One lease of this worker, and what is said about it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

from telecine.v1 import lease_service_pb2 as pb
from telecine_worker import convert
from telecine_worker.attempt import Attempt
from telecine_worker.ffmpeg.progress import Snapshot
from telecine_worker.lease_key import LeaseKey


@dataclass(slots=True, eq=False)
class HeldLease:
    """One lease and its attempt."""

    key: LeaseKey
    units: int
    attempt: Attempt
    # Counts renewals: progress that is overtaken on the way is not taken in.
    sequence: int = 0
    snapshot: Snapshot | None = None
    told: Snapshot | None = None
    renewed_at: float = field(default_factory=time.monotonic)
    decision: asyncio.Event = field(default_factory=asyncio.Event)
    answer: pb.PublishDecision | None = None

    def note(self, snapshot: Snapshot) -> None:
        """How far the attempt is now."""
        self.snapshot = snapshot

    @property
    def has_news(self) -> bool:
        """Whether there is progress that was not told."""
        return self.snapshot is not None and self.snapshot != self.told

    def renewal(self) -> pb.Renewal:
        """A renewal with the newest progress."""
        self.sequence += 1
        self.renewed_at = time.monotonic()
        message = pb.Renewal(lease=self.key.ref, sequence=self.sequence)
        if self.snapshot is not None and self.has_news:
            message.progress.CopyFrom(convert.progress(self.snapshot))
            self.told = self.snapshot
        return message

    def tell_again(self) -> None:
        """What was said on a stream that broke may not have arrived."""
        self.told = None
