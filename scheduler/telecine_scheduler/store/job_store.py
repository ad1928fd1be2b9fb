"""The store: one typed method per verb."""

from __future__ import annotations

import random
from datetime import timedelta

from telecine_scheduler.domain.admission import Admission
from telecine_scheduler.domain.figures import Audited, ClassStats, Repair, Stats, Swept
from telecine_scheduler.domain.job import JobState
from telecine_scheduler.domain.reply import CancelReply, DeleteReply, RegisterReply, RetryReply
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.store.codec import microseconds
from telecine_scheduler.store.jobs import JobVerbs
from telecine_scheduler.store.leases import LeaseVerbs
from telecine_scheduler.store.workers import WorkerVerbs

__all__ = ["Admission", "CancelReply", "DeleteReply", "JobStore", "RegisterReply", "RetryReply", "Stats", "Swept"]

SWEEP_LIMIT = 50
AUDIT_LIMIT = 50
# How long the other schedulers leave the walk to the one that has begun it, and from the end of a pass to the next.
AUDIT_HOLD = timedelta(seconds=30)
AUDIT_REST = timedelta(minutes=2)
_BEGINNING = (b"",) * 4
_SWEPT = (
    "promoted", "returned", "lost", "failed", "cancelled", "purged", "repaired", "broken", "queue_timeout", "total_timeout",
    "run_timeout", "braked",
)  # fmt: skip


class JobStore(JobVerbs, LeaseVerbs, WorkerVerbs):
    """All state of the queue. Methods raise StoreUnavailable when Redis did not answer; every one may be repeated."""

    async def sweep(self) -> Swept:
        """Let time do its work on at most 50 jobs of each sort, and say that this scheduler lives."""
        times = self._times
        header = (
            self._scheduler, microseconds(times.live), microseconds(times.gap), microseconds(times.ttl),
            *self._endings_header(),
        )  # fmt: skip
        jitter = [random.random() for _ in range(SWEEP_LIMIT)]  # noqa: S311 - no secret
        *counts, more, frozen, alarm, wrong = await self._durable.call("sweep", header, (SWEEP_LIMIT, *jitter))
        done = dict(zip(_SWEPT, map(int, counts), strict=True))
        return Swept(
            **done, more=more == b"1", frozen=frozen == b"1", alarm=alarm == b"1", wrong=wrong.decode(errors="replace")
        )  # fmt: skip

    async def audit(self, position: tuple[bytes, ...] | None) -> Audited | None:
        """Look at the next 50 entries or so of everything that is kept, and mend what should be impossible.

        Begins a pass where *position* is None. None: another scheduler walks, or the last pass ended less than two minutes ago.
        """
        times = (microseconds(each) for each in (self._times.ttl, AUDIT_HOLD, AUDIT_REST))
        word, *rest = await self._fast.call(
            "audit", (self._scheduler, *times), (AUDIT_LIMIT, *(position or _BEGINNING))
        )
        if word == b"WAIT":
            return None
        *where, looked, jobs, broken, wrong, repairs = rest
        pairs = iter(repairs)
        return Audited(
            position=None if word == b"DONE" else tuple(where), looked=looked, jobs=jobs, broken=broken,
            wrong=wrong.decode(errors="replace"),
            repairs={Repair(kind.decode()): number for kind, number in zip(pairs, pairs, strict=True)},
        )  # fmt: skip

    async def stats(self) -> Stats:
        """Figures over the partition."""
        states, leases, *classes = await self._fast.call("stats", (), ())
        pairs = iter(states)
        return Stats(
            jobs={JobState(key.decode()): int(value) for key, value in zip(pairs, pairs, strict=True)},
            leases=leases,
            classes=[
                ClassStats(
                    job_class=JobClass.parse(text.decode()), ready=ready, oldest=timedelta(microseconds=int(oldest))
                )
                for text, ready, oldest in classes
            ],
        )
