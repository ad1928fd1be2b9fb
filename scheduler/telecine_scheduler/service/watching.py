"""Following a job: a snapshot, then newer ones, and always the last."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator

from telecine_scheduler.domain.errors import JobDeleted, JobNotFound, StoreUnavailable
from telecine_scheduler.domain.job import Job, JobName
from telecine_scheduler.store.feed import Change
from telecine_scheduler.store.job_store import JobStore


class Watching:
    """The watchers of this scheduler. Each holds one bit, "something changed", so a slow one costs nothing."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._watchers: dict[JobName, set[asyncio.Event]] = defaultdict(set)
        self._stopped = False

    @property
    def count(self) -> int:
        """How many watchers there are."""
        return sum(map(len, self._watchers.values()))

    async def watch(self, name: JobName, after_revision: int, *, always_full: bool) -> AsyncIterator[Job]:
        """The job as it is now unless *after_revision* is that, then newer snapshots, up to the final one.

        The first has the spec, and the others too where they are *always_full*. Raises JobNotFound, JobDeleted, and
        StoreUnavailable when this scheduler stops.
        """
        with self._registered(name) as changed:
            job = await self._store.get(name, full=True)
            if job is None:
                raise JobNotFound(f"there is no job {name}")
            if job.revision > after_revision or job.state.final:
                yield job
            last = job.revision
            told = job.revision > after_revision
            while not job.state.final:
                if self._stopped:
                    raise StoreUnavailable("this scheduler stops; resume the watch at another one")
                await changed.wait()
                changed.clear()
                job = await self._store.get(name, full=always_full or not told)
                if job is None:
                    raise JobDeleted(f"job {name} was deleted while it was watched")
                if job.revision > max(last, after_revision):
                    yield job
                    last, told = job.revision, True

    @contextlib.contextmanager
    def _registered(self, name: JobName) -> Iterator[asyncio.Event]:
        # Registered before the first read, so that nothing falls in between.
        changed = asyncio.Event()
        self._watchers[name].add(changed)
        try:
            yield changed
        finally:
            self._watchers[name].discard(changed)
            if not self._watchers[name]:
                del self._watchers[name]

    def follow(self, changes: list[Change], *, missed: bool) -> None:
        """Wake the watchers of changed jobs; all of them where changes were missed."""
        names = list(self._watchers) if missed else {change.name for change in changes} & self._watchers.keys()
        for name in names:
            for changed in self._watchers[name]:
                changed.set()

    def stop(self) -> None:
        """End every watch with UNAVAILABLE."""
        self._stopped = True
        for watchers in self._watchers.values():
            for changed in watchers:
                changed.set()
