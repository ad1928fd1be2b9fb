"""Following one job: snapshots of it, to its end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator

from telecine_scheduler.domain.errors import JobDeleted, JobNotFound, StoreUnavailable
from telecine_scheduler.domain.job import Job, JobName
from telecine_scheduler.service.following import Following
from telecine_scheduler.store.partition import Partition, Partitions
from telecine_scheduler.store.routed_store import RoutedStore


class Watching:
    """The watchers of this scheduler, each of which holds no more than what has changed, so a slow one costs little."""

    def __init__(self, partitions: Partitions, store: RoutedStore) -> None:
        self._store = store
        self._partitions = partitions
        self._followings = {partition: Following() for partition in partitions}
        self.stopped = False
        # How many watches of one job there are.
        self.count = 0

    def of(self, partition: Partition) -> Following:
        """Who follows the jobs of a partition."""
        return self._followings[partition]

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
        bell, following = _Bell(), self.of(self._partitions.of(name.tenant))
        following.follow_job(name, bell)
        self.count += 1
        try:
            yield bell
        finally:
            self.count -= 1
            following.leave_job(name, bell)

    def stop(self) -> None:
        """End every watch with UNAVAILABLE."""
        self.stopped = True
        for following in self._followings.values():
            following.stop()


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
