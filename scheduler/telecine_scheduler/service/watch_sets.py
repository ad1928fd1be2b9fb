"""The streams of this scheduler that follow many jobs each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from telecine_scheduler.service.broken_records import BrokenRecords
from telecine_scheduler.service.watch_set import Filter, WatchSet
from telecine_scheduler.service.watching import Watching, stopping
from telecine_scheduler.store.partition import Partitions, not_reached
from telecine_scheduler.store.routed_store import RoutedStore


class WatchSets:
    """Those that are open on this scheduler."""

    def __init__(self, partitions: Partitions, store: RoutedStore, watching: Watching, broken: BrokenRecords) -> None:
        self._partitions = partitions
        self._store = store
        self._watching = watching
        self._broken = broken
        self._open: set[WatchSet] = set()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._open)

    @contextlib.contextmanager
    def open(self, tenant: str, *, followed: Filter | None, position: str) -> Iterator[WatchSet]:
        """A set for one stream, see there. Raises StoreUnavailable where this scheduler stops, or waits for the partition."""
        if self._watching.stopped:
            raise stopping()
        partition = self._partitions.of(tenant)
        if not partition.checked.is_set():
            raise not_reached()
        following = self._watching.of(partition)
        watch_set = WatchSet(
            self._store, partition, following, self._broken, tenant, followed=followed, position=position
        )
        self._open.add(watch_set)
        try:
            yield watch_set
        finally:
            self._open.discard(watch_set)
            watch_set.leave()

    def stop(self) -> None:
        """End them all, those that follow nothing yet as well."""
        for watch_set in self._open:
            watch_set.stop()
