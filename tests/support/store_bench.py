"""A store under test, and what tests do with it again and again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

import redis

from telecine_scheduler.domain.job import AttemptOutcome, FailureKind, Job, JobName, JobState
from telecine_scheduler.domain.lease import Acknowledgement, Grant, Lease, Report, StreamId, Times
from telecine_scheduler.domain.submission import JobClass, Submission
from telecine_scheduler.store.classes import ClassTable
from telecine_scheduler.store.job_store import JobStore
from telecine_scheduler.store.keys import prefix

WORKER = StreamId(worker_id="w1", session_id="s1", epoch=1)
DEFAULT_CLASS = JobClass(queue="default", units=1, requirements=frozenset())


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

    async def submit(self, job_id: str = "job", **changes: object) -> Job:
        job, _ = await self.store.submit(a_job(job_id, **changes), dispatches=False)  # type: ignore[arg-type]
        return job

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

    async def job(self, job_id: str = "job", tenant: str = "default") -> Job:
        job = await self.store.get(JobName(tenant=tenant, job_id=job_id), full=True)
        assert job is not None
        return job

    async def state(self, job_id: str = "job") -> JobState:
        return (await self.job(job_id)).state

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
    "expire": _expire,
    "reclaim": lambda bench, _: bench.store.reclaim(WORKER, []),
    "stale": _stale,
}
