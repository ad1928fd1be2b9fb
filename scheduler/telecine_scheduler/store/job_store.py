"""The store: one typed method per verb."""

from __future__ import annotations

import enum
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from telecine_scheduler.domain.errors import QueueFull, StreamFenced, TooManyClasses
from telecine_scheduler.domain.job import AttemptOutcome, Job, JobName, JobState
from telecine_scheduler.domain.lease import Ack, Acknowledgement, Grant, Lease, Report, Ruling, StreamId, Times, Verdict
from telecine_scheduler.domain.ranking import Ranking
from telecine_scheduler.domain.submission import JobClass, Submission
from telecine_scheduler.store.codec import decode_job, microseconds, policy
from telecine_scheduler.store.keys import pack, unpack
from telecine_scheduler.store.lane import Argument, Lane

MAX_CLASSES = 256
MAX_CLASSES_PER_TENANT = 32
MAX_GRANTS = 16
SWEEP_LIMIT = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """How much may be queued (0: no limit), and how jobs are ranked."""

    max_queued: int = 1_000_000
    max_queued_per_tenant: int = 0
    max_classes: int = MAX_CLASSES
    max_classes_per_tenant: int = MAX_CLASSES_PER_TENANT
    ranking: Ranking = field(default_factory=Ranking)


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """Encoded Failures that the store writes by itself: for a worker that was lost, whole and without a log."""

    failure: bytes
    short: bytes


class CancelReply(enum.StrEnum):
    """What became of a cancel."""

    OK = "OK"
    PUBLISHING = "PUBLISHING"
    FINISHED = "FINISHED"
    NOT_FOUND = "NOT_FOUND"


class RegisterReply(enum.StrEnum):
    """What became of a stream's registration."""

    OK = "OK"
    FENCED = "FENCED"
    ALREADY_CONNECTED = "ALREADY_CONNECTED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What one sweep did.

    *repaired* counts entries of timers that should not have been there; *broken* records that could not be handled, of which
    *wrong* says what was the matter with the last.
    """

    promoted: int
    returned: int
    lost: int
    failed: int
    cancelled: int
    purged: int
    repaired: int
    broken: int
    more: bool
    frozen: bool
    wrong: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassStats:
    """How full one class is."""

    job_class: JobClass
    ready: int
    oldest: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Figures over the partition."""

    jobs: Mapping[JobState, int]
    leases: int
    classes: Sequence[ClassStats]


class JobStore:
    """All state of the queue. Methods raise StoreUnavailable when Redis did not answer; every one may be repeated.

    Two lanes: *durable* for what a caller or worker is told is done, *fast* for the rest.
    """

    def __init__(
        self, *, durable: Lane, fast: Lane, scheduler: str, times: Times, admission: Admission, losses: Losses
    ) -> None:
        self._durable = durable
        self._fast = fast
        self._scheduler = scheduler
        self._times = times
        self._admission = admission
        self._losses = losses

    async def submit(self, job: Submission, *, dispatches: bool) -> tuple[Job, bool]:
        """Admit a job; the job as it is now and whether it was there before, whatever its spec (its bytes come with it).

        *dispatches* says that this scheduler sends a dispatch right behind, so that the store need not wake it.
        Raises QueueFull and TooManyClasses.
        """
        limits = self._admission
        header = (
            self._scheduler, int(dispatches), limits.max_queued, limits.max_queued_per_tenant,
            limits.max_classes, limits.max_classes_per_tenant,
        )  # fmt: skip
        item = (
            pack(job.name), str(job.job_class), limits.ranking.penalty(job.priority), job.job_class.units, job.digest,
            policy(job.retry, job.retention), job.not_before, job.spec,
        )  # fmt: skip
        word, *rest = await self._durable.call("submit", header, item)
        if word == b"CREATED":
            return decode_job(job.name, rest[0]), False
        if word == b"EXISTS":
            return decode_job(job.name, rest[0]), True
        limit = int(rest[0])
        if word == b"CLASS_LIMIT":
            raise TooManyClasses(
                f"there may be at most {limit} distinct sets of queue, requirements and units with unfinished jobs; "
                "use fewer, or wait until some are finished",
                retry_after=timedelta(seconds=30),
            )
        whose = f"tenant {job.name.tenant}" if word == b"TENANT_FULL" else "the queue"
        raise QueueFull(f"{whose} has {limit} queued jobs, which is the limit", retry_after=timedelta(seconds=5))

    async def get(self, name: JobName, *, full: bool) -> Job | None:
        """The job as it is now, with its spec when *full*; None where there is none."""
        dump = await self._fast.call("get", (), (pack(name), int(full)))
        return decode_job(name, dump) if dump else None

    async def dispatch(
        self, stream: StreamId, *, free: int, classes: Mapping[str, int], after_submit: bool = False
    ) -> list[Grant]:
        """Lease ready jobs of *classes* (id -> units) that fit into *free* units; fewer than fit means there are no more now.

        *after_submit* sends it right behind the submits that wait, in the same round trip. Raises StreamFenced.
        """
        times = self._times
        header = (self._scheduler, microseconds(times.accept_window), microseconds(times.live))
        flat = [value for pair in classes.items() for value in pair]
        item = (stream.worker_id, stream.session_id, stream.epoch, free, MAX_GRANTS, len(classes), *flat)
        lane = self._durable if after_submit else self._fast
        word, *grants = await lane.call("dispatch", header, item)
        if word == b"FENCED":
            raise _fenced(stream)
        return [_grant(*grant) for grant in grants]

    async def accept(self, lease: Lease, *, refusal: str = "") -> Ruling:
        """The worker's answer to a grant: yes, or why not."""
        item = (*_named(lease), refusal, random.random())  # noqa: S311 - jitter, no secret
        return _ruling(await self._fast.call("accept", (microseconds(self._times.ttl),), item))

    async def renew(self, lease: Lease, *, sequence: int, progress: bytes) -> Ruling:
        """Extend a lease by the TTL and take in its progress (empty: nothing new)."""
        item = (*_named(lease), sequence, progress)
        return _ruling(await self._fast.call("renew", (microseconds(self._times.ttl),), item))

    async def publish(self, lease: Lease) -> Ruling:
        """May the lease's holder make its files visible? ALLOWED, CANCEL or STALE."""
        header = (microseconds(self._times.publish_window), microseconds(self._times.ttl))
        return _ruling(await self._durable.call("publish", header, _named(lease)))

    async def finish(self, report: Report) -> Acknowledgement:
        """Record how an attempt ended; the first report with a valid token wins."""
        item = (
            *_named(report.lease), report.outcome.value, report.kind or "", report.value, report.short,
            microseconds(report.cpu), report.peak_memory_bytes, random.random(),  # noqa: S311 - jitter, no secret
        )  # fmt: skip
        ack, outcome, ran = await self._durable.call("finish", (microseconds(self._times.ttl),), item)
        return Acknowledgement(
            ack=Ack(ack.decode()),
            outcome=AttemptOutcome(outcome.decode()) if outcome else None,
            ran=timedelta(microseconds=int(ran)) if ran else None,
        )

    async def cancel(self, name: JobName, *, reason: str) -> tuple[CancelReply, Job | JobState | None]:
        """Ask for a job's end. With OK comes the job, with FINISHED its state."""
        header = (microseconds(self._times.cancel_grace),)
        word, *rest = await self._durable.call("cancel", header, (pack(name), reason))
        reply = CancelReply(word.decode())
        if reply is CancelReply.OK:
            return reply, decode_job(name, rest[0])
        return reply, JobState(rest[0].decode()) if rest else None

    async def register(self, stream: StreamId) -> RegisterReply:
        """Make *stream* the one through which its worker is granted leases."""
        item = (stream.worker_id, stream.session_id, stream.epoch, self._scheduler)
        return RegisterReply((await self._fast.call("register", (), item)).decode())

    async def reclaim(self, stream: StreamId, held: Collection[Lease]) -> list[str]:
        """End what the worker's record holds and it does not; what each lease became. Raises StreamFenced."""
        header = (self._losses.failure, self._losses.short)
        flat = [value for lease in held for value in _named(lease)]
        jitter = random.random()  # noqa: S311 - no secret
        item: list[Argument] = [stream.worker_id, stream.session_id, stream.epoch, jitter, len(held), *flat]
        word, *outcomes = await self._durable.call("reclaim", header, item)
        if word == b"FENCED":
            raise _fenced(stream)
        return [outcome.decode() for outcome in outcomes]

    async def disconnect(self, stream: StreamId, *, shorten: bool) -> None:
        """A stream ended; *shorten* its worker's leases to the reconnect grace."""
        header = (microseconds(self._times.reconnect_grace),)
        await self._fast.call("disconnect", header, (stream.worker_id, stream.session_id, stream.epoch, int(shorten)))

    async def sweep(self) -> Swept:
        """Let time do its work on at most 50 jobs of each sort, and say that this scheduler lives."""
        times = self._times
        header = (
            self._scheduler, microseconds(times.live), microseconds(times.gap), microseconds(times.ttl),
            self._losses.failure, self._losses.short,
        )  # fmt: skip
        jitter = [random.random() for _ in range(SWEEP_LIMIT)]  # noqa: S311 - no secret
        *counts, more, frozen, wrong = await self._durable.call("sweep", header, (SWEEP_LIMIT, *jitter))
        names = ("promoted", "returned", "lost", "failed", "cancelled", "purged", "repaired", "broken")
        done = dict(zip(names, map(int, counts), strict=True))
        return Swept(**done, more=more == b"1", frozen=frozen == b"1", wrong=wrong.decode(errors="replace"))

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


def _named(lease: Lease) -> tuple[bytes, int]:
    return pack(lease.name), lease.token


def _grant(name: bytes, token: bytes, attempt: bytes, generation: bytes, units: bytes, spec: bytes) -> Grant:
    lease = Lease(name=unpack(name), token=int(token))
    return Grant(lease=lease, attempt=int(attempt), generation=int(generation), units=int(units), spec=spec)


def _ruling(reply: Sequence[Any]) -> Ruling:
    word, *rest = reply
    waited = timedelta(microseconds=int(rest[0])) if rest and rest[0] else None
    return Ruling(verdict=Verdict(word.decode()), waited=waited)


def _fenced(stream: StreamId) -> StreamFenced:
    return StreamFenced(f"worker {stream.worker_id} has a later stream than epoch {stream.epoch}; this one ends")
