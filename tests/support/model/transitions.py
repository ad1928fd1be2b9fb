"""How jobs of the model go from state to state: the rows of leases.md, section 2."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import inf

from support.model.job import ModelJob, ModelWorker
from telecine_scheduler.domain.job import JobName
from telecine_scheduler.domain.lease import Lease, StreamId, Times

Answer = tuple[object, ...]
MARGIN, AVOIDED, ELSEWHERE = 15.0, 60.0, 10.0
REFUSED, MOST_REFUSED, MAX_RETURNS, MAX_REFUSALS, POISON = 15.0, 300.0, 20, 3, 3
# What the store writes into a job that it ends by itself.
ENDINGS = {"WORKER_LOST": b"lost", "QUEUE_TIMEOUT": b"queue", "TOTAL_TIMEOUT": b"total", "RUN_TIMEOUT": b"run"}
STALE: Answer = ("STALE",)
FORGIVEN: Answer = ("STALE", "FORGIVEN")
ADOPTABLE: Answer = ("ADOPTABLE",)


class Transitions:
    """All state of the queue. *now* is set before each call."""

    def __init__(self, times: Times) -> None:
        self.now = 0.0
        self.jobs: dict[JobName, ModelJob] = {}
        self.workers: dict[str, ModelWorker] = {}
        self.frozen_until = 0.0
        # Numbers of the clock between which a failover lost what was given.
        self.lost_range: tuple[int, int] = (0, 0)
        self.ttl = times.ttl.total_seconds()
        self._grace = times.cancel_grace.total_seconds()

    def grace(self, job: ModelJob) -> float:
        own = job.said.limits.cancel_grace
        return self._grace if own is None else own.total_seconds()

    def publishing(self, job: ModelJob) -> bool:
        return job.publish is not None and self.now < job.publish

    def held_by(self, stream: StreamId) -> list[ModelJob]:
        return [job for job in self.jobs.values() if job.state in "LRC" and job.worker == stream.worker_id]

    def ends(self, job: ModelJob) -> Iterator[tuple[str, float]]:
        """When the store ends a running attempt that its worker did not."""
        slack = self.grace(job) + MARGIN
        if total := job.total_end():
            yield "TOTAL_TIMEOUT", total + slack
        if job.start is not None:
            yield "RUN_TIMEOUT", job.start + job.said.limits.hard_run.total_seconds() + slack

    def to(self, job: ModelJob, state: str, *, visible: bool = True) -> None:
        """Into another state; the timer of limits goes with it."""
        was, job.state = job.state, state
        job.revised = job.revised or visible
        if was != "R" and state in "WQL":
            return
        total = job.total_end()
        job.limit = ("TOTAL_TIMEOUT", total) if total and state in "WQLR" else None

    def queue(self, job: ModelJob, *, new_place: bool = True, visible: bool = True) -> None:
        self.to(job, "Q", visible=visible)
        job.due = job.wait_reason = None
        if new_place:
            job.queue = None

    def wait(self, job: ModelJob, reason: str, shortest: float, longest: float) -> None:
        self.to(job, "W")
        job.wait_reason, job.due = reason, (self.now + shortest, self.now + longest)

    def release(self, job: ModelJob) -> None:
        job.lease = job.publish = None

    def retire(self, job: ModelJob, state: str) -> None:
        kept = job.said.retention
        keep = {"S": kept.succeeded, "F": kept.failed, "X": kept.cancelled}[state]
        self.release(job)
        self.to(job, state)
        job.due = job.wait_reason = None
        job.expire = self.now + keep.total_seconds()

    def begin(self, job: ModelJob) -> bool:
        """T5, where the attempt had not begun. Whether it is the job's first."""
        if job.state != "L":
            return False
        self.to(job, "R")
        job.attempts += 1
        job.start, job.sequence, job.progress, job.avoids = self.now, -1, b"", ("", 0.0)
        job.counts["refusals"] = 0
        job.lease = self.now + self.ttl
        return job.attempts == 1

    def bump(self, job: ModelJob) -> None:
        """Whoever had the lease is fenced."""
        job.token, job.stored_token = None, inf

    def ungrant(self, job: ModelJob) -> None:
        self.release(job)
        self.bump(job)
        self.queue(job, new_place=False, visible=False)

    def other(self, job: ModelJob) -> bool:
        """Whether another connected worker could run it."""
        needs = job.said.job_class
        return any(
            needs.served_by(queues=each.offer.queues, capabilities=each.offer.capabilities, slots=each.offer.slots)
            for worker_id, each in self.workers.items()
            if each.up and each.offer and not each.draining and worker_id != job.worker
        )

    def poison(self, job: ModelJob) -> bool:
        workers = {worker for _, worker, _ in job.crashes}
        return job.counts["crashes"] >= POISON and (len(workers) > 1 or not self.other(job))

    def fail(self, job: ModelJob, kind: str, failure: bytes, *, lost: bool = False) -> str:
        """T9, T10; the state it goes to."""
        crash, counts = kind == "CRASH", job.counts
        counts["crashes" if crash else "failures"] += 1
        counts["unknown"] += kind == "UNKNOWN"
        job.failure = failure
        self.release(job)
        if crash:
            job.crashes.append((job.token or 0, job.worker, lost))
        poison = crash and self.poison(job)
        spent = counts["crashes"] + counts["failures"] >= job.said.retry.max_attempts
        unknown = kind == "UNKNOWN" and counts["unknown"] > 1
        if poison or spent or unknown or kind in ("PERMANENT", "DEADLINE"):
            # Whoever reads it is told that it was poison.
            job.failure = None if poison else failure
            self.retire(job, "F")
            return "F"
        elsewhere = kind in ("UNKNOWN", "CRASH") and self.other(job)
        job.crashes_ever += crash
        if crash and job.crashes_ever == 1:
            job.avoids = (job.process, self.now + ELSEWHERE) if elsewhere else job.avoids
            self.queue(job)
            return "Q"
        policy, step = job.said.retry, job.crashes_ever - 1 if crash else counts["failures"]
        delay = min(policy.max_backoff, policy.initial_backoff * 2 ** (step - 1)).total_seconds()
        self.wait(job, "BACKOFF", delay / 2, delay)
        job.avoids_after = ELSEWHERE if elsewhere else None
        return "W"

    def overrun(self, job: ModelJob) -> str | None:
        """T10: a limit that is over ends a running attempt."""
        for reason, end in self.ends(job):
            if self.now >= end:
                job.failure = ENDINGS[reason]
                self.bump(job)
                self.retire(job, "F")
                return reason
        return None

    def hold(self, lease: Lease, *, limited: bool = False) -> tuple[ModelJob | None, Answer]:
        """The job where its attempt may go on, else what the worker is told."""
        job = self.jobs.get(lease.name)
        if not job:
            return None, STALE
        if job.token != lease.token:
            return None, self.superseded(job, lease.token)
        if job.state == "C":
            return None, ("CANCEL", False, job.said.limits.cancel_grace)
        if job.state not in "LR":
            return None, STALE
        if job.state == "R" and limited and not self.publishing(job) and (reason := self.overrun(job)):
            return None, ("STALE", False, reason)
        return job, ()

    def superseded(self, job: ModelJob, token: int) -> Answer:
        """What a message comes to whose token is not the job's."""
        if self.adoptable(job, token):
            return ADOPTABLE
        return FORGIVEN if self.forgive(job, token) else STALE

    def forgive(self, job: ModelJob, token: int) -> bool:
        """A lease was taken for lost, and its holder is there."""
        lost = [crash for crash in job.crashes if crash[0] == token and crash[2]]
        if not lost or job.state in "SFX" or job.counts["returns"] >= MAX_RETURNS:
            return False
        job.crashes.remove(lost[0])
        job.counts["crashes"] -= 1
        job.counts["returns"] += 1
        return True

    def adoptable(self, job: ModelJob, token: int) -> bool:
        """T18: a failover lost the lease, and nobody has been given the job since."""
        lost_from, lost_to = self.lost_range
        is_lost = lost_from < token <= lost_to and token > max(job.stored_token, job.generation_began)
        return job.state in "WQ" and is_lost

    def lost(self, job: ModelJob) -> str:
        """What a lease becomes whose holder is gone."""
        if job.state == "L":
            self.ungrant(job)
            return "RETURNED"
        if job.state == "C":
            self.bump(job)
            self.retire(job, "X")
            return "CANCELLED"
        if reason := self.overrun(job):
            return reason
        to = self.fail(job, "CRASH", ENDINGS["WORKER_LOST"], lost=True)
        self.bump(job)
        return "FAILED" if to == "F" else "LOST"

    def sweep(self, *, after_outage: bool) -> Counter[str]:
        """What time does to jobs."""
        done: Counter[str] = Counter()
        if after_outage and any(job.lease for job in self.jobs.values()):
            self.frozen_until = self.now + self.ttl
        for job in self.jobs.values():
            if job.due and job.due[1] <= self.now:
                self.queue(job, new_place=job.wait_reason != "REFUSED")
                done["promoted"] += 1
        if self.now >= self.frozen_until:
            for job in self.jobs.values():
                if job.lease and job.lease <= self.now:
                    done[self.lost(job).lower()] += 1
        for job in self.jobs.values():
            if job.limit and job.limit[1] <= self.now and (reason := self._over(job, *job.limit)):
                done[reason.lower()] += 1
        for job in [job for job in self.jobs.values() if job.expire and job.expire <= self.now]:
            del self.jobs[job.said.name]
            done["purged"] += 1
        return done

    def _over(self, job: ModelJob, reason: str, end: float) -> str | None:
        """T15; a running attempt is its worker's to end, and ours only if it does not."""
        if job.state != "R":
            if job.state == "L":
                self.bump(job)
            job.failure = ENDINGS[reason]
            self.retire(job, "F")
            return reason
        again = max(dict(self.ends(job))["TOTAL_TIMEOUT"], job.publish or 0, self.frozen_until)
        if self.now >= again:
            return self.overrun(job)
        job.limit = ("TOTAL_TIMEOUT", again)
        return None
