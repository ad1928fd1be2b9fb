"""A store and the model of it, side by side: what every rule stands on."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import redis
from hypothesis.stateful import RuleBasedStateMachine

from support.invariants import Keyspace
from support.machine.choices import ADMISSION, NAMES, NOBODYS, WORKERS
from support.model.job import SLOP
from support.model.store_model import StoreModel
from support.redis_server import RedisServer
from support.store_bench import Bench
from telecine_scheduler.domain.job import EPOCH, JobName
from telecine_scheduler.domain.lease import Endings, Lease, StreamId, Times
from telecine_scheduler.domain.submission import Submission
from telecine_scheduler.store.classes import ClassTable
from telecine_scheduler.store.job_store import JobStore
from telecine_scheduler.store.keys import pack, prefix
from telecine_scheduler.store.lane import Lane
from telecine_scheduler.store.link import close, connect


async def open_bench(server: RedisServer, client: redis.Redis, stack: AsyncExitStack) -> Bench:
    """A store until *stack* is closed."""
    times, clients = Times(), [connect(server.url) for _ in range(2)]
    durable, fast = (
        Lane(name, each, prefix(), lambda *_: None) for name, each in zip(("durable", "fast"), clients, strict=True)
    )
    for each in clients:
        stack.push_async_callback(close, each)
    for lane in (durable, fast):
        stack.push_async_callback(_ended, asyncio.create_task(lane.run()))
    store = JobStore(
        durable=durable, fast=fast, scheduler="a", times=times, admission=ADMISSION,
        endings=Endings(
            worker_lost=b"lost", queue_timeout=b"queue", total_timeout=b"total", run_timeout=b"run", poison=b"poison"
        ),
    )  # fmt: skip
    return Bench(store=store, client=client, classes=ClassTable(fast), times=times)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


class Driver(RuleBasedStateMachine):
    """Makes every call on both, and compares them after it."""

    def __init__(self, server: RedisServer, client: redis.Redis) -> None:
        super().__init__()
        client.flushall()
        client.script_flush()
        self._client = client
        self._keyspace = Keyspace(client)
        self._runner = asyncio.Runner()
        self._open = AsyncExitStack()
        self._bench = self._runner.run(open_bench(server, client, self._open))
        self._store = self._bench.store
        self._model = StoreModel(self._bench.times, ADMISSION)
        self._model.now = self._server_time()
        self._history: list[tuple[str, tuple[object, ...]]] = []
        self._outage = False
        # Of jobs that were submitted to begin later, whatever became of them.
        self._starts: list[float] = []
        self._set_clock()
        self._runner.run(self._store.sweep())
        for worker_id in WORKERS:
            self.call("register", stream := StreamId(worker_id=worker_id, session_id="s1", epoch=1))
            self.call("report_worker", stream, False)
        self._before = self._keyspace.moment()

    def teardown(self) -> None:
        self._runner.run(self._open.aclose())
        self._runner.close()

    def _server_time(self) -> float:
        seconds, microseconds = self._client.time()
        return seconds + microseconds / 1e6 - EPOCH.timestamp()

    def _set_clock(self) -> None:
        """The store's clock as the model has it, far enough from whatever is about to happen, and a scheduler that lives."""
        while any(abs(moment - self._model.now) < SLOP for moment in (*self._model.moments(), *self._starts)):
            self._model.now += 2 * SLOP
        now, meta = round(self._model.now * 1e6), f"{prefix()}meta"
        self._client.hset(meta, "test_shift_us", now - round(self._server_time() * 1e6))
        self._client.zadd(f"{prefix()}schedulers", {"a": now + 5_000_000})
        if not self._outage:
            self._client.hset(meta, "beat", now)

    def call(self, verb: str, *arguments: object) -> None:
        """Every call goes through here, so that it can be sent again."""
        self._set_clock()
        self._runner.run(getattr(self, f"_{verb}")(*arguments))
        self._history.append((verb, arguments))
        self._compare()

    @staticmethod
    def agree(expected: object, actual: object) -> None:
        """The model and the store say the same."""
        assert expected == actual, f"the model says {expected!r}, the store {actual!r}"

    def job(self, pick: int, states: str) -> JobName:
        """A job, mostly in one of these states where there is any."""
        fit = [name for name, job in self._model.jobs.items() if job.state in states]
        among = fit if fit and pick % 4 else sorted(self._model.jobs) or NAMES
        return among[pick // 4 % len(among)]

    def lease(self, pick: int, back: int, states: str = "LRC") -> Lease:
        """The newest lease of a job, an older one, or one that nobody was given."""
        return self._lease(self.job(pick, states), back)

    def _lease(self, name: JobName, back: int = 0) -> Lease:
        tokens = [1, 1, *self._model.tokens.get(name, [])]
        return Lease(name=name, token=tokens[-1] + 1 if back == NOBODYS else tokens[-1 - back])

    def _stream(self, worker_id: str) -> StreamId:
        known = self._model.workers[worker_id]
        return StreamId(worker_id=worker_id, session_id=known.session, epoch=known.epoch)

    def _named(self, name: JobName, said: Submission) -> Submission:
        if not said.not_before:
            return replace(said, name=name)
        self._starts.append(self._model.now + said.not_before)
        return replace(said, name=name, not_before=round(self._starts[-1] * 1e6))

    def check_invariants(self, *arguments: object) -> None:
        """After each step, whatever calls it made: the keyspace is sound."""
        super().check_invariants(*arguments)  # type: ignore[arg-type]
        after = self._keyspace.moment()
        violations = [*self._keyspace.violations(), *self._before.broken_by(after)]
        self._before = after
        self.agree([], violations)

    def _compare(self) -> None:
        """After each call: every job is what the model says, and there is no other."""
        packed = {pack(name): name for name in self._model.jobs}
        self.agree(packed.keys(), self._keyspace.keys("j").keys())
        self.agree([], [f"{name}: {wrong}" for name in packed.values() for wrong in self._compared(name)])

    def _compared(self, name: JobName) -> list[str]:
        job, found = self._model.jobs[name], self._runner.run(self._bench.find(name.job_id, name.tenant))
        if found is None:
            return ["is not there"]
        record = self._client.hgetall(f"{prefix()}j:".encode() + pack(name))
        timers: dict[str, float | None] = {
            what: self._client.zscore(f"{prefix()}{timer}", pack(name))
            for what, timer in (("lease", "lease"), ("limit", "dl"))
        }
        timers["publishing"] = float(record[b"pb"]) if b"pb" in record else None
        wrong = job.observe(found, record, timers)
        if job.token is None and int(record.get(b"tk", 0)) in self._model.tokens[name]:
            wrong.append("has a token that was given out, and should not")
        return wrong
