"""The order of the top-level boxes of an MP4 file."""

from __future__ import annotations

import os
import struct

_MOST_BOXES = 100_000


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
