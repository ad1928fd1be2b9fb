"""Hypothesis drives a real store and the model of it side by side: everything anybody may do, in any order, late and again."""

from __future__ import annotations

import copy
from dataclasses import replace

import redis
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from support.machine.callers import Callers
from support.machine.choices import NAMES, PASSING_SECONDS, having, picks, submissions, workers
from support.machine.workers import Workers
from support.model.job import SLOP
from support.redis_server import RedisServer
from telecine_scheduler.domain.job import AttemptOutcome, FailureKind
from telecine_scheduler.domain.lease import Report
from telecine_scheduler.domain.submission import Submission
from telecine_scheduler.store.keys import prefix
from telecine_scheduler.store.scripts import script

SWEPT = (
    "promoted", "returned", "lost", "failed", "cancelled", "purged", "queue_timeout", "total_timeout", "run_timeout",
    "repaired", "broken",
)  # fmt: skip


class StoreMachine(Callers, Workers):
    """Two workers, two tenants, five jobs; and what happens to them all."""

    def __init__(self, server: RedisServer, client: redis.Redis) -> None:
        super().__init__(server, client)
        # What a replica has: keys, their times to live in milliseconds, and contents; the model then; how many took over.
        self._copy: list[tuple[bytes, int, bytes]] = []
        self._model_copy = self._model
        self._servers = 0

    @initialize(said=st.lists(submissions, min_size=len(NAMES), max_size=len(NAMES)), free=st.integers(1, 4))
    def work_begins(self, said: list[Submission], free: int) -> None:
        """Something to begin with, because Hypothesis leaves out about half of the rules each time; one more than may be."""
        for name, each in zip(NAMES, said, strict=True):
            self.call("submit", self._named(name, each))
        self.begin("w2", free, accepted=True)

    @precondition(lambda self: self._history)
    @rule(back=st.integers(1, 30))
    def again(self, back: int) -> None:
        """An earlier call arrives once more."""
        verb, arguments = self._history[-min(back, len(self._history))]
        self.call(verb, *arguments)

    @rule(seconds=st.sampled_from(PASSING_SECONDS), swept=st.sampled_from([True, True, False]))
    def time_passes(self, seconds: int, swept: bool) -> None:
        self._model.now += seconds
        if swept:
            self.call("sweep")

    @having("SFX")
    @rule(seconds=st.sampled_from([90_000, 700_000]))
    def days_pass(self, seconds: int) -> None:
        """As long as records are kept."""
        self.time_passes(seconds, swept=True)

    @rule()
    def scripts_are_forgotten(self) -> None:
        self._client.script_flush()

    @rule()
    def outage(self) -> None:
        """Nobody had swept for a while."""
        self._outage = True
        self._model.now += 3
        self.call("sweep")
        self._outage = False

    async def _sweep(self) -> None:
        swept = await self._store.sweep()
        expected = self._model.sweep(after_outage=self._outage)
        found = {name: getattr(swept, name) for name in SWEPT}
        self.agree({name: expected[name] for name in found}, found)

    @having("R")
    @rule(pick=picks, worker_id=workers, how=st.sampled_from(["finish", "renew", "publish", "adopt"]))
    def a_lost_worker_comes_back(self, pick: int, worker_id: str, how: str) -> None:
        """It was taken for dead, and has something to say."""
        lease = self.lease(pick, 0, "R")
        self.time_passes(31, swept=True)
        arguments: dict[str, tuple[object, ...]] = {
            "finish": (Report(lease=lease, outcome=AttemptOutcome.SUCCEEDED, value=b"late"),),
            "renew": (lease, 5, b"late"), "publish": (lease,), "adopt": (lease, self._stream(worker_id)),
        }  # fmt: skip
        self.call(how, *arguments[how])

    @rule(worker_id=workers)
    def everything_crashes(self, worker_id: str) -> None:
        """Once more, with time for every backoff."""
        self.time_passes(121, swept=True)
        self.begin(worker_id, 4, accepted=True)
        for lease in [self._lease(name) for name, job in self._model.jobs.items() if job.state == "R"]:
            self.call(
                "finish", Report(lease=lease, outcome=AttemptOutcome.FAILED, kind=FailureKind.CRASH, value=b"crash")
            )

    @having("Q")
    @rule(worker_id=workers, free=st.integers(1, 4), adopted=st.booleans())
    def grants_are_lost(self, worker_id: str, free: int, adopted: bool) -> None:
        """What was given after the copy was made: its worker says that it has it, and may have it again."""
        self.copied()
        leases = self.granted(worker_id, free)
        for lease in leases:
            self.call("accept", lease, "")
        self.failed_over()
        for lease in leases:
            self.call("renew", lease, 1, b"p")
            if adopted:
                # One that could not have been lost is not had.
                beyond = replace(lease, token=self._model.lost_range[1] + 1)
                self.call("adopt", beyond, self._stream(worker_id))
                self.call("adopt", lease, self._stream(worker_id))
                self.call("renew", lease, 2, b"q")

    @rule()
    def audit(self) -> None:
        """A whole walk over everything finds nothing to mend."""
        self._model.now += 200
        self.call("audit")

    async def _audit(self) -> None:
        position = None
        while step := await self._store.audit(position):
            self.agree((0, {}), (step.broken, step.repairs))
            position = step.position
            if position is None:
                break

    @rule()
    def copied(self) -> None:
        """A replica has all that was written so far."""
        keys = list(self._client.scan_iter(count=1000))
        self._copy = [(key, max(0, self._client.pttl(key)), self._client.dump(key)) for key in keys]
        self._model_copy = copy.deepcopy(self._model)

    @precondition(lambda self: self._copy)
    @rule()
    def failed_over(self) -> None:
        """It takes over, without what was written since."""
        self._client.flushall()
        self._client.script_flush()
        for key, left, content in self._copy:
            self._client.restore(key, left, content)
        # It takes a moment: its clock is not behind.
        now, tokens = self._model.now + SLOP, self._model.tokens
        self._model = copy.deepcopy(self._model_copy)
        # What workers were given they have.
        self._model.now, self._model.tokens = now, tokens
        self._servers += 1
        meta = f"{prefix()}meta"
        clock = int(self._client.hget(meta, "clock") or 0)
        self._set_clock()
        self._client.eval(
            script("resync").source, 1, prefix(), 1, f"server {self._servers}", round(self._model.ttl * 1e6)
        )
        self._model.failed_over(clock, int(self._client.hget(meta, "lost_to")))
        # The store's numbers are ahead of its time from then on, until it has caught up.
        self._model.now = max(self._model.now, int(self._client.hget(meta, "clock") or 0) / 1e6)
        self._before = self._keyspace.moment()
