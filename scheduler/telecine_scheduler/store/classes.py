"""The table of classes, as this scheduler last read it."""

from __future__ import annotations

import asyncio

from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.store.lane import Lane


class ClassTable:
    """Class ids and what they stand for. Read again whenever an id turns up that is not known."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._by_id: dict[str, JobClass] = {}
        self._ids: dict[JobClass, str] = {}
        self._reading: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    async def refresh(self) -> None:
        """Read the table (at most 256 entries). Raises StoreUnavailable.

        Whoever asks while it is read may know of an entry that is not in it: all of them share the next reading.
        """
        if self._next is None:
            self._next = asyncio.create_task(self._read_after(self._reading), name="classes")
            # Whoever asked may have gone by the time it fails.
            self._next.add_done_callback(_look_at)
        await asyncio.shield(self._next)

    async def _read_after(self, last: asyncio.Task[None] | None) -> None:
        if last is not None:
            await asyncio.wait({last})
        self._reading, self._next = self._next, None
        pairs = iter(await self._lane.call("classes", (), ()))
        self._by_id = {key.decode(): JobClass.parse(text.decode()) for key, text in zip(pairs, pairs, strict=True)}
        self._ids = {job_class: key for key, job_class in self._by_id.items()}

    def __contains__(self, class_id: object) -> bool:
        return class_id in self._by_id

    def id_of(self, job_class: JobClass) -> str | None:
        """The id of a class, where it is known here."""
        return self._ids.get(job_class)

    def job_class(self, class_id: str) -> JobClass | None:
        """What an id stands for, where it is known here."""
        return self._by_id.get(class_id)

    def served_by(self, *, queues: frozenset[str], capabilities: frozenset[str], slots: int) -> dict[str, int]:
        """Ids and units of the classes that a worker with this offer can run."""
        return {
            class_id: job_class.units
            for class_id, job_class in self._by_id.items()
            if job_class.served_by(queues=queues, capabilities=capabilities, slots=slots)
        }


def _look_at(reading: asyncio.Task[None]) -> None:
    if not reading.cancelled():
        reading.exception()
