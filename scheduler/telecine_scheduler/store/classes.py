"""The table of classes, as this scheduler last read it."""

from __future__ import annotations

from redis.asyncio import Redis

from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.store.link import ask


class ClassTable:
    """Class ids and what they stand for. Read again whenever an id turns up that is not known."""

    def __init__(self, client: Redis, prefix: str) -> None:
        self._client = client
        self._key = f"{prefix}classes"
        self._by_id: dict[str, JobClass] = {}
        self._ids: dict[JobClass, str] = {}

    async def refresh(self) -> None:
        """Read the table (at most 256 entries)."""
        rows = await ask(lambda: self._client.hgetall(self._key), self._client)
        self._by_id = {key.decode(): JobClass.parse(text.decode()) for key, text in rows.items()}
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
