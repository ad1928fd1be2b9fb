"""Which partition a worker's stream asks next."""

from __future__ import annotations

from collections.abc import Iterable

from telecine_scheduler.store.partition import Partition


class Rotation:
    """First, in turn, the partitions that had or may have something; then those that had nothing when they were asked last.

    So a busy partition never waits for more than one look at each other busy one, and pays for no looks at idle ones.
    """

    def __init__(self) -> None:
        # Both in the order in which they are asked.
        self._likely: dict[Partition, None] = {}
        self._others: dict[Partition, None] = {}

    def first(self, partition: Partition) -> None:
        """Ask this one before any other."""
        self._others.pop(partition, None)
        self._likely.pop(partition, None)
        self._likely = {partition: None, **self._likely}

    def likely(self, partition: Partition) -> None:
        """There may be something: ask it when those before it were asked."""
        self._others.pop(partition, None)
        self._likely[partition] = None

    def others(self, partitions: Iterable[Partition]) -> None:
        """Ask these too, when nothing better is left."""
        for partition in partitions:
            if partition not in self._likely:
                self._others[partition] = None

    def next(self, *, also_away: bool = False) -> Partition | None:
        """The one whose turn it is, which is forgotten here; None where none is left.

        One that is away is passed over, but for *also_away*: where none serves, its answer says why.
        """
        for turns in (self._likely, self._others):
            while turns:
                partition = next(iter(turns))
                del turns[partition]
                if partition.serving or also_away:
                    return partition
        return None
