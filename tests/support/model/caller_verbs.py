"""What the store should answer to callers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from support.model.job import ModelJob
from support.model.transitions import Answer, Transitions
from telecine_scheduler.domain.admission import Admission
from telecine_scheduler.domain.job import JobName
from telecine_scheduler.domain.lease import Times
from telecine_scheduler.domain.submission import Submission

TOMBSTONE, STOP = 86400.0, 2.0


class CallerVerbs(Transitions):
    """Submit, read, cancel, retry, delete."""

    def __init__(self, times: Times, admission: Admission) -> None:
        super().__init__(times)
        self.taken: dict[JobName, float] = {}
        self._admission = admission

    def submit(self, said: Submission) -> str:
        if said.name in self.jobs:
            return "EXISTS"
        word = self._spent(said.name) or self._no_room([said])
        if not word:
            self._admit(said)
        return word or "CREATED"

    def submit_all(self, batch: Sequence[Submission]) -> str:
        word = self.check(batch)
        for said in batch if word == "ADMISSIBLE" else ():
            if said.name not in self.jobs:
                self._admit(said)
        return word

    def check(self, batch: Sequence[Submission]) -> str:
        """Whether all of the batch could be admitted."""
        new = [said for said in batch if said.name not in self.jobs]
        others = [said for said in batch if said.name in self.jobs and self.jobs[said.name].said.digest != said.digest]
        refused = others or any(self._spent(said.name) for said in new) or self._no_room(new)
        return "REFUSED" if refused else "ADMISSIBLE"

    def cancel(self, name: JobName, reason: str) -> Answer:
        job = self.jobs.get(name)
        if not job:
            return ("NOT_FOUND",)
        if job.state in "SF":
            return ("FINISHED", job.state)
        if job.state in "CX":
            return ("OK",)
        if self.publishing(job):
            return ("PUBLISHING",)
        job.cancel_reason = reason or job.cancel_reason
        if job.state in "LR":
            self.to(job, "C")
            job.lease, job.publish = self.now + self.grace(job) + STOP, None
        else:
            self.retire(job, "X")
        return ("OK",)

    def retry(self, said: Submission, expected: int) -> str:
        job = self.jobs.get(said.name)
        if not job:
            return "NOT_FOUND"
        if expected and job.generation == expected + 1:
            return "OK"
        if expected and job.generation != expected:
            return "GENERATION_MISMATCH"
        if job.state not in "FX":
            return "SUCCEEDED" if job.state == "S" else "NOT_FINISHED"
        if word := self._no_room([job.said]):
            return word
        job.generation, job.begin, job.counts, job.crashes = job.generation + 1, self.now, Counter(), []
        job.crashes_ever = 0
        job.expire, job.avoids, job.sequence = None, ("", 0.0), -1
        job.progress, job.failure, job.result, job.cancel_reason = b"", b"", b"", ""
        job.generation_began = 0
        self.queue(job)
        self._arm(job)
        return "OK"

    def delete(self, name: JobName) -> str:
        job = self.jobs.get(name)
        if not job:
            return "OK" if self._spent(name) else "NOT_FOUND"
        if job.state not in "SFX":
            return "NOT_FINISHED"
        del self.jobs[name]
        self.taken[name] = self.now + TOMBSTONE
        return "OK"

    def names(self, tenant: str, states: Collection[str], labels: Collection[tuple[str, str]]) -> list[JobName]:
        """All that a list gives, newest first."""
        found = [
            (job.create, name)
            for name, job in self.jobs.items()
            if name.tenant == tenant and (not states or job.public in states) and set(labels) <= job.said.labels.items()
        ]
        return [name for _, name in sorted(found, reverse=True)]

    def _spent(self, name: JobName) -> str:
        return "SPENT" if self.taken.get(name, 0) > self.now else ""

    def _no_room(self, new: Sequence[Submission]) -> str:
        """Which limit has no room for these."""
        limits, jobs = self._admission, self.jobs.values()
        queued = [*(job.said for job in jobs if job.state in "WQL"), *new]
        tenants = Counter(said.name.tenant for said in queued)
        if new and (len(queued) > limits.max_queued or tenants[new[0].name.tenant] > limits.max_queued_per_tenant):
            return "FULL"
        used = {job.said.job_class for job in jobs if job.state not in "SFX"}
        more = {said.job_class for said in new} - used
        return "CLASS_LIMIT" if more and len(used | more) > limits.max_classes else ""

    def _admit(self, said: Submission) -> None:
        job = self.jobs[said.name] = ModelJob(said=said, begin=self.now)
        if said.not_before / 1e6 > self.now:
            self.wait(job, "NOT_BEFORE", said.not_before / 1e6 - self.now, said.not_before / 1e6 - self.now)
        else:
            self.queue(job)
        self._arm(job)

    def _arm(self, job: ModelJob) -> None:
        """The limits of a generation that begins."""
        queue, total = job.said.limits.queue, job.total_end()
        ends = [("TOTAL_TIMEOUT", total)] if total else []
        if queue:
            ends.append(("QUEUE_TIMEOUT", job.begin + queue.total_seconds()))
        job.limit = min(ends, key=lambda end: end[1], default=None)
