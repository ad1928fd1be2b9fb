"""A store under test, and what tests do with it again and again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta

import redis

from telecine_scheduler.domain.admission import Admission
from telecine_scheduler.domain.figures import Repair
from telecine_scheduler.domain.job import AttemptOutcome, FailureKind, Job, JobName, JobState
from telecine_scheduler.domain.lease import Acknowledgement, Grant, Lease, Report, StreamId, Times
from telecine_scheduler.domain.reply import DeleteReply, RegisterReply, RetryReply
from telecine_scheduler.domain.submission import JobClass, Limits, Submission
from telecine_scheduler.domain.worker import WorkerOffer, WorkerReport
from telecine_scheduler.store.classes import ClassTable
from telecine_scheduler.store.job_store import JobStore
from telecine_scheduler.store.keys import prefix

WORKER = StreamId(worker_id="w1", session_id="s1", epoch=1)
# What a worker has after a limit before the store ends the attempt: the grace, and time for its answer.
SLACK = timedelta(seconds=10 + 15)
DEFAULT_CLASS = JobClass(queue="default", units=1, requirements=frozenset())
OFFER = WorkerOffer(queues=frozenset({"default"}), capabilities=frozenset(), slots=1, version="1")


def a_job(job_id: str = "job", *, tenant: str = "default", priority: int = 50, **changes: object) -> Submission:
    job = Submission(
        name=JobName(tenant=tenant, job_id=job_id),
        job_class=DEFAULT_CLASS,
        priority=priority,
        spec=b"spec",
        digest=b"d" * 16,
    )
    return replace(job, **changes)  # type: ignore[arg-type]


@dataclass(kw_only=True)
class Bench:
    """A store and what tests do with it again and again."""

    store: JobStore
    client: redis.Redis
    classes: ClassTable
    times: Times
    # Of jobs that say none.
    limits: Limits = field(default_factory=Limits)

    async def submit(self, job_id: str = "job", **changes: object) -> Job:
        asked = {"limits": self.limits} | changes
        job, _ = await self.store.submit(a_job(job_id, **asked), dispatches=False)  # type: ignore[arg-type]
        return job

    def admit(self, **admission: int) -> None:
        """Admit by other limits from here on; none where none are said."""
        self.store._admission = Admission(**admission)  # type: ignore[arg-type]

    async def connect(self, worker_id: str, session_id: str = "") -> StreamId:
        """Another worker's stream, of a process of its own."""
        stream = StreamId(worker_id=worker_id, session_id=session_id or f"{worker_id}-s1", epoch=1)
        assert RegisterReply.OK is await self.store.register(stream)
        return stream

    async def connected(self, worker_id: str, offer: WorkerOffer = OFFER, *, draining: bool = False) -> StreamId:
        """Another worker's stream, whose scheduler has reported what it offers."""
        stream = await self.connect(worker_id)
        await self.store.report_workers([WorkerReport(stream=stream, offer=offer, draining=draining)])
        return stream

    async def dispatch(self, stream: StreamId = WORKER, free: int = 1) -> list[Grant]:
        await self.classes.refresh()
        slots = 64
        classes = self.classes.served_by(
            queues=frozenset({"default", "other"}), capabilities=frozenset({"gpu"}), slots=slots
        )
        return [*(await self.store.dispatch(stream, free=free, classes=classes)).grants]

    async def lease(self, job_id: str = "job") -> Lease:
        [grant] = await self.dispatch()
        assert job_id == grant.lease.name.job_id
        return grant.lease

    async def start(self, job_id: str = "job", **changes: object) -> Lease:
        """A running job."""
        await self.submit(job_id, **changes)
        lease = await self.lease(job_id)
        await self.store.accept(lease)
        return lease

    async def succeed(self, lease: Lease) -> Acknowledgement:
        return await self.store.finish(Report(lease=lease, outcome=AttemptOutcome.SUCCEEDED, value=b"result"))

    async def fail(self, lease: Lease, kind: FailureKind) -> Acknowledgement:
        return await self.store.finish(
            Report(lease=lease, outcome=AttemptOutcome.FAILED, kind=kind, value=b"failure", short=b"short")
        )

    async def give_back(self, lease: Lease) -> Acknowledgement:
        return await self.store.finish(Report(lease=lease, outcome=AttemptOutcome.RETURNED, value=b"returned"))

    async def refuse(self, stream: StreamId = WORKER, reason: str = "UNSUPPORTED", free: int = 1) -> list[str]:
        """Refuse what is granted; the ids."""
        grants = await self.dispatch(stream, free)
        for grant in grants:
            await self.store.accept(grant.lease, refusal=reason)
        return [grant.lease.name.job_id for grant in grants]

    async def retry(self, job_id: str = "job", expected: int = 0) -> tuple[RetryReply, Job | None]:
        return await self.store.retry(a_job(job_id), expected_generation=expected)

    async def delete(self, job_id: str = "job") -> DeleteReply:
        return await self.store.delete(a_job(job_id).name)

    async def find(self, job_id: str = "job", tenant: str = "default") -> Job | None:
        return await self.store.get(JobName(tenant=tenant, job_id=job_id), full=True)

    async def job(self, job_id: str = "job", tenant: str = "default") -> Job:
        job = await self.find(job_id, tenant)
        assert job is not None
        return job

    async def state(self, job_id: str = "job") -> JobState:
        return (await self.job(job_id)).state

    def lose(self, job_id: str = "job", *, after: int | None = None) -> Lease:
        """A lease that Redis lost when the server changed: given after *after*, a number of the clock; by default just now."""
        meta = f"{prefix()}meta"
        start = int(self.client.hget(meta, "clock") or 0) if after is None else after
        self.client.hset(meta, mapping={"lost_from": start, "lost_to": start + 1000})
        return Lease(name=JobName(tenant="default", job_id=job_id), token=start + 1)

    async def audit(self) -> dict[Repair, int]:
        """A whole pass of the auditor, whenever the last one was; what it mended."""
        self.client.hdel(f"{prefix()}meta", "audited")
        repairs: Counter[Repair] = Counter()
        position, over = None, False
        while not over:
            audited = await self.store.audit(position)
            assert audited is not None
            assert (0, "") == (audited.broken, audited.wrong)
            repairs.update(audited.repairs)
            position, over = audited.position, audited.position is None
        return dict(repairs)

    async def keep(self, lease: Lease, by: timedelta) -> None:
        """Let time go by while the lease's worker renews it and schedulers sweep."""
        sequence = 0
        while by > timedelta():
            step = min(by, timedelta(seconds=20))
            self.advance(step)
            sequence += 1
            await self.store.renew(lease, sequence=sequence, progress=b"")
            await self.store.sweep()
            by -= step

    def advance(self, by: timedelta) -> None:
        """Move the store's clock, as though schedulers had swept all the while."""
        self.client.hincrby(f"{prefix()}meta", "test_shift_us", round(by / timedelta(microseconds=1)))
        if self.client.hexists(f"{prefix()}meta", "beat"):
            self.client.hincrby(f"{prefix()}meta", "beat", round(by / timedelta(microseconds=1)))
