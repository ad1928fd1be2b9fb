"""Which kind of destination an output's URI means, and opening it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from telecine_worker.failure import AttemptFailed
from telecine_worker.storage.destination import Destination, Stopped, never
from telecine_worker.storage.file_destination import FileDestination
from telecine_worker.storage.locations import STAGING_FOLDER, FileRoots, file_uri
from telecine_worker.storage.object_destination import ObjectDestination
from telecine_worker.storage.object_staging import ObjectStaging, remove_older, tidy
from telecine_worker.storage.object_store import ObjectStores
from telecine_worker.storage.publishing import Publisher
from telecine_worker.storage.staging import discard_older, open_staging
from telecine_worker.storage.store_places import OUTPUT, StorePlace, is_store


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPlaces:
    """Which inputs the job has, so that none of them is replaced: names by device and inode, and by place."""

    files: Mapping[tuple[int, int], str] = field(default_factory=dict)
    objects: Mapping[StorePlace, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenOutput:
    """One that an attempt writes to. *folder* is its staging on this machine; *end* has the attempt end for want of room."""

    name: str
    folder: Path
    end: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Destinations:
    """Where outputs may go. What goes to object stores is made in *directory* first."""

    roots: FileRoots
    stores: ObjectStores
    directory: Path
    _open: dict[Destination, OpenOutput] = field(default_factory=dict, init=False)

    def open(
        self,
        uri: str,
        name: str,
        *,
        replace: bool,
        per_attempt: bool,
        allowed: Callable[[], bool],
        end: Callable[[], None],
        inputs: InputPlaces,
    ) -> Destination:
        """The output at *uri* for the attempt whose staging is called *name*; to be given back by `close`.

        *end* is called on the event loop where the attempt has to end, because it fills the disk. Blocks. Raises
        AttemptFailed: PATH_NOT_ALLOWED, OUTPUT_NOT_WRITABLE, NO_SPACE, IO_ERROR.
        """
        destination = self._opened(uri, name, replace=replace, per_attempt=per_attempt, allowed=allowed, inputs=inputs)
        folder = destination.staging.location.path / STAGING_FOLDER / name
        self._open[destination] = OpenOutput(name=name, folder=folder, end=end)
        return destination

    def open_outputs(self) -> list[OpenOutput]:
        """All of this moment."""
        return list(self._open.values())

    def close(self, destination: Destination, stopped: Stopped = never) -> None:
        """Discard it, in a store until *stopped*. Raises OSError where something cannot be removed."""
        self._open.pop(destination, None)
        destination.discard(stopped)

    def _opened(
        self, uri: str, name: str, *, replace: bool, per_attempt: bool, allowed: Callable[[], bool], inputs: InputPlaces
    ) -> Destination:
        if not is_store(uri):
            staging = open_staging(self.roots, uri=uri, name=name)
            return FileDestination(
                Publisher(staging, replace=replace, per_attempt=per_attempt, allowed=allowed, inputs=inputs.files)
            )
        bucket, place = self.stores.locate(uri, OUTPUT)
        local = open_staging(FileRoots([self.directory]), uri=file_uri(self.directory), name=name)
        remote = ObjectStaging(bucket, place, local, self.stores.patience)
        return ObjectDestination(
            remote, replace=replace, per_attempt=per_attempt, allowed=allowed, inputs=inputs.objects
        )

    def discard_older(self, uri: str, name: str, stopped: Stopped = never) -> None:
        """Remove what older attempts of the job staged, for one that never opened its destination.

        Blocks. Raises OSError where something cannot be removed.
        """
        try:
            if not is_store(uri):
                discard_older(self.roots, uri=uri, name=name)
                return
            bucket, place = self.stores.locate(uri, OUTPUT)
        except AttemptFailed:
            # Not a place where anything could have been staged.
            return
        tidy(lambda over: remove_older(bucket, place, name, over), self.stores.patience, stopped)
