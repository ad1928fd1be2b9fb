"""A job and a worker as the model of the store has them. Times are the store's, in seconds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from telecine_scheduler.domain.job import Job
from telecine_scheduler.domain.ranking import Ranking
from telecine_scheduler.domain.submission import JobClass, Submission
from telecine_scheduler.domain.worker import WorkerOffer

# Seconds that a call may take to reach the store.
SLOP = 1.5
# Counters of the record, and what the model calls them.
COUNTERS = {"fa": "failures", "cr": "crashes", "re": "returns", "rf": "refusals", "uk": "unknown"}


@dataclass(kw_only=True)
class ModelWorker:
    """The newest stream of a worker, and what is known of it."""

    session: str
    epoch: int
    up: bool = True
    offer: WorkerOffer | None = None
    draining: bool = False


@dataclass(kw_only=True, eq=False)
class ModelJob:
    """A job. *token* is None once it was bumped: then it is like none that was ever given out."""

    said: Submission
    begin: float
    state: str = ""
    generation: int = 1
    attempts: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    # Of this generation: token, worker, and whether the lease was taken for lost.
    crashes: list[tuple[int, str, bool]] = field(default_factory=list)
    # How many there were, with those that were taken back.
    crashes_ever: int = 0
    token: int | None = 0
    # The token in the record, whoever knows it; and the clock when the generation began.
    stored_token: float = 0
    generation_began: int = 0
    worker: str = ""
    process: str = ""
    avoids: tuple[str, float] = ("", 0.0)
    # Within which it becomes due, and how much longer it then avoids its process.
    due: tuple[float, float] | None = None
    avoids_after: float | None = None
    wait_reason: str | None = None
    lease: float | None = None
    publish: float | None = None
    limit: tuple[str, float] | None = None
    expire: float | None = None
    start: float | None = None
    sequence: int = -1
    progress: bytes = b""
    # None: the store may say more than the model knows.
    failure: bytes | None = b""
    result: bytes = b""
    cancel_reason: str = ""
    # Its number in the queue; None when it just took a new one.
    queue: int | None = None
    create: int = 0
    # The last revision that was seen, and whether it must have changed since.
    revision: int = 0
    revised: bool = True

    def total_end(self) -> float | None:
        total = self.said.limits.total
        return self.begin + total.total_seconds() if total else None

    @property
    def public(self) -> str:
        return "Q" if self.state == "L" else self.state

    @property
    def place(self) -> tuple[str, JobClass]:
        """Within which jobs are served by their score."""
        return (self.said.name.tenant, self.said.job_class)

    @property
    def score(self) -> int:
        return (self.queue or 0) + Ranking().penalty(self.said.priority)

    def told(self) -> dict[str, object]:
        """What a caller sees."""
        said = self.said
        return {
            "state": self.state, "generation": self.generation, "attempts": self.attempts, "waits for": self.wait_reason,
            "cancel reason": self.cancel_reason, "failure": self.failure, "result": self.result, "progress": self.progress,
            "labels": dict(said.labels), "digest": said.digest, "spec": said.spec, "waits": self.due is not None,
            "ended": self.expire is not None,
        }  # fmt: skip

    def observe(self, job: Job, record: dict[bytes, bytes], timers: dict[str, float | None]) -> list[str]:
        """What is wrong with the stored job; what the store may choose is taken on. *timers* are in microseconds."""
        found = {
            "state": job.state.value, "generation": job.generation, "attempts": job.attempt_count,
            "waits for": job.wait_reason and job.wait_reason.value, "cancel reason": job.cancel_reason,
            "failure": None if self.failure is None else job.failure, "result": job.result, "progress": job.progress,
            "labels": dict(job.labels), "digest": job.digest, "spec": job.spec, "waits": job.due is not None,
            "ended": job.expire is not None,
        }  # fmt: skip
        expected = self.told()
        wrong = [
            f"{what} is {found[what]!r}, not {expected[what]!r}" for what in found if found[what] != expected[what]
        ]
        counts = {name: int(record.get(field.encode(), 0)) for field, name in COUNTERS.items()}
        if counts != {name: self.counts[name] for name in counts}:
            wrong.append(f"counters are {counts}, not {self.counts}")
        return wrong + self._timed(timers) + self._numbers(job, int(record.get(b"tk", 0)))

    def _timed(self, timers: dict[str, float | None]) -> list[str]:
        expected = {"lease": self.lease, "limit": self.limit and self.limit[1], "publishing": self.publish}
        found = {what: None if timer is None else timer / 1e6 for what, timer in timers.items()}
        return [
            f"{what} ends at {found[what]}, not at {expected[what]}"
            for what in expected
            if (found[what] is None) != (expected[what] is None)
            or abs((found[what] or 0.0) - (expected[what] or 0.0)) > SLOP
        ]

    def _numbers(self, job: Job, token: int) -> list[str]:
        wrong, self.stored_token = [], token
        if self.token is not None and token != self.token:
            wrong.append(f"token is {token}, not {self.token}")
        if (job.revision > self.revision) != self.revised:
            wrong.append(f"revision went from {self.revision} to {job.revision}")
        if self.queue is not None and job.queue != self.queue and self.state != "W":
            wrong.append(f"its place is {job.queue}, not {self.queue}")
        for what, moment, window in (
            ("due", job.due, self.due), ("purged", job.expire, self.expire and (self.expire, self.expire)),
        ):  # fmt: skip
            if moment and window and not window[0] - SLOP <= moment / 1e6 <= window[1] + SLOP:
                wrong.append(f"is {what} at {moment / 1e6}, not within {window}")
        self.create, self.revision, self.revised, self.queue = job.create, job.revision, False, job.queue
        # Between the last change that was seen and this one.
        self.generation_began = self.generation_began or job.create
        if job.due and self.due:
            self.due = (job.due / 1e6, job.due / 1e6)
            if self.avoids_after is not None:
                self.avoids, self.avoids_after = (self.process, job.due / 1e6 + self.avoids_after), None
        return wrong
