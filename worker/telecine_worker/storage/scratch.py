"""A file without a name, for what is fetched: whatever happens to the worker, nothing of it stays behind."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from telecine_worker.storage import disk_errors
from telecine_worker.storage.room import Room

CHECK_EVERY_BYTES = 16 << 20

OWN_DESCRIPTORS = "/proc/self/fd"

_NO_NAMELESS_FILES = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL})


class Scratch:
    """A context manager: leaving it gives the space back, unless somebody holds a reader. *hashing*: take the SHA-256, too.

    Blocks for as long as the file system does. Raises AttemptFailed NO_SPACE, IO_ERROR.
    """

    def __init__(self, directory: Path, what: str, *, hashing: bool) -> None:
        self._directory = directory
        self._what = what
        self._hashing = hashing
        self._digest = hashlib.sha256()
        self._fd = -1
        self._room = Room(directory, what)
        self._unchecked = 0
        self.size = 0

    def __enter__(self) -> Self:
        try:
            self._fd = _open_nameless(self._directory)
        except OSError as error:
            raise disk_errors.scratch_failure(error, self._what) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._room.give_back()
        os.close(self._fd)

    def expect(self, more: int) -> None:
        """Raise NO_SPACE at once where *more* bytes have no room, beside what other inputs expect there."""
        self._room.expect(self._fd, more)
        self._unchecked = 0

    def write(self, data: bytes) -> None:
        """Add *data* at the end."""
        self._unchecked += len(data)
        if self._unchecked >= CHECK_EVERY_BYTES:
            self.expect(max(len(data), self._room.expected))
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            raise disk_errors.scratch_failure(error, self._what) from error
        if self._hashing:
            self._digest.update(data)
        self._room.fill(len(data))
        self.size += len(data)

    def restart(self) -> None:
        """Forget everything, and what was expected too."""
        self._room.give_back()
        try:
            os.ftruncate(self._fd, 0)
            os.lseek(self._fd, 0, os.SEEK_SET)
        except OSError as error:
            raise disk_errors.scratch_failure(error, self._what) from error
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of everything written, lower-case hex."""
        return self._digest.hexdigest()

    def reader(self) -> int:
        """A descriptor of its own that can only read; the caller closes it."""
        try:
            return os.open(f"{OWN_DESCRIPTORS}/{self._fd}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise disk_errors.scratch_failure(error, self._what) from error


def _open_nameless(directory: Path) -> int:
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in _NO_NAMELESS_FILES:
            raise
    # This file system has no files without a name: it loses its name at once.
    fd, path = tempfile.mkstemp(prefix=".fetch-", dir=directory)
    with suppress(FileNotFoundError):
        Path(path).unlink()
    return fd
