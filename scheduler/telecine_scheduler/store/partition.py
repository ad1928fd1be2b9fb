"""A partition: a part of the tenants, whose keys have one prefix and one hash slot, with everything a scheduler has of it."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from telecine_scheduler.domain.errors import StoreUnavailable
from telecine_scheduler.store.classes import ClassTable
from telecine_scheduler.store.feed import Feed, WakeUps
from telecine_scheduler.store.fitness import Fitness
from telecine_scheduler.store.job_store import JobStore
from telecine_scheduler.store.lane import Lane
from telecine_scheduler.store.store_watch import StoreWatch

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partition:
    """One of them. Ids of classes, numbers of the clock and positions of the feed mean something only within it.

    *checked* is set once its store was found fit; nothing is asked of it before.
    """

    number: int
    durable: Lane
    fast: Lane
    store: JobStore
    classes: ClassTable
    feed: Feed
    wake_ups: WakeUps
    fitness: Fitness
    watch: StoreWatch
    checked: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def serving(self) -> bool:
        """Whether it is worth asking: its store was found fit, and answers."""
        return self.checked.is_set() and not self.watch.away


class Partitions:
    """All of them, by number. How many there are must never change while there are jobs: it says where a tenant lives."""

    def __init__(self, partitions: Sequence[Partition]) -> None:
        self._all = tuple(partitions)
        self._count = len(self._all)

    def __iter__(self) -> Iterator[Partition]:
        return iter(self._all)

    def of(self, tenant: str) -> Partition:
        """Where a tenant lives."""
        return self._all[zlib.crc32(tenant.encode()) % self._count]

    def worth_asking(self) -> list[Partition]:
        """Those that serve; all that were found fit where none does, because their answers say why."""
        fit = [partition for partition in self._all if partition.checked.is_set()]
        return [partition for partition in fit if not partition.watch.away] or fit

    async def each(self, ask: Callable[[Partition], Awaitable[T]]) -> list[T]:
        """What those answer that can. Raises StoreUnavailable where none could."""
        asked = self.worth_asking()
        answers = await asyncio.gather(*map(ask, asked), return_exceptions=True)
        found: list[T] = []
        away: StoreUnavailable | None = None
        for answer in answers:
            if isinstance(answer, StoreUnavailable):
                away = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found.append(answer)
        if found:
            return found
        raise away or not_reached()


def not_reached() -> StoreUnavailable:
    """What is said while a store was not found fit yet."""
    return StoreUnavailable("this scheduler waits for the job store (Redis) of this tenant; nothing was changed")
