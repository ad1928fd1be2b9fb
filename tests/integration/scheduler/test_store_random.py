"""Anything in any order on a real server: the invariants hold after every step, whatever was called, repeated or late."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from support.invariants import Keyspace
from support.store_bench import DEFAULT_CLASS, WORKER, Bench, a_job
from telecine_scheduler.domain.admission import BatchRefused
from telecine_scheduler.domain.errors import JobIdSpent, QueueFull, StreamFenced, TooManyClasses
from telecine_scheduler.domain.job import FailureKind, JobName
from telecine_scheduler.domain.lease import Lease, StreamId
from telecine_scheduler.domain.submission import JobClass, Limits, RetryPolicy, Submission
from telecine_scheduler.domain.worker import WorkerOffer, WorkerReport
from telecine_scheduler.store import job_store
from telecine_scheduler.store.keys import prefix

STEPS = 300
# What calls may be answered with; anything else is a defect.
REFUSALS = (BatchRefused, JobIdSpent, QueueFull, StreamFenced, TooManyClasses)
CLASSES = (DEFAULT_CLASS, JobClass(queue="other", units=2, requirements=frozenset({"gpu"})))
OFFER = WorkerOffer(queues=frozenset({"default"}), capabilities=frozenset(), slots=4, version="1")


class Chaos:
    """Callers, workers and schedulers that do as they please."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self._bench = bench
        self._store = bench.store
        self._random = random.Random(seed)
        self._leases: list[Lease] = []
        self._streams = [WORKER]
        self._epoch = 1
        self._position: tuple[bytes, ...] | None = None
        # Seconds that TIME was set back by.
        self._back = 0

    async def step(self) -> str:
        """Do something; what it was."""
        acts: list[Callable[[], Awaitable[object]]] = [
            self.submit, self.submit, self.submit_all, self.dispatch, self.dispatch, self.answer, self.answer, self.answer,
            self.report, self.report, self.cancel, self.retry, self.delete, self.wait, self.wait, self.wait_long, self.connect,
            self.reclaim, self.forget, self.read, self.adopt, self.audit, self.set_clock,
        ]  # fmt: skip
        act = self._random.choice(acts)
        try:
            await act()
        except REFUSALS:
            return f"{act.__name__} refused"
        return act.__name__

    def job(self) -> Submission:
        pick = self._random.choice
        seconds = [None, None, None, timedelta(seconds=pick([2, 20, 100]))]
        return a_job(
            f"job{self._random.randrange(8)}", tenant=pick(["a", "b"]), job_class=pick(CLASSES), priority=pick([0, 50, 100]),
            limits=Limits(queue=pick(seconds), total=pick(seconds), hard_run=timedelta(seconds=pick([5, 86400, 86400]))),
            labels=pick([{}, {"a": "1"}, {"a": "1", "b": "2"}]), not_before=pick([0, 0, 0, 0, 2**52]),
            retry=RetryPolicy(max_attempts=pick([1, 3]), initial_backoff=timedelta(seconds=pick([0, 5]))),
        )  # fmt: skip

    def stream(self) -> StreamId:
        return self._random.choice(self._streams)

    def lease(self) -> Lease:
        lease = self._random.choice(self._leases or [Lease(name=self.job().name, token=1)])
        return replace(lease, token=lease.token + self._random.choice([0, 0, 0, 0, 1]))

    async def submit(self) -> None:
        await self._store.submit(self.job(), dispatches=False)

    async def submit_all(self) -> None:
        jobs = {
            job.name: replace(job, name=JobName(tenant="a", job_id=job.name.job_id)) for job in (self.job(), self.job())
        }
        await self._store.submit_all(list({job.name: job for job in jobs.values()}.values()))

    async def dispatch(self) -> None:
        grants = await self._bench.dispatch(self.stream(), self._random.choice([1, 2, 5]))
        self._leases = [*self._leases, *(grant.lease for grant in grants)][-6:]

    async def answer(self) -> None:
        refusal = self._random.choice(["", "", "", "NO_SLOT", "UNSUPPORTED", "UNHEALTHY"])
        await self._store.accept(self.lease(), refusal=refusal)
        if self._random.random() < 0.5:
            await self._store.renew(self.lease(), sequence=self._random.randrange(9), progress=b"p")
        if self._random.random() < 0.2:
            await self._store.publish(self.lease())

    async def report(self) -> None:
        how = self._random.choice(["succeed", "return", *FailureKind])
        if isinstance(how, FailureKind):
            await self._bench.fail(self.lease(), how)
        elif how == "succeed":
            await self._bench.succeed(self.lease())
        else:
            await self._bench.give_back(self.lease())

    async def cancel(self) -> None:
        await self._store.cancel(self.job().name, reason=self._random.choice(["", "why"]))

    async def retry(self) -> None:
        await self._store.retry(self.job(), expected_generation=self._random.choice([0, 1, 2]))

    async def delete(self) -> None:
        await self._store.delete(self.job().name)

    async def wait(self) -> None:
        self._bench.advance(timedelta(seconds=self._random.choice([0, 0, 1, 1, 2, 2, 5, 5, 15, 31, 120])))
        swept = await self._store.sweep()
        assert (0, 0, "") == (swept.repaired, swept.broken, swept.wrong)

    async def wait_long(self) -> None:
        if self._random.random() < 0.2:
            self._bench.advance(timedelta(hours=25))

    async def set_clock(self) -> None:
        """Redis' TIME is set back, or right again, and nobody is told; or it leaps, which is an outage: a sweep is next."""
        meta, by = f"{prefix()}meta", self._back or self._random.choice([-3600, -20, -2, 20])
        leaps, self._back = by > self._back, max(0, -by)
        self._bench.client.hincrby(meta, "test_shift_us", by * 1_000_000)
        if leaps:
            await self._store.sweep()

    async def connect(self) -> None:
        self._epoch += 1
        stream = StreamId(worker_id=f"w{self._random.randrange(3)}", session_id="s", epoch=self._epoch)
        await self._store.register(stream)
        self._streams = [*self._streams, stream, stream, stream][-6:]
        await self._store.report_workers([WorkerReport(stream=self.stream(), offer=OFFER)])
        if self._random.random() < 0.2:
            await self._store.disconnect(self.stream(), shorten=self._random.random() < 0.5)

    async def reclaim(self) -> None:
        await self._store.reclaim(self.stream(), self._leases[-2:])

    async def adopt(self) -> None:
        meta = f"{prefix()}meta"
        clock = int(self._bench.client.hget(meta, "clock") or 0)
        # The last second's tokens were lost, says whoever took over.
        self._bench.client.hset(meta, mapping={"lost_from": max(0, clock - 1_000_000), "lost_to": clock + 10})
        lost = replace(self.lease(), token=clock + self._random.randrange(-5, 15))
        if await self._store.adopt(lost, self.stream()):
            self._leases = [*self._leases, lost][-6:]

    async def audit(self) -> None:
        self._bench.client.hdel(f"{prefix()}meta", "audited")
        audited = await self._store.audit(self._position)
        assert audited is not None
        assert ({}, 0) == (audited.repairs, audited.broken)
        self._position = audited.position

    async def forget(self) -> None:
        self._bench.client.script_flush()

    async def read(self) -> None:
        names, _ = await self._store.list_names("a", states=(), labels={}, before=None, limit=3)
        for name in names:
            assert await self._store.get(name, full=True)
        await self._store.queue_counts("a", "")
        await self._store.check([replace(self.job(), name=name) for name in names] or [self.job()])
        await self._store.workers("", 2)


@pytest.mark.parametrize("seed", range(4))
async def test_nothing_breaks_an_invariant(bench: Bench, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hundred calls at random, the keyspace compared after each with itself and with what it was; sweeps find nothing
    to repair."""
    bench.admit(max_queued=10, max_queued_per_tenant=6, max_classes=2)
    # A pass of the auditor takes several of its calls.
    monkeypatch.setattr(job_store, "AUDIT_LIMIT", 5)
    chaos, done, keyspace = Chaos(bench, seed), list[str](), Keyspace(bench.client)
    before = keyspace.moment()
    for _ in range(STEPS):
        done.append(await chaos.step())

        after = keyspace.moment()
        violations = [*keyspace.violations(), *before.broken_by(after)]
        assert [] == violations, f"after {done[-5:]}"
        before = after
