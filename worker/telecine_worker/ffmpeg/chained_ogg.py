"""Ogg files one after the other in one, as web radio is recorded: FFmpeg plays all, and tells the length of the last."""

from __future__ import annotations

import os

FORMAT = "ogg"
_HEADER_BYTES = 27
_LONGEST_HEADER = _HEADER_BYTES + 255
_FIRST_OF_STREAM = 2
# Of the usual 4 KiB some hundreds of megabytes.
_MOST_PAGES = 100_000


def is_chained(fd: int) -> bool:
    """Whether in the open file *fd* streams begin after others have gone on. Blocks."""
    offset, goes_on = 0, False
    for _ in range(_MOST_PAGES):
        header = os.pread(fd, _LONGEST_HEADER, offset)
        if len(header) < _HEADER_BYTES or header[:4] != b"OggS":
            return False
        begins = bool(header[5] & _FIRST_OF_STREAM)
        if begins and goes_on:
            return True
        goes_on = not begins
        sizes = header[_HEADER_BYTES : _HEADER_BYTES + header[26]]
        offset += _HEADER_BYTES + header[26] + sum(sizes)
    return False
