"""Inputs that were fetched, kept for the next job that wants the same: bounded, the least lately used go first.

An entry is for one tenant: knowing a checksum is no permission to read. It is asked for by the checksum that a spec gives, or
by the version that the server says the file has now. What lies here is trusted only by the process that put it here, and only
while it was not touched: the folder is empty when a worker begins.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from telecine_worker.storage.fetch_errors import FetchStopped
from telecine_worker.storage.resolving import LOOK_AGAIN_SECONDS

# Nobody but us may open it to write, and we do not.
_READ_ONLY = 0o400


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An input that is to be fetched. *headers* and the query of *uri* are secrets: only a hash of them is kept."""

    tenant: str
    uri: str
    headers: Mapping[str, str]
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    path: Path
    size: int
    stamp: tuple[int, ...]


class InputCache:
    """Below *directory*, at most *max_bytes*; 0: nothing is kept. For all attempts of a worker, in any thread.

    *on_look* hears of each input that was opened how many bytes of it were here; None: none, it was fetched.
    """

    def __init__(self, directory: Path, max_bytes: int, *, on_look: Callable[[int | None], None] | None = None) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._on_look = on_look
        self._lock = threading.Lock()
        # The one used last stands last.
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._turns: dict[str, _Turn] = {}

    @contextmanager
    def shelf(self, wanted: Wanted, stopped: Callable[[], bool]) -> Iterator[Shelf]:
        """The place of one input, for one fetch at a time: who wants the same meanwhile waits, and then finds it. Raises
        FetchStopped.
        """
        if not self._max_bytes:
            yield Shelf(self, wanted)
            return
        name = _name(wanted.tenant, wanted.sha256 or [wanted.uri, sorted(wanted.headers.items())])
        with self._lock:
            turn = self._turns.setdefault(name, _Turn())
            turn.users += 1
        try:
            while not turn.lock.acquire(timeout=LOOK_AGAIN_SECONDS):
                if stopped():
                    raise FetchStopped
            try:
                shelf = Shelf(self, wanted)
                yield shelf
                if self._on_look:
                    self._on_look(shelf.found_bytes)
            finally:
                turn.lock.release()
        finally:
            with self._lock:
                turn.users -= 1
                if not turn.users:
                    del self._turns[name]

    def find(self, name: str) -> int | None:
        """A descriptor of the entry *name*, which the caller closes; None where there is none, or no whole one any more."""
        with self._lock:
            entry = self._entries.get(name)
            if entry is None:
                return None
            with suppress(OSError):
                fd = os.open(entry.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
                if _stamp(fd) == entry.stamp:
                    self._entries.move_to_end(name)
                    return fd
                os.close(fd)
            self._remove(name)
            return None

    def keep(self, name: str, fd: int) -> None:
        """Give the nameless file *fd* a name here, and remove what there is no room for then. Where that cannot be, nothing is
        kept.
        """
        with self._lock:
            size = os.fstat(fd).st_size
            if name in self._entries or size > self._max_bytes:
                return
            self._shrink(self._max_bytes - size)
            try:
                os.fchmod(fd, _READ_ONLY)
                _give_name(fd, self._directory, name)
            except OSError:
                # This file system has no nameless files, or no room for a name.
                return
            self._entries[name] = _Entry(path=self._directory / name, size=size, stamp=_stamp(fd))

    @property
    def kept_bytes(self) -> int:
        """Of all that is here now."""
        with self._lock:
            return self._total()

    def empty(self) -> bool:
        """Remove everything: somebody needs the room. Whether there was something. Who reads an entry goes on reading."""
        with self._lock:
            had = bool(self._entries)
            self._shrink(0)
            return had

    def _shrink(self, most: int) -> None:
        total = self._total()
        while self._entries and total > most:
            name, entry = next(iter(self._entries.items()))
            total -= entry.size
            self._remove(name)

    def _total(self) -> int:
        return sum(entry.size for entry in self._entries.values())

    def _remove(self, name: str) -> None:
        entry = self._entries.pop(name)
        with suppress(OSError):
            entry.path.unlink()


class _Turn:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0


class Shelf:
    """Where one input is looked for, and kept. *found_bytes* is what of it was here; None: nothing."""

    def __init__(self, cache: InputCache, wanted: Wanted) -> None:
        self._cache = cache
        self._wanted = wanted
        self.found_bytes: int | None = None

    def find_content(self) -> int | None:
        """What the checksum in the spec says, without asking anybody. A descriptor as `find` gives it."""
        wanted = self._wanted
        return self._find(_name(wanted.tenant, wanted.sha256)) if wanted.sha256 else None

    def find(self, tag: str | None, size: int | None) -> int | None:
        """The version that the server has just said the file has: a strong *tag*. A descriptor, which the caller closes."""
        name = self._version(tag, size)
        return self._find(name) if name else None

    def keep(self, tag: str | None, size: int | None, fd: int) -> None:
        """For the next one. *fd* has no name yet, and nobody writes to it any more."""
        wanted = self._wanted
        name = _name(wanted.tenant, wanted.sha256) if wanted.sha256 else self._version(tag, size)
        if name:
            self._cache.keep(name, fd)

    def _find(self, name: str) -> int | None:
        fd = self._cache.find(name)
        if fd is not None:
            self.found_bytes = os.fstat(fd).st_size
        return fd

    def _version(self, tag: str | None, size: int | None) -> str:
        """Empty where no version is known for sure, and where the checksum counts."""
        wanted = self._wanted
        if tag is None or size is None or wanted.sha256:
            return ""
        return _name(wanted.tenant, [wanted.uri, sorted(wanted.headers.items()), tag, size])


def _name(tenant: str, content: object) -> str:
    return hashlib.sha256(json.dumps([tenant, content]).encode()).hexdigest()


def _give_name(fd: int, directory: Path, name: str) -> None:
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Only with a folder given does Python follow what stands in /proc for the file.
        os.link(f"/proc/self/fd/{fd}", name, dst_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def _stamp(fd: int) -> tuple[int, ...]:
    """Changes with every write, and with every change of who may write."""
    found = os.fstat(fd)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
