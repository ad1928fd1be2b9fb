"""Every series of the scheduler, with its help and labels. No label has more than a handful of values."""

from __future__ import annotations

import contextlib
import platform
from collections import Counter as Tally
from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from telecine_scheduler.domain.errors import TelecineError
from telecine_scheduler.domain.figures import Audited, Repair, Stats, Swept
from telecine_scheduler.domain.job import AttemptOutcome, JobState, Timeout
from telecine_scheduler.domain.lease import Ruling
from telecine_scheduler.domain.worker import WorkerRecord

# The calls by which jobs come in.
WAYS = ("unary", "batch", "stream")

_WAITS = (0.005, 0.02, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400, 86400)
_RUNS = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 1800, 3600, 10800, 43200, 86400)
_TRIPS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_PUBLIC = {state: state.name.lower() for state in JobState if state is not JobState.LEASED}


class SchedulerMetrics:
    """Made once, with the registry it fills."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, text: str, labels: Iterable[str] = ()) -> Gauge:
            return Gauge(f"telecine_{name}", text, list(labels), registry=registry)

        def counter(name: str, text: str, labels: Iterable[str] = ()) -> Counter:
            return Counter(f"telecine_{name}", text, list(labels), registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], labels: Iterable[str] = ()) -> Histogram:
            return Histogram(f"telecine_{name}", text, list(labels), registry=registry, buckets=buckets)

        self.jobs = gauge("jobs", "Jobs by state, over all schedulers of this store.", ["state"])
        self.queue_depth = gauge("queue_depth", "Jobs that are ready and not leased.", ["queue"])
        self.queue_oldest = gauge("queue_oldest_seconds", "Age of the oldest ready job.", ["queue"])
        self.leases = gauge("leases", "Leases held by workers, over all schedulers of this store.")
        self.watchers = gauge("watchers", "Open watches on this scheduler, by what they follow.", ["follows"])
        self.workers = gauge("workers", "Connected workers, over all schedulers of this store.", ["state"])
        self.slots = gauge("slots", "Slots of connected workers that do not drain, over all schedulers.", ["state"])
        self.blocked = gauge("jobs_blocked", "Ready jobs that no connected worker could run.")
        self.worker_streams = gauge("worker_streams", "Workers connected to this scheduler.")
        self.store_up = gauge("store_up", "1 while the Redis of a partition answers.", ["partition"])
        self.queue_wait = histogram("job_queue_wait_seconds", "From submission to the first start.", _WAITS)
        self.run = histogram("job_run_seconds", "From the start of an attempt to its end.", _RUNS)
        self.attempts = counter("attempts", "Ended attempts by outcome.", ["outcome"])
        self.swept = counter("swept", "What sweeps did.", ["action"])
        self.repairs = counter(
            "repairs", "What the auditor found impossible and mended, by kind. Always a defect.", ["kind"]
        )
        self.adopted = counter("leases_adopted", "Leases that a failover of Redis had lost and their workers kept.")
        self.forgiven = counter("crashes_forgiven", "Workers that were taken for lost with a job and came back.")
        self.submitted = counter("jobs_submitted", "Jobs accepted, by the way they came.", ["way", "result"])
        self.submissions_refused = counter("submissions_refused", "Submissions refused, by reason.", ["reason"])
        self.retried = counter("jobs_retried", "Jobs that RetryJob ran again.")
        self.deleted = counter("jobs_deleted", "Jobs whose records DeleteJob deleted.")
        self.broken_records = counter("broken_records", "Records that a call met and could not read.")
        self.timeouts = counter("job_timeouts", "Jobs that the scheduler ended at a limit of time.", ["limit"])
        self.grants_refused = counter("grants_refused", "Grants that workers refused, by reason.", ["reason"])
        self.refused = counter(
            "worker_messages_refused", "What workers said on lease streams and was not taken, by reason.", ["reason"]
        )
        self.hellos_waiting = gauge("hellos_waiting", "Workers whose Hello waits for others to be answered.")
        self.hellos_refused = counter("hellos_refused", "Hellos refused because too many workers connected at once.")
        self.redis_seconds = histogram("redis_seconds", "Round trips to Redis by lane.", _TRIPS, ["lane"])
        self.redis_errors = counter("redis_errors", "Round trips to Redis that failed, by lane.", ["lane"])
        info = gauge("build_info", "1, with what is running.", ["component", "version", "python"])
        info.labels("scheduler", version("telecine"), platform.python_version()).set(1)
        self._begin_at_zero()
        self._queues: set[str] = set()

    def _begin_at_zero(self) -> None:
        """Series whose labels are known are there before the first event, so that a rate sees it."""
        for outcome in AttemptOutcome:
            self.attempts.labels(outcome.name.lower())
        for timeout in Timeout:
            self.timeouts.labels(timeout.lower())
        for kind in Repair:
            self.repairs.labels(kind.value)
        for way in WAYS:
            for result in ("created", "duplicate"):
                self.submitted.labels(way, result)

    def observe_round_trip(self, lane: str, seconds: float, outcome: str) -> None:
        """One pipeline to Redis and back."""
        self.redis_seconds.labels(lane).observe(seconds)
        if outcome != "ok":
            self.redis_errors.labels(lane).inc()

    def count_submitted(self, way: str, *, existed: bool) -> None:
        """A job was accepted by one of WAYS, or was there before."""
        self.submitted.labels(way, "duplicate" if existed else "created").inc()

    @contextlib.contextmanager
    def refusals(self, items: int = 1) -> Iterator[None]:
        """Counts so many submissions as refused together by what is raised within."""
        try:
            yield
        except TelecineError as error:
            self.submissions_refused.labels(error.reason).inc(items)
            raise

    def count_ruling(self, ruling: Ruling) -> None:
        """What a worker's message did: begin an attempt, or meet a limit."""
        self.count_start(ruling.waited)
        self.forgiven.inc(ruling.forgiven)
        if ruling.timeout is not None:
            self.timeouts.labels(ruling.timeout.lower()).inc()
            self.count_end(AttemptOutcome.FAILED, ruling.ran)

    def count_start(self, waited: timedelta | None) -> None:
        """An attempt began; *waited* is set for a job's first."""
        if waited is not None:
            self.queue_wait.observe(waited.total_seconds())

    def count_end(self, outcome: AttemptOutcome, ran: timedelta | None) -> None:
        """An attempt ended as its worker said."""
        self.attempts.labels(outcome.name.lower()).inc()
        if ran is not None:
            self.run.observe(ran.total_seconds())

    def count_reclaimed(self, outcomes: Iterable[str]) -> None:
        """Leases ended that nobody held any more."""
        for what, count in Tally(outcomes).items():
            self.swept.labels(what.lower()).inc(count)
            if what in {"LOST", "FAILED"}:
                self.attempts.labels("lost").inc(count)

    def count_sweep(self, swept: Swept) -> None:
        """What one sweep did."""
        for action in ("promoted", "returned", "lost", "failed", "cancelled", "purged", "repaired", "broken", "braked"):
            self.swept.labels(action).inc(getattr(swept, action))
        for timeout in Timeout:
            self.timeouts.labels(timeout.lower()).inc(getattr(swept, timeout.lower()))
        self.attempts.labels("lost").inc(swept.lost + swept.failed)
        self.attempts.labels("cancelled").inc(swept.cancelled)

    def count_audit(self, audited: Audited) -> None:
        """What one step of the auditor mended."""
        for kind, number in audited.repairs.items():
            self.repairs.labels(kind.value).inc(number)
        self.broken_records.inc(audited.broken)

    def show_watchers(self, *, one: int, many: int) -> None:
        """Set how many watches of one job and of many there are."""
        self.watchers.labels("one").set(one)
        self.watchers.labels("many").set(many)

    def show_workers(self, workers: Collection[WorkerRecord], *, blocked: int) -> None:
        """Set the gauges of workers, and of ready jobs that none of them could run."""
        taking = [worker for worker in workers if not worker.draining]
        self.workers.labels("serving").set(len(taking))
        self.workers.labels("draining").set(len(workers) - len(taking))
        busy = sum(worker.busy for worker in taking)
        self.slots.labels("busy").set(busy)
        self.slots.labels("free").set(max(0, sum(worker.offer.slots for worker in taking) - busy))
        self.blocked.set(blocked)

    def show(self, stats: Stats) -> None:
        """Set the gauges of jobs, leases and queues."""
        jobs = dict(stats.jobs)
        # Granted and not accepted yet is queued to everybody outside.
        jobs[JobState.QUEUED] = jobs.get(JobState.QUEUED, 0) + jobs.get(JobState.LEASED, 0)
        for state, name in _PUBLIC.items():
            self.jobs.labels(name).set(jobs.get(state, 0))
        self.leases.set(stats.leases)
        depth: Tally[str] = Tally()
        oldest: dict[str, float] = {}
        for each in stats.classes:
            queue = each.job_class.queue
            depth[queue] += each.ready
            oldest[queue] = max(oldest.get(queue, 0.0), each.oldest.total_seconds())
        for queue in self._queues - depth.keys():
            self.queue_depth.remove(queue)
            self.queue_oldest.remove(queue)
        self._queues = set(depth)
        for queue in depth:
            self.queue_depth.labels(queue).set(depth[queue])
            self.queue_oldest.labels(queue).set(oldest[queue])
