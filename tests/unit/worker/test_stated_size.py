"""What files say of their own size, and whether they have it."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from telecine_worker.ffmpeg.stated_size import shortfall, torn_packet

DATA = bytes(1000)
W64 = bytes.fromhex("726966662e91cf11a5d628db04c10000")


def riff(kind: bytes, content: bytes, *, size: int | None = None, name: bytes = b"RIFF") -> bytes:
    """A RIFF file, or one of its parts."""
    return struct.pack("<4sI4s", name, 4 + len(content) if size is None else size, kind) + content


def wave(size: int = len(DATA), name: bytes = b"RIFF", before: bytes = b"fmt \x02\x00\x00\x00ab") -> bytes:
    return riff(b"WAVE", before + struct.pack("<4sI", b"data", size) + DATA, name=name)


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def matroska(size: bytes) -> bytes:
    return b"\x1a\x45\xdf\xa3\x84abcd\x18\x53\x80\x67" + size + DATA


def asf(flags: int) -> bytes:
    """Its header, with the object that describes the file."""
    of_file = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365") + struct.pack("<Q16sQ", 104, b"", 30 + 104 + 1000)
    of_file += bytes(40) + struct.pack("<I12x", flags)
    return bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + struct.pack("<QI2x", 134, 1) + of_file + DATA


def mxf(footer: int) -> bytes:
    head = bytes.fromhex("060e2b34020501010d01020101020400") + b"\x83\x00\x00\x58"
    return head + bytes(24) + struct.pack(">Q", footer) + DATA


def page(content: bytes) -> bytes:
    return b"OggS" + bytes(22) + bytes([4, 250, 250, 250, 250]) + content


WHOLE = {
    "wav": wave(),
    "wav of 64 bits": wave(0xFFFFFFFF, b"RF64", b"ds64" + struct.pack("<IQQQI", 28, 0, 1000, 0, 0)),
    "avi": riff(b"AVI ", DATA) + riff(b"AVIX", DATA),
    "aiff": struct.pack(">4sI4s", b"FORM", 1004, b"AIFF") + DATA,
    "caf": b"caff\x00\x01\x00\x00"
    + struct.pack(">4sq", b"desc", 3)
    + b"abc"
    + struct.pack(">4sq", b"data", 1000)
    + DATA,
    "mp4": box(b"ftyp", b"isom") + box(b"moov", b"x") + box(b"mdat", DATA),
    "mp4 of 64 bits": box(b"ftyp", b"isom") + struct.pack(">I4sQ", 1, b"mdat", 1016) + DATA,
    "mkv": matroska(b"\x43\xe8"),
    "asf": asf(flags=2),
    "mxf": mxf(footer=900),
    "ogg": page(DATA) + page(DATA),
    "w64": W64 + struct.pack("<Q", 1024) + DATA,
    "au": b".snd" + struct.pack(">II", 24, 1000) + bytes(12) + DATA,
}
PACKETS = {
    "ts": (b"\x47" + bytes(187)) * 20,
    "m2ts": (bytes(4) + b"\x47" + bytes(187)) * 20,
}
UNKNOWN = {
    "wav of a stream": wave(0xFFFFFFFF),
    "wav of another": wave(0x7FFFF000),
    "wav without": wave(0),
    "avi of a stream": riff(b"AVI ", DATA, size=0),
    "au of a stream": b".snd" + struct.pack(">II", 24, 0xFFFFFFFF) + bytes(12) + DATA,
    "mp4 with room behind it": box(b"ftyp", b"isom") + box(b"mdat", DATA) + box(b"free", bytes(200)),
    "caf of a stream": b"caff\x00\x01\x00\x00" + struct.pack(">4sq", b"data", -1) + DATA,
    "mp4 to the end": box(b"ftyp", b"isom") + struct.pack(">I4s", 0, b"mdat") + DATA,
    "mkv of a stream": matroska(b"\x01\xff\xff\xff\xff\xff\xff\xff"),
    "asf of a stream": asf(flags=1),
    "mxf of a stream": mxf(footer=0),
    "ts that begins anywhere": bytes(20) + (b"\x47" + bytes(187)) * 20,
    "noise": DATA,
    "nothing": b"",
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_that_was_cut_off_is_told(tmp_path: Path, name: str) -> None:
    """Whole ones, and those with something behind their end, lack nothing; cut at six tenths, and before the end, they do."""
    content = WHOLE[name]
    for data, cut in (
        (content, False),
        (content + b"TAG of another", False),
        (content[: len(content) * 6 // 10 + 1], True),
        (content[:-101] if name != "mxf" else content[:-150], True),
    ):
        (tmp_path / "file").write_bytes(data)
        with (tmp_path / "file").open("rb") as file:
            assert cut == bool(shortfall(file.fileno())), (len(data), shortfall(file.fileno()))


@pytest.mark.parametrize("name", UNKNOWN)
def test_a_file_that_does_not_say_lacks_nothing(tmp_path: Path, name: str) -> None:
    """Whoever writes a stream does not know how large it will be."""
    for data in (UNKNOWN[name], UNKNOWN[name][:-101]):
        (tmp_path / "file").write_bytes(data)
        with (tmp_path / "file").open("rb") as file:
            assert "" == shortfall(file.fileno())


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    """In bytes, where it was told in bytes."""
    for name, said in (
        ("mkv", "it says that it has 1015 bytes, 815 are there"),
        ("ogg", "its last page is cut off"),
    ):
        (tmp_path / "file").write_bytes(WHOLE[name][:-200])
        with (tmp_path / "file").open("rb") as file:
            assert said == shortfall(file.fileno())


@pytest.mark.parametrize("name", PACKETS)
def test_a_recording_ends_with_a_whole_packet(tmp_path: Path, name: str) -> None:
    """Told is that it does not; what is no packet does not belong to it, and what is no recording has none."""
    content = PACKETS[name]
    for data, torn in (
        (content, False),
        (content + b"\n", False),
        (content + bytes(100), False),
        (content[:-100], True),
        (content[:-180], True),
        (b"x" + content[:-100], False),
    ):
        (tmp_path / "file").write_bytes(data)
        with (tmp_path / "file").open("rb") as file:
            assert "its last packet is cut off" * torn == torn_packet(file.fileno())
            assert "" == shortfall(file.fileno())


@pytest.mark.parametrize("name", [*WHOLE, *UNKNOWN, *PACKETS])
def test_any_beginning_of_a_file_is_read(tmp_path: Path, name: str) -> None:
    """However early it ends: what is no container is no reason to fail here."""
    content = {**WHOLE, **UNKNOWN, **PACKETS}[name]
    path = tmp_path / "file"
    path.write_bytes(content)
    with path.open("r+b") as file:
        for size in range(min(160, len(content)), -1, -1):
            file.truncate(size)
            shortfall(file.fileno())
            torn_packet(file.fileno())
