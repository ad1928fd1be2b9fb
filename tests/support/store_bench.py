"""A store under test, and what tests do with it again and again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

import redis

from telecine_scheduler.domain.admission import Admission
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
        return await self.store.dispatch(stream, free=free, classes=classes)

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


NO_LEASE = Lease(name=JobName(tenant="default", job_id="job"), token=1)


async def _waiting(bench: Bench) -> Lease:
    lease = await bench.start()
    await bench.fail(lease, FailureKind.RETRYABLE)
    # Whatever its token was good for, it is not any more.
    return NO_LEASE


async def _queued(bench: Bench) -> Lease:
    await bench.submit()
    return NO_LEASE


async def _leased(bench: Bench) -> Lease:
    await bench.submit()
    return await bench.lease()


async def _publishing(bench: Bench) -> Lease:
    lease = await bench.start()
    await bench.store.publish(lease)
    return lease


async def _cancelling(bench: Bench) -> Lease:
    lease = await bench.start()
    await bench.store.cancel(lease.name, reason="")
    return lease


async def _succeeded(bench: Bench) -> Lease:
    lease = await bench.start()
    await bench.succeed(lease)
    return lease


async def _failed(bench: Bench) -> Lease:
    lease = await bench.start()
    await bench.fail(lease, FailureKind.PERMANENT)
    return lease


async def _cancelled(bench: Bench) -> Lease:
    await bench.submit()
    await bench.store.cancel(NO_LEASE.name, reason="")
    return NO_LEASE


# A job in each state, and the lease its worker has or had. P: running and publishing.
STATES: dict[str, Callable[[Bench], Awaitable[Lease]]] = {
    "W": _waiting,
    "Q": _queued,
    "L": _leased,
    "R": Bench.start,
    "P": _publishing,
    "C": _cancelling,
    "S": _succeeded,
    "F": _failed,
    "X": _cancelled,
}


async def _expire(bench: Bench, _: Lease) -> object:
    bench.advance(timedelta(minutes=11))
    return await bench.store.sweep()


async def _pass_by(bench: Bench, by: timedelta) -> object:
    """Time goes by."""
    bench.advance(by)
    return await bench.store.sweep()


async def _renew_late(bench: Bench, lease: Lease) -> object:
    bench.advance(timedelta(seconds=27))
    return await bench.store.renew(lease, sequence=1, progress=b"")


async def _stale(bench: Bench, lease: Lease) -> object:
    """Everything a worker may say, with a token that is not the lease's."""
    wrong = replace(lease, token=lease.token + 1)
    answers = [
        await bench.store.accept(wrong), await bench.store.accept(wrong, refusal="NO_SLOT"),
        await bench.store.renew(wrong, sequence=99, progress=b"wrong"), await bench.store.publish(wrong),
        await bench.succeed(wrong), await bench.fail(wrong, FailureKind.CRASH), await bench.give_back(wrong),
    ]  # fmt: skip
    assert {"STALE"} == {getattr(answer, "verdict", getattr(answer, "ack", None)) for answer in answers}
    return answers


ACTIONS: dict[str, Callable[[Bench, Lease], Awaitable[object]]] = {
    "accept": lambda bench, lease: bench.store.accept(lease),
    "refuse": lambda bench, lease: bench.store.accept(lease, refusal="NO_SLOT"),
    "renew": lambda bench, lease: bench.store.renew(lease, sequence=1, progress=b"progress"),
    "publish": lambda bench, lease: bench.store.publish(lease),
    "succeed": lambda bench, lease: bench.succeed(lease),
    "permanent": lambda bench, lease: bench.fail(lease, FailureKind.PERMANENT),
    "retryable": lambda bench, lease: bench.fail(lease, FailureKind.RETRYABLE),
    "crash": lambda bench, lease: bench.fail(lease, FailureKind.CRASH),
    "give_back": lambda bench, lease: bench.give_back(lease),
    "cancel": lambda bench, lease: bench.store.cancel(lease.name, reason="no more"),
    "retry": lambda bench, _: bench.retry(expected=1),
    "delete": lambda bench, _: bench.delete(),
    "expire": _expire,
    "queue_over": lambda bench, _: _pass_by(bench, timedelta(seconds=4, milliseconds=100)),
    "total_over": lambda bench, _: _pass_by(bench, timedelta(seconds=4, milliseconds=100)),
    "total_overrun": lambda bench, _: _pass_by(bench, timedelta(seconds=29, milliseconds=500)),
    "run_overrun": _renew_late,
    "reclaim": lambda bench, _: bench.store.reclaim(WORKER, []),
    "stale": _stale,
}

# The limits that jobs have for these actions. All are over before a lease (30 s) runs out, with the grace (10 s) and what is
# left for a worker's answer (15 s).
LIMITS = {
    "queue_over": Limits(queue=timedelta(seconds=4)),
    "total_over": Limits(total=timedelta(seconds=4)),
    "total_overrun": Limits(total=timedelta(seconds=4)),
    "run_overrun": Limits(hard_run=timedelta(seconds=1)),
}
