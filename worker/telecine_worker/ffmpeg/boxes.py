"""The boxes of ISO media files (ISO/IEC 14496-12): their order in a file, and what lies within one."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MOST_BOXES = 100_000


class BoxError(Exception):
    """A file is not made as it has to be; completes "it is damaged: "."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBox:
    """A box of the top level: all of it, header included, is *size* bytes from *offset* on."""

    name: bytes
    offset: int
    size: int


def file_boxes(fd: int) -> Iterator[FileBox]:
    """Those of the top level, which fill the file from its first to its last byte. Raises BoxError where they do not."""
    offset, end = 0, os.fstat(fd).st_size
    while offset < end:
        header = os.pread(fd, 16, offset)
        if len(header) < 8:
            raise BoxError("it ends within the header of a box")
        size, name = struct.unpack(">I4s", header[:8])
        if size == 1 and len(header) == 16:
            size = struct.unpack(">Q", header[8:])[0]
        if size < 8 or offset + size > end:
            raise BoxError(f"the box at byte {offset} says that it has {size} bytes, {end - offset} are there")
        yield FileBox(name=name, offset=offset, size=size)
        offset += size


def children(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each box in the content of another one. Raises BoxError."""
    offset = 0
    while offset < len(body):
        if offset + 8 > len(body):
            raise BoxError("a box ends within the header of another one")
        size, name = struct.unpack_from(">I4s", body, offset)
        if size < 8 or offset + size > len(body):
            raise BoxError(f"a box within another one says that it has {size} bytes")
        yield name, body[offset + 8 : offset + size]
        offset += size


def inner(body: bytes, *path: bytes) -> bytes:
    """The content of the first box at *path*. Raises BoxError where there is none."""
    for name in path:
        found = next((content for each, content in children(body) if each == name), None)
        if found is None:
            raise BoxError(f"a box {name.decode('latin-1')} is missing")
        body = found
    return body


def has(body: bytes, name: bytes) -> bool:
    """Whether a box *name* lies in the content of another one. Raises BoxError."""
    return any(each == name for each, _ in children(body))


def index_first(fd: int) -> bool:
    """Whether moov comes before mdat, so that a player can begin before it has the end. False when either is missing."""
    for name in _names(fd):
        if name == b"moov":
            return True
        if name == b"mdat":
            return False
    return False


def _names(fd: int) -> list[bytes]:
    names: list[bytes] = []
    offset, end = 0, os.fstat(fd).st_size
    while offset + 8 <= end and len(names) < _MOST_BOXES:
        header = os.pread(fd, 16, offset)
        size, name = struct.unpack(">I4s", header[:8])
        if size == 1 and len(header) == 16:
            size = struct.unpack(">Q", header[8:])[0]
        names.append(name)
        if size < 8:
            # 0: up to the end of the file.
            break
        offset += size
    return names
