"""Whether this worker is fit for work: what looks find wrong with it, and attempts that fail for reasons of its own."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import timedelta

import structlog

from telecine_worker.failure import Failure, FailureKind
from telecine_worker.health import Health
from telecine_worker.outcome import Ended, Failed, Succeeded
from telecine_worker.storage.threads import Threads

log = structlog.get_logger(__name__)

# Reasons that may lie with this worker. None surely does: what a job brings along can make FFmpeg say and do anything.
SUSPICIOUS = frozenset({"LAUNCH_FAILED", "SANDBOX_FAILED", "NO_SPACE", "IO_ERROR", "INTERNAL_ERROR", "OUT_OF_MEMORY"})
# So many different jobs in a row are not to blame for it, unless all are of one tenant while others are served, too: where
# the last so many attempts were that tenant's, there are no others.
ENOUGH_JOBS = 3
LAST_ATTEMPTS = 20
FIRST_REST = timedelta(seconds=30)
LONGEST_REST = timedelta(minutes=10)

Job = tuple[str, str]
Look = Callable[[], str | None]


class Condition:
    """Ailing while a look finds something broken, and for a while, longer each time, after attempts have failed for reasons of
    the worker's own in a row. *look* and *trial* block; what they return is what is wrong, or None. The *trial* starts
    programs: where an attempt has failed suspiciously, and from then on until it finds nothing wrong.
    """

    def __init__(self, look: Look, trial: Look, threads: Threads) -> None:
        def tell(_: str | None) -> None:
            self._tell()

        self._health = Health(look, threads, tell, "the file system of the work dir does not answer")
        self._programs = Health(trial, threads, tell, "ffmpeg or ffprobe does not answer, and cannot be ended")
        self._on_change: Callable[[str | None], None] = lambda _: None
        self._failed_jobs: set[Job] = set()
        self._tenants: deque[str] = deque(maxlen=LAST_ATTEMPTS)
        self._rests = 0
        self._rest: asyncio.TimerHandle | None = None

    @property
    def ailment(self) -> str | None:
        """Why no work is taken, in words; None: it is."""
        found = self._health.ailment or self._programs.ailment
        if found or self._rest is None:
            return found
        return "attempts failed in a row for reasons of this worker's own; its log has them"

    @property
    def hangs(self) -> bool:
        """Whether a thread hangs in a look, which nothing can end."""
        return self._health.hangs or self._programs.hangs

    def listen(self, on_change: Callable[[str | None], None]) -> None:
        """*on_change* hears the ailment, or None, when it may have changed."""
        self._on_change = on_change

    async def step(self) -> None:
        """Look once."""
        await self._look(closely=self._programs.ailment is not None)

    async def _look(self, *, closely: bool) -> bool:
        """Whether something is wrong."""
        looks = [self._health, self._programs] if closely else [self._health]
        await asyncio.gather(*(each.step() for each in looks))
        return any(each.ailment for each in looks)

    async def judge(self, job: Job, ended: Ended) -> Ended:
        """How an attempt counts that ended so: where a look says that the worker is to blame, its job goes back uncharged."""
        if not isinstance(ended, Succeeded | Failed):
            return ended
        self._tenants.append(job[0])
        if isinstance(ended, Succeeded) or not _is_suspicious(ended.failure):
            self._failed_jobs.clear()
            self._rests = 0
            if isinstance(ended, Succeeded) and self._rest is not None:
                self._rest.cancel()
                self._end_rest()
            return ended
        self._failed_jobs.add(job)
        if await self._look(closely=True):
            log.warning("attempt goes back, the worker is to blame", job_id=job[1], failure=ended.failure.message)
            return ended.given_back("UNHEALTHY")
        if self._are_enough():
            self._begin_rest(ended.failure.reason)
        return ended

    def _are_enough(self) -> bool:
        """Whether it is the worker rather than the jobs."""
        failing = {tenant for tenant, _ in self._failed_jobs}
        return len(self._failed_jobs) >= ENOUGH_JOBS and (len(failing) > 1 or len(set(self._tenants)) == 1)

    def _begin_rest(self, reason: str) -> None:
        if self._rest is not None:
            return
        rest = min(FIRST_REST * 2**self._rests, LONGEST_REST)
        self._rests = min(self._rests + 1, 10)
        log.error("worker rests, and takes no work", seconds=rest.total_seconds(), reason=reason)
        self._rest = asyncio.get_running_loop().call_later(rest.total_seconds(), self._end_rest)
        self._tell()

    def _end_rest(self) -> None:
        # The jobs stay noted: until an attempt does well, the next one that fails is enough.
        self._rest = None
        log.info("worker takes work again")
        self._tell()

    def _tell(self) -> None:
        self._on_change(self.ailment)


def _is_suspicious(failure: Failure) -> bool:
    """What is permanent lies with the job, and what an input does wherever it is."""
    return failure.reason in SUSPICIOUS and failure.kind is not FailureKind.PERMANENT and not failure.of_input
