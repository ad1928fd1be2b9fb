"""Whether a file is as large as it says: many containers tell it at their beginning, or end with what has to be there.

FFmpeg reads many a file that was cut off as if it just ended there, or calls it damaged. Told here are WAV, W64, AVI, AIFF,
CAF, AU, MP4 and its like, Matroska, ASF, MXF and Ogg; of MPEG-TS whether its last packet is whole. FLAC, FLV, and MP3 with a
header of its encoder (Xing) say how long they last, which is compared where they are decoded. Nothing tells it of other MP3, of
MPEG-TS between packets, MPEG-PS and ADTS, of fragmented MP4 that was cut between two fragments, and of NUT, whose index at the
end is missing where it was written to a pipe, too.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator

# Writers of streams, who do not know the size, write a number near these; others forget a few bytes of headers and padding.
_UNKNOWN = (1 << 31, 1 << 32)
_NEAR = 64 * 1024
_SLACK = 64
_MOST_CHUNKS = 10_000
_HEAD_BYTES = 4096
# The longest page of Ogg.
_PAGE_BYTES = 27 + 255 + 255 * 255
_W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_BROADCAST = 1
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
_MXF_HEADER = bytes.fromhex("060e2b34020501010d01020101")
_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"mdat", b"moof", b"free", b"skip", b"wide", b"udta", b"uuid", b"mfra"})
# Those that hold nothing, or what nobody needs: one that ends too early takes nothing from the film.
_EMPTY_BOXES = frozenset({b"free", b"skip", b"wide", b"udta", b"uuid"})
# Of packets with nothing around them, with a time before them, with a checksum after them: their size, and where they begin.
_PACKETS = ((188, 0), (192, 4), (204, 0))


def shortfall(fd: int) -> str:
    """Completes "the input ends before its own length: " for the open file *fd*; empty where nothing is known to be missing."""
    head, size = os.pread(fd, _HEAD_BYTES, 0), os.fstat(fd).st_size
    for begins, read in _READERS:
        if begins(head):
            end = read(fd, head, size)
            return "" if end is None or end <= size + _SLACK else f"it says that it has {end} bytes, {size} are there"
    return _of_ogg(fd, size) if head.startswith(b"OggS") else ""


def torn_packet(fd: int) -> str:
    """Completes "the input is damaged: " for MPEG-TS, which says nothing of its size: whoever records it stops anywhere. Empty
    where it ends with a whole packet, or with something else behind it.
    """
    head, size = os.pread(fd, _HEAD_BYTES, 0), os.fstat(fd).st_size
    for length, first in _PACKETS:
        marks = head[first::length]
        # What was written packet by packet begins with a whole one.
        if len(marks) >= 8 and set(marks) == {0x47}:
            rest = os.pread(fd, size % length, size - size % length)
            return "its last packet is cut off" if rest[first : first + 1] == b"\x47" else ""
    return ""


def _of_riff(fd: int, head: bytes, size: int) -> int | None:
    """Of WAV the end of the samples, of AVI that of its last part."""
    if head[8:12] == b"WAVE":
        return _of_wave(fd, head, size)
    if head[8:12] != b"AVI ":
        return None
    end = None
    for name, offset, length in _chunks(fd, 0, size, "<4sI"):
        if name != b"RIFF" or _is_unknown(length):
            break
        end = offset + length
    return end


def _of_wave(fd: int, head: bytes, size: int) -> int | None:
    long = struct.unpack_from("<Q", head, 28)[0] if head[12:16] == b"ds64" and len(head) >= 36 else None
    for name, offset, length in _chunks(fd, 12, size, "<4sI"):
        if name == b"data":
            length = length if long is None else long  # noqa: PLW2901 - the short one is a mark then
            return None if long is None and _is_unknown(length) else offset + length
    return None


def _of_aiff(_fd: int, head: bytes, _size: int) -> int | None:
    length: int = struct.unpack_from(">I", head, 4)[0]
    return None if _is_unknown(length) else 8 + length


def _of_caf(fd: int, _head: bytes, size: int) -> int | None:
    for name, offset, length in _chunks(fd, 8, size, ">4sq"):
        if name == b"data":
            return None if length < 0 else offset + length
    return None


def _of_iso(fd: int, _head: bytes, size: int) -> int | None:
    """The end of the last box; what follows it and is none is passed over."""
    offset = 0
    for _ in range(_MOST_CHUNKS):
        header = os.pread(fd, 16, offset)
        if len(header) < 16 or header[4:8] not in _BOXES:
            break
        length = struct.unpack_from(">I", header)[0]
        length = struct.unpack_from(">Q", header, 8)[0] if length == 1 else length
        # 0: up to the end of the file.
        if length < 8 or offset + length > size:
            return offset + length if length >= 8 and header[4:8] not in _EMPTY_BOXES else None
        offset += length
    return None


def _of_matroska(_fd: int, head: bytes, _size: int) -> int | None:
    offset = 4
    length, read = _vint(head, offset)
    offset += read + (length or 0)
    if head[offset : offset + 4] != _SEGMENT:
        return None
    length, read = _vint(head, offset + 4)
    return None if length is None else offset + 4 + read + length


def _of_asf(_fd: int, head: bytes, _size: int) -> int | None:
    at = head.find(_ASF_FILE)
    if at < 0 or len(head) < at + 92:
        return None
    flags = struct.unpack_from("<I", head, at + 88)[0]
    stated: int = struct.unpack_from("<Q", head, at + 40)[0]
    return None if flags & _ASF_BROADCAST else stated


def _of_w64(_fd: int, head: bytes, _size: int) -> int | None:
    stated: int = struct.unpack_from("<Q", head, 16)[0] if len(head) >= 24 else 0
    return stated if 0 < stated < 1 << 62 else None


def _of_au(_fd: int, head: bytes, _size: int) -> int | None:
    begin, length = struct.unpack_from(">II", head, 4) if len(head) >= 12 else (0, 0)
    return None if _is_unknown(length) else begin + length


def _of_mxf(_fd: int, head: bytes, _size: int) -> int | None:
    """The place of the last partition; 0 where it was not known yet."""
    _, read = _ber(head, 16)
    at = 16 + read + 24
    footer: int = struct.unpack_from(">Q", head, at)[0] if len(head) >= at + 8 else 0
    # Its header, at the least, has to follow.
    return footer + 16 + _SLACK if footer else None


def _of_ogg(fd: int, size: int) -> str:
    """The last page has to be whole."""
    begin = max(0, size - _PAGE_BYTES - 27)
    tail = os.pread(fd, size - begin, begin)
    at = tail.rfind(b"OggS")
    page = tail[at:]
    if at < 0:
        return ""
    whole = len(page) >= 27 and len(page) >= 27 + page[26] + sum(page[27 : 27 + page[26]])
    return "" if whole else "its last page is cut off"


def _is_unknown(length: int) -> bool:
    return length == 0 or any(abs(length - each) <= _NEAR for each in _UNKNOWN)


def _chunks(fd: int, offset: int, size: int, header: str) -> Iterator[tuple[bytes, int, int]]:
    """Name, and offset and length of the content, of each that begins within the file."""
    wide = struct.calcsize(header)
    for _ in range(_MOST_CHUNKS):
        found = os.pread(fd, wide, offset)
        if len(found) < wide or offset >= size:
            return
        name, length = struct.unpack(header, found)
        yield name, offset + wide, length
        if length < 0:
            return
        # Chunks of RIFF begin at even places.
        offset += wide + length + (length % 2 if header[0] == "<" else 0)


def _vint(data: bytes, at: int) -> tuple[int | None, int]:
    """A number of EBML, None for the one that stands for unknown, and how many bytes it takes."""
    first = data[at] if at < len(data) else 0
    wide = 9 - first.bit_length()
    if not first or at + wide > len(data):
        return None, 0
    most = (1 << 7 * wide) - 1
    value = int.from_bytes(data[at : at + wide], "big") & most
    return (None if value == most else value), wide


def _ber(data: bytes, at: int) -> tuple[int, int]:
    """A length of KLV, and how many bytes it takes."""
    first = data[at] if at < len(data) else 0
    more = first & 0x7F if first & 0x80 else 0
    return int.from_bytes(data[at + 1 : at + 1 + more], "big") if more else first, 1 + more


_Reader = Callable[[int, bytes, int], int | None]
_READERS: tuple[tuple[Callable[[bytes], bool], _Reader], ...] = (
    (lambda head: head[:4] in (b"RIFF", b"RF64", b"BW64"), _of_riff),
    (lambda head: head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"), _of_aiff),
    (lambda head: head[:4] == b"caff", _of_caf),
    (lambda head: head[:16] == _W64, _of_w64),
    (lambda head: head[:4] == b".snd", _of_au),
    (lambda head: head[4:8] in _BOXES, _of_iso),
    (lambda head: head[:4] == _EBML, _of_matroska),
    (lambda head: head[:16] == _ASF_HEADER, _of_asf),
    (lambda head: head[:13] == _MXF_HEADER, _of_mxf),
)
