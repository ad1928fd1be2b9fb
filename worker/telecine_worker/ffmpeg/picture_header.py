"""The size of a still picture, read from the header of its file: JPEG, PNG and WebP."""

from __future__ import annotations

import os
import struct
from dataclasses import replace

from telecine_worker.ffmpeg.media_info import MediaInfo

_HEADER_BYTES = 64
# Segments of metadata before the size of a JPEG; each may have 64 KiB.
_MOST_SEGMENTS = 1000
# Start of frame: all but the tables of Huffman codes (C4), JPEG extensions (C8) and arithmetic codes (CC).
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def size_px(fd: int) -> tuple[int, int] | None:
    """Width and height as stored; None for what is none of the three, or broken. Does not move the file's position."""
    head = os.pread(fd, _HEADER_BYTES, 0)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(head)
    if head.startswith(b"\xff\xd8"):
        return _jpeg(fd)
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return _webp(head)
    return None


def with_size(info: MediaInfo, fd: int) -> MediaInfo:
    """ffprobe builds without zlib cannot decode PNG, and know no size of one; its header does."""
    if not info.is_still or len(info.video) != 1 or info.video[0].coded_width_px:
        return info
    size = size_px(fd)
    if size is None:
        return info
    wide, high = size
    video = replace(info.video[0], width_px=wide, height_px=high, coded_width_px=wide, coded_height_px=high)
    return replace(info, video=(video,))


def _png(head: bytes) -> tuple[int, int] | None:
    if len(head) < 24 or head[12:16] != b"IHDR":
        return None
    wide, high = struct.unpack(">II", head[16:24])
    return wide, high


def _jpeg(fd: int) -> tuple[int, int] | None:
    offset = 2
    for _ in range(_MOST_SEGMENTS):
        segment = os.pread(fd, 9, offset)
        if len(segment) < 9 or segment[0] != 0xFF:
            return None
        if segment[1] == 0xFF:
            # Any number of these may stand before a marker.
            offset += 1
            continue
        if segment[1] in _JPEG_FRAMES:
            high, wide = struct.unpack(">HH", segment[5:9])
            return wide, high
        offset += 2 + int.from_bytes(segment[2:4], "big")
    return None


def _webp(head: bytes) -> tuple[int, int] | None:
    if len(head) < 30:
        return None
    match head[12:16]:
        case b"VP8 " if head[23:26] == b"\x9d\x01\x2a":
            wide, high = struct.unpack("<HH", head[26:30])
            return wide & 0x3FFF, high & 0x3FFF
        case b"VP8L" if head[20] == 0x2F:
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
        case _:
            return None
