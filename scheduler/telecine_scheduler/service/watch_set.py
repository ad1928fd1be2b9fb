"""The jobs that one stream follows: those it was told of, and perhaps all of a tenant's, or those with some labels.

It holds the names of what has changed and no snapshots: they are read when they are to be sent, so that a slow reader costs a
bounded number of names, gets fewer snapshots, and never an old one.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field

from telecine_scheduler.domain.errors import JobDeleted, TelecineError
from telecine_scheduler.domain.job import Job, JobName
from telecine_scheduler.service.broken_records import BrokenRecords
from telecine_scheduler.service.following import Following
from telecine_scheduler.service.watching import no_such_job, stopping
from telecine_scheduler.store.feed import MAX_ENTRIES
from telecine_scheduler.store.partition import Partition
from telecine_scheduler.store.routed_store import RoutedStore

BATCH = 100
MOST_ADDED = 10_000
# Beside added jobs; more changes than this that wait for a slow reader are read again from the feed when he gets to them.
MOST_WAITING = 10_000
# Of jobs that were sent while the feed is read again, so that older changes of theirs are passed over.
MOST_TOLD = 10_000
# A token is renewed so often while nothing happens, lest the feed be trimmed past it.
TOKEN_SECONDS = 30.0


class BadPosition(ValueError):
    """The place where to resume is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which of a tenant's jobs are followed without being added: all of them, or those with all these labels."""

    labels: Mapping[str, str]

    def takes(self, job: Job) -> bool:
        """Whether *job* is one of them."""
        return self.labels.items() <= job.labels.items()


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is to be sent together, oldest change first.

    *errors* are added jobs that cannot be followed. *position* is where to resume once this was sent, *before* until then;
    *reset* says that changes were missed.
    """

    jobs: Sequence[Job] = ()
    errors: Mapping[str, TelecineError] = field(default_factory=dict)
    before: str
    position: str
    reset: bool = False


class WatchSet:
    """One stream's. *partition* is the tenant's, and *following* who follows its jobs.

    *followed* is None where only added jobs are; *position* is where to resume, empty: now.
    """

    def __init__(
        self, store: RoutedStore, partition: Partition, following: Following, broken: BrokenRecords, tenant: str, *,
        followed: Filter | None, position: str,
    ) -> None:  # fmt: skip
        self._store = store
        self._broken = broken
        self._feed = partition.feed
        self._following = following
        self._tenant = tenant
        self._followed = followed
        # Added jobs, with the last revision that was sent or that the caller knows.
        self._added: dict[str, int] = {}
        # Of those, the ones that were there when they were read.
        self._seen: set[str] = set()
        # What has to be looked at, in the order in which it changed.
        self._waiting: dict[str, None] = {}
        # Up to where the feed's changes were sent, and from where they have to be read again; empty: they come by themselves.
        self._settled = position
        self._behind = position if followed else ""
        # While it is behind: what was sent, which is newer than the changes that are still to be read.
        self._told: dict[str, int] = {}
        self._half_closed = False
        self._error: Exception | None = None
        self._news = asyncio.Event()

    def add(self, job_id: str, after_revision: int) -> bool:
        """Follow a job that the caller knows at this revision; False where there would be too many."""
        if job_id not in self._added:
            if len(self._added) >= MOST_ADDED:
                return False
            self._following.follow_job(self._name(job_id), self)
        self._added[job_id] = after_revision
        self._look_at(job_id)
        return True

    def remove(self, job_id: str) -> None:
        """Follow a job no more, unless it is one of those that are followed anyway."""
        if self._added.pop(job_id, None) is not None:
            self._seen.discard(job_id)
            self._following.leave_job(self._name(job_id), self)
            if self._followed is None:
                self._waiting.pop(job_id, None)
        self._news.set()

    def half_close(self) -> None:
        """Nothing more will be added: end when nothing is left."""
        self._half_closed = True
        self._news.set()

    def fail(self, error: Exception) -> None:
        """End with this error."""
        self._error = self._error or error
        self._news.set()

    def changed(self, name: JobName) -> None:
        """A job that is followed has changed."""
        if self._behind and name.job_id not in self._added:
            # The feed has it, and is read from further back.
            return
        self._look_at(name.job_id)

    def missed(self) -> None:
        """Any job may have changed."""
        for job_id in self._added:
            self._look_at(job_id)
        if self._followed:
            self._read_again()

    def stop(self) -> None:
        """This scheduler stops."""
        self.fail(stopping())

    def _look_at(self, job_id: str) -> None:
        self._waiting[job_id] = None
        self._news.set()
        if self._followed and len(self._waiting) > MOST_WAITING + len(self._added):
            self._read_again()

    def _read_again(self) -> None:
        """Forget what waits beside added jobs: the feed has it."""
        self._waiting = {job_id: None for job_id in self._waiting if job_id in self._added}
        self._behind = self._settled
        self._news.set()

    def _name(self, job_id: str) -> JobName:
        return JobName(tenant=self._tenant, job_id=job_id)

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """What is to be sent, until nothing is left after half-close. Raises BadPosition."""
        if self._followed:
            yield await self._begin()
        while not self._over():
            batch = await self._next()
            if batch is not None:
                yield batch

    async def _begin(self) -> Batch:
        """Registers first, so that nothing falls in between; then says where to resume before anything has changed."""
        self._following.follow_tenant(self._tenant, self)
        await self._following.started()
        self._settled = self._settled or self._following.position
        try:
            reset = bool(self._behind) and not await self._catch_up()
        except ValueError as error:
            raise BadPosition(str(error)) from error
        return Batch(before=self._settled, position=self._settled, reset=reset)

    def _over(self) -> bool:
        if self._error is not None:
            raise self._error
        return self._half_closed and (self._followed is not None or (not self._added and not self._waiting))

    async def _next(self) -> Batch | None:
        """The next batch, or None where it turns out that there is nothing to be sent yet."""
        if self._waiting:
            return await self._read()
        if self._behind:
            complete = await self._catch_up()
            return None if complete else Batch(before=self._settled, position=self._settled, reset=True)
        return await self._idle()

    async def _idle(self) -> Batch | None:
        """Wait for something. Now and then the place where to resume is sent anew."""
        self._news.clear()
        before = self._settled
        try:
            async with asyncio.timeout(TOKEN_SECONDS if self._followed else None):
                await self._news.wait()
        except TimeoutError:
            if self._waiting or self._behind:
                # It came in the same instant, and is not sent yet: to resume behind it would be to miss it.
                return None
            self._settled = self._following.position
            return Batch(before=before, position=self._settled) if self._settled != before else None
        return None

    async def _catch_up(self) -> bool:
        """Look at the next changes that the feed has; False where some are gone, and what follows now is new."""
        # From here on changes come by themselves again, unless there turn out to be more than one page of them.
        position, self._behind = self._behind, ""
        changes, complete = await self._feed.since(position)
        if not complete:
            self._settled = self._following.position
            self._behind = self._behind and self._settled
            return False
        for change in changes:
            job_id = change.name.job_id
            if change.name.tenant == self._tenant and self._told.get(job_id, -1) < change.revision:
                # Not bounded like what comes by itself: it is a page at most, and nothing waited before it.
                self._waiting[job_id] = None
        if len(changes) == MAX_ENTRIES:
            self._behind = changes[-1].position
        else:
            self._told.clear()
        if not self._waiting:
            self._settled = self._behind or self._following.position
        return True

    async def _read(self) -> Batch | None:
        """Snapshots of what waits longest."""
        ids = list(itertools.islice(self._waiting, BATCH))
        for job_id in ids:
            del self._waiting[job_id]
        before = self._settled
        settled = before if self._waiting else self._behind or self._following.position
        names = [self._name(job_id) for job_id in ids]
        reads = (self._store.get(name, full=False) for name in names)
        found = self._broken.readable(names, await asyncio.gather(*reads, return_exceptions=True))
        jobs = [job for job in found.values() if job is not None and self._is_news(job)]
        errors = {name.job_id: self._lost(name.job_id) for name, job in found.items() if job is None}
        self._settled = settled
        known = {job_id: error for job_id, error in errors.items() if error is not None}
        if not jobs and not known:
            return None
        jobs.sort(key=lambda job: job.revision)
        return Batch(jobs=jobs, errors=known, before=before, position=settled)

    def _is_news(self, job: Job) -> bool:
        """Whether a snapshot is to be sent; what is final is followed no more."""
        job_id, taken = job.name.job_id, self._followed is not None and self._followed.takes(job)
        if taken and self._behind:
            if len(self._told) >= MOST_TOLD:
                self._told.clear()
            self._told[job_id] = job.revision
        if job_id not in self._added:
            return taken
        self._seen.add(job_id)
        newer = job.revision > self._added[job_id]
        self._added[job_id] = max(job.revision, self._added[job_id])
        if job.state.final:
            self.remove(job_id)
        return newer or job.state.final

    def _lost(self, job_id: str) -> TelecineError | None:
        """Why an added job that is not there cannot be followed; None where it was not added."""
        if job_id not in self._added:
            return None
        name, seen = self._name(job_id), job_id in self._seen
        self.remove(job_id)
        return JobDeleted(f"job {name} was deleted while it was watched") if seen else no_such_job(name)

    def leave(self) -> None:
        """Follow nothing more."""
        for job_id in self._added:
            self._following.leave_job(self._name(job_id), self)
        if self._followed:
            self._following.leave_tenant(self._tenant, self)
