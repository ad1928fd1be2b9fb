"""Who is woken when a job of one partition changes."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Protocol

from telecine_scheduler.domain.job import JobName
from telecine_scheduler.store.feed import Change


class Follower(Protocol):
    """Is told of changes, at once and without waiting; looks at them when it gets to it."""

    def changed(self, name: JobName) -> None:
        """A job that it follows has changed."""

    def missed(self) -> None:
        """Any of its jobs may have changed."""

    def stop(self) -> None:
        """This scheduler stops."""


class Following:
    """The followers of a partition's jobs on this scheduler."""

    def __init__(self) -> None:
        self._of_jobs: dict[JobName, set[Follower]] = defaultdict(set)
        self._of_tenants: dict[str, set[Follower]] = defaultdict(set)
        self._started = asyncio.Event()
        # Up to where the feed was followed.
        self.position = ""

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
        await self._started.wait()

    def follow(self, changes: list[Change], *, missed: bool, position: str) -> None:
        """Wake the followers of changed jobs; all of them where changes were missed."""
        self.position = position
        self._started.set()
        if missed:
            for follower in self._all():
                follower.missed()
        for name in dict.fromkeys(change.name for change in changes):
            for follower in self._of_jobs.get(name, set()) | self._of_tenants.get(name.tenant, set()):
                follower.changed(name)

    def stop(self) -> None:
        """Tell every follower that this scheduler stops."""
        for follower in self._all():
            follower.stop()

    def _all(self) -> set[Follower]:
        return set().union(*self._of_jobs.values(), *self._of_tenants.values())
