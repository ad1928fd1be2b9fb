"""What the store should answer and hold: leases.md as a dict of jobs, without Redis, indexes or scripts.

Each verb gives the answer that the store must give. Where the store may choose (a number of its clock, a moment within a
backoff, whose turn it is) the model says what it may be, and takes on what it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from support.model.caller_verbs import CallerVerbs
from support.model.worker_verbs import WorkerVerbs


class StoreModel(CallerVerbs, WorkerVerbs):
    """All state of the queue. *now* is set before each call."""

    def moments(self) -> Iterator[float]:
        """When something changes by itself: too near to one of these, an answer depends on microseconds."""
        for job in self.jobs.values():
            timers = (*(job.due or ()), job.lease, job.publish, job.expire, job.limit and job.limit[1])
            yield from (timer for timer in timers if timer)
            yield from (end for _, end in self.ends(job))
            yield job.avoids[1]
        yield from (self.frozen_until, self.lost_range[1] / 1e6 + self.ttl, *self.taken.values())
