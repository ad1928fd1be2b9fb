"""Inputs: opened once, read from then on through the descriptor, so that nothing can be put in their place afterwards."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from types import TracebackType
from typing import Self

from telecine_worker.failure import permanent
from telecine_worker.storage import disk_errors
from telecine_worker.storage.beneath import open_regular
from telecine_worker.storage.locations import FileRoots

HASH_READ_BYTES = 1 << 20


class Source:
    """An open input. A context manager: leaving it closes the file."""

    def __init__(self, *, name: str, fd: int) -> None:
        self.name = name
        self.fd = fd
        self.size_bytes = os.fstat(fd).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.fd)

    def check_sha256(self, wanted: str, stopped: Callable[[], bool]) -> None:
        """Read it all and compare with *wanted* (lower-case hex); blocks, for a thread.

        Gives up early when *stopped* says so. Raises AttemptFailed INPUT_CHECKSUM_MISMATCH.
        """
        try:
            found = sha256(self.fd, stopped)
        except OSError as error:
            raise disk_errors.read_failure(error, f"input {self.name}") from error
        if found is not None and found != wanted:
            raise permanent("INPUT_CHECKSUM_MISMATCH", f"input {self.name} has the SHA-256 {found}, expected {wanted}")


def open_source(roots: FileRoots, *, name: str, uri: str) -> Source:
    """Open the input *name*. Blocks for as long as the file system does.

    Raises AttemptFailed: PATH_NOT_ALLOWED, INPUT_NOT_FOUND, INPUT_UNREADABLE, IO_ERROR.
    """
    what = f"input {name}"
    location = roots.locate(uri, what)
    try:
        root = location.open_root()
        try:
            return Source(name=name, fd=open_regular(root, location.parts))
        finally:
            os.close(root)
    except OSError as error:
        raise disk_errors.read_failure(error, f"{what} ({location.path})") from error


def sha256(fd: int, stopped: Callable[[], bool]) -> str | None:
    """Of the whole file, lower-case hex; None when *stopped* said so before the end. Does not move the file's position."""
    digest, offset = hashlib.sha256(), 0
    while chunk := os.pread(fd, HASH_READ_BYTES, offset):
        if stopped():
            return None
        digest.update(chunk)
        offset += len(chunk)
    return digest.hexdigest()
