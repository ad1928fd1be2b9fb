"""Following jobs: who is woken when one changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from typing import Protocol

from telecine_scheduler.domain.errors import JobDeleted, JobNotFound, StoreUnavailable
from telecine_scheduler.domain.job import Job, JobName
from telecine_scheduler.store.feed import Change
from telecine_scheduler.store.job_store import JobStore


class Follower(Protocol):
    """Is told of changes, at once and without waiting; looks at them when it gets to it."""

    def changed(self, name: JobName) -> None:
        """A job that it follows has changed."""

    def missed(self) -> None:
        """Any of its jobs may have changed."""

    def stop(self) -> None:
        """This scheduler stops."""


class Watching:
    """The watchers of this scheduler, each of which holds no more than what has changed, so a slow one costs little."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._of_jobs: dict[JobName, set[Follower]] = defaultdict(set)
        self._of_tenants: dict[str, set[Follower]] = defaultdict(set)
        self._following = asyncio.Event()
        # Up to where the feed was followed.
        self.position = ""
        self.stopped = False
        # How many watches of one job there are.
        self.count = 0

    async def watch(self, name: JobName, after_revision: int, *, always_full: bool) -> AsyncGenerator[Job, None]:
        """The job as it is now unless *after_revision* is that, then newer snapshots, up to the final one.

        The first has the spec, and the others too where they are *always_full*. Raises JobNotFound, JobDeleted, and
        StoreUnavailable when this scheduler stops.
        """
        with self._bell(name) as bell:
            job = await self._store.get(name, full=True)
            if job is None:
                raise no_such_job(name)
            if job.revision > after_revision or job.state.final:
                yield job
            last = job.revision
            told = job.revision > after_revision
            while not job.state.final:
                if self.stopped:
                    raise stopping()
                await bell.wait()
                job = await self._store.get(name, full=always_full or not told)
                if job is None:
                    raise JobDeleted(f"job {name} was deleted while it was watched")
                if job.revision > max(last, after_revision) or job.state.final:
                    yield job
                    last, told = job.revision, True

    @contextlib.contextmanager
    def _bell(self, name: JobName) -> Iterator[_Bell]:
        # Registered before the first read, so that nothing falls in between.
        bell = _Bell()
        self.follow_job(name, bell)
        self.count += 1
        try:
            yield bell
        finally:
            self.count -= 1
            self.leave_job(name, bell)

    def follow_job(self, name: JobName, follower: Follower) -> None:
        """Tell *follower* of every change of a job from now on."""
        self._of_jobs[name].add(follower)

    def leave_job(self, name: JobName, follower: Follower) -> None:
        """Tell it no more of this job."""
        self._of_jobs[name].discard(follower)
        if not self._of_jobs[name]:
            del self._of_jobs[name]

    def follow_tenant(self, tenant: str, follower: Follower) -> None:
        """Tell *follower* of every change of any job of a tenant from now on."""
        self._of_tenants[tenant].add(follower)

    def leave_tenant(self, tenant: str, follower: Follower) -> None:
        """Tell it no more of this tenant."""
        self._of_tenants[tenant].discard(follower)
        if not self._of_tenants[tenant]:
            del self._of_tenants[tenant]

    async def started(self) -> None:
        """Until it is known where the feed is."""
        await self._following.wait()

    def follow(self, changes: list[Change], *, missed: bool, position: str) -> None:
        """Wake the followers of changed jobs; all of them where changes were missed."""
        self.position = position
        self._following.set()
        if missed:
            for follower in self._all():
                follower.missed()
        for name in dict.fromkeys(change.name for change in changes):
            for follower in self._of_jobs.get(name, set()) | self._of_tenants.get(name.tenant, set()):
                follower.changed(name)

    def stop(self) -> None:
        """End every watch with UNAVAILABLE."""
        self.stopped = True
        for follower in self._all():
            follower.stop()

    def _all(self) -> set[Follower]:
        return set().union(*self._of_jobs.values(), *self._of_tenants.values())


class _Bell:
    """The follower of one job: it only has to know that there is something new."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    async def wait(self) -> None:
        """Until it was rung since the last time."""
        await self._rung.wait()
        self._rung.clear()

    def changed(self, _name: JobName) -> None:
        self._rung.set()

    def missed(self) -> None:
        self._rung.set()

    def stop(self) -> None:
        self._rung.set()


def no_such_job(name: JobName) -> JobNotFound:
    """There is none, for whoever asks."""
    return JobNotFound(f"there is no job {name}: it was never submitted, or its record has expired")


def stopping() -> StoreUnavailable:
    """What ends a watch when this scheduler stops."""
    return StoreUnavailable("this scheduler stops; resume the watch at another one")
