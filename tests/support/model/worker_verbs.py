"""What the store should answer to workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from support.model.job import ModelJob, ModelWorker
from support.model.transitions import (
    AVOIDED,
    MAX_REFUSALS,
    MAX_RETURNS,
    MOST_REFUSED,
    REFUSED,
    STALE,
    Answer,
    Transitions,
)
from telecine_scheduler.domain.job import AttemptOutcome, FailureKind, JobName
from telecine_scheduler.domain.lease import Grant, Lease, Report, StreamId, Times
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.domain.worker import WorkerOffer

MAX_REFUSED = 8


class WorkerVerbs(Transitions):
    """Be registered, take jobs, keep them, and say how they ended."""

    def __init__(self, times: Times) -> None:
        super().__init__(times)
        # Every token that was given out, and how often a process refused jobs of a place.
        self.tokens: dict[JobName, list[int]] = {}
        self._refused: Counter[tuple[str, object]] = Counter()
        self._accept_window, self._reconnect_grace, self._window = (
            each.total_seconds() for each in (times.accept_window, times.reconnect_grace, times.publish_window)
        )

    def register(self, stream: StreamId) -> str:
        known = self.workers.get(stream.worker_id)
        if known and known.session == stream.session_id:
            if stream.epoch <= known.epoch:
                return "FENCED"
            known.epoch, known.up = stream.epoch, True
        elif known and known.up:
            return "ALREADY_CONNECTED"
        else:
            self.workers[stream.worker_id] = ModelWorker(session=stream.session_id, epoch=stream.epoch)
        return "OK"

    def owner(self, stream: StreamId) -> ModelWorker | None:
        """The worker whose newest stream this is."""
        known = self.workers.get(stream.worker_id)
        return known if known and (known.session, known.epoch) == (stream.session_id, stream.epoch) else None

    def report_worker(self, stream: StreamId, offer: WorkerOffer, *, draining: bool) -> bool:
        """Whether the stream is its worker's."""
        worker = self.owner(stream)
        if not worker or not worker.up:
            return False
        worker.offer, worker.draining = offer, draining
        return True

    def disconnect(self, stream: StreamId, *, shorten: bool) -> None:
        worker = self.owner(stream)
        if not worker:
            return
        worker.up, worker.offer = False, None
        for job in self.held_by(stream) if shorten else ():
            if job.lease and not self.publishing(job):
                job.lease = min(job.lease, self.now + self._reconnect_grace)

    def reclaim(self, stream: StreamId, held: Collection[Lease]) -> list[str] | None:
        """None: fenced."""
        if not self.owner(stream):
            return None
        tokens = {lease.name: lease.token for lease in held}
        return sorted(self.lost(job) for job in self.held_by(stream) if tokens.get(job.said.name) != job.token)

    def offered(self, process: str, classes: Collection[JobClass]) -> list[ModelJob]:
        """What may be granted to a process."""
        queued = [job for job in self.jobs.values() if job.state == "Q" and job.said.job_class in classes]
        return [job for job in queued if job.avoids[0] != process or self.now >= job.avoids[1]]

    def dispatch(
        self, stream: StreamId, free: int, classes: Collection[JobClass], grants: Sequence[Grant]
    ) -> str | None:
        """What is wrong with these grants, which are taken over."""
        process = f"{stream.worker_id} {stream.session_id}"
        for grant in grants:
            offered, job = self.offered(process, classes), self.jobs.get(grant.lease.name)
            if not job or job not in offered or job.said.job_class.units > free:
                return f"{grant.lease.name} was granted"
            first = min((each for each in offered if each.place == job.place), key=lambda each: each.score)
            expected = (
                job.attempts + 1,
                job.generation,
                job.said.job_class.units,
                job.said.spec,
                job.said.limits.cancel_grace,
            )
            if first is not job or expected != (
                grant.attempt,
                grant.generation,
                grant.units,
                grant.spec,
                grant.cancel_grace,
            ):
                return f"{grant} is not of {first}"
            if grant.lease.token <= max((token for given in self.tokens.values() for token in given), default=0):
                return f"{grant.lease} is not above all before"
            self.tokens.setdefault(job.said.name, []).append(grant.lease.token)
            self.to(job, "L", visible=False)
            job.token = job.stored_token = grant.lease.token
            job.worker, job.process = stream.worker_id, process
            job.lease, free = self.now + self._accept_window, free - grant.units
        # A place that a process refuses again and again is shut to it for a while.
        open_to = [job for job in self.offered(process, classes) if self._refused[process, job.place] < MAX_REFUSED]
        units = [job.said.job_class.units for job in open_to]
        # A job that needs more than is free is waited for, whoever is behind it.
        return "more could be granted" if units and max(units) <= free else None

    def accept(self, lease: Lease, refusal: str) -> Answer:
        job, answer = self.hold(lease)
        if not job:
            return STALE if refusal else answer
        if job.state != "L" or not refusal:
            return ("KEEP", self.begin(job), None)
        job.counts["refusals"] += 1
        if refusal in ("UNSUPPORTED", "UNHEALTHY"):
            job.avoids = (job.process, self.now + AVOIDED)
            self._refused[job.process, job.place] += 1
        self.ungrant(job)
        if (again := job.counts["refusals"] - MAX_REFUSALS) >= 0:
            longest = min(REFUSED * 2**again, MOST_REFUSED)
            self.wait(job, "REFUSED", longest / 3, longest)
        return STALE

    def renew(self, lease: Lease, sequence: int, progress: bytes) -> Answer:
        job, answer = self.hold(lease, limited=True)
        if not job:
            return answer
        waited = self.begin(job)
        job.lease = max(job.lease or 0, self.now + self.ttl)
        if progress and sequence > job.sequence:
            job.sequence, job.progress, job.revised = sequence, progress, True
        return ("KEEP", waited, None)

    def publish(self, lease: Lease) -> Answer:
        job, answer = self.hold(lease, limited=True)
        if not job:
            return answer
        waited = self.begin(job)
        job.publish = max(job.publish or 0, self.now + self._window)
        job.lease = max(job.lease or 0, job.publish)
        return ("ALLOWED", waited, None)

    def adopt(self, lease: Lease, stream: StreamId) -> bool:
        job = self.jobs.get(lease.name)
        if not job or job.token == lease.token or not self.adoptable(job, lease.token):
            return bool(job and job.token == lease.token and job.state == "R")
        job.token = job.stored_token = lease.token
        job.worker, job.process = stream.worker_id, f"{stream.worker_id} {stream.session_id}"
        job.due = job.wait_reason = None
        job.state = "L"
        self.begin(job)
        return True

    def failed_over(self, clock: int, now: int) -> None:
        """This is another server, on which the clock was *clock* at *now*, both in the store's numbers."""
        lost_from, lost_to = self.lost_range
        again = self.now - lost_to / 1e6 < self.ttl
        self.lost_range = (min(clock, lost_from) if again else clock, now)
        if any(job.lease for job in self.jobs.values()):
            self.frozen_until = max(self.now + self.ttl, self.frozen_until)

    def finish(self, report: Report) -> Answer:
        job, token = self.jobs.get(report.lease.name), report.lease.token
        if not job:
            return STALE
        if job.token != token:
            crashed = report.kind is FailureKind.CRASH and not self.adoptable(job, token)
            return STALE if crashed else self.superseded(job, token)
        if job.state not in "LRC":
            return ("ALREADY",)
        self.begin(job)
        if job.state == "C":
            self.retire(job, "X")
            return ("CANCELLED", "CANCELLED")
        if report.outcome is AttemptOutcome.SUCCEEDED:
            job.result, job.failure = report.value, b""
            self.retire(job, "S")
            return ("COMMITTED", "SUCCEEDED")
        if report.outcome is AttemptOutcome.FAILED:
            to = self.fail(job, report.kind or "", report.value)
            return ("COMMITTED" if to == "F" else "RETRYING", "FAILED")
        job.counts["returns"] += 1
        if job.counts["returns"] > MAX_RETURNS:
            self.fail(job, "RETRYABLE", report.value)
        else:
            self.release(job)
            self.queue(job, new_place=False)
        return ("RETRYING", "RETURNED")
