"""A moving WebP is known by its chunks: what is whole passes, what is cut off, empty or of another size does not."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from telecine_worker.failure import AttemptFailed
from telecine_worker.ffmpeg import animated_webp
from telecine_worker.ffmpeg.expected import Expected, ExpectedVideo

EXPECTED = Expected(
    path="p.webp",
    file_name="p.webp",
    media_type="image/webp",
    formats=(animated_webp.FORMAT,),
    exact_streams=True,
    video=ExpectedVideo(codec="webp", width_px=64, height_px=48, frame_count=3),
    duration=timedelta(milliseconds=300),
    tolerance=timedelta(milliseconds=50),
)


def chunk(name: bytes, data: bytes) -> bytes:
    """One of RIFF."""
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def whole(number: int) -> bytes:
    """24 bits."""
    return number.to_bytes(3, "little")


def frame(*, x: int = 0, wide: int = 64, high: int = 48, milliseconds: int = 100, inside: bytes | None = None) -> bytes:
    """One picture; *x* in steps of two."""
    pixels = chunk(b"VP8 ", b"12345") if inside is None else inside
    head = whole(x) + whole(0) + whole(wide - 1) + whole(high - 1) + whole(milliseconds) + b"\0"
    return chunk(b"ANMF", head + pixels)


def webp(*chunks: bytes, wide: int = 64, high: int = 48, flags: int = 2) -> bytes:
    """The file."""
    head = chunk(b"VP8X", bytes([flags, 0, 0, 0]) + whole(wide - 1) + whole(high - 1))
    body = b"WEBP" + head + chunk(b"ANIM", b"\0" * 6) + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[object]:
    """Opens a file with these bytes."""
    opened_files: list[int] = []

    def make(data: bytes) -> int:
        path = tmp_path / "p.webp"
        path.write_bytes(data)
        opened_files.append(os.open(path, os.O_RDONLY))
        return opened_files[-1]

    yield make
    for fd in opened_files:
        os.close(fd)


def test_what_is_whole_passes(opened):
    """Its pictures are counted, fewer than were encoded where some were alike, and their times added up."""
    info = animated_webp.check(opened(webp(frame(), frame(milliseconds=200))), EXPECTED)
    assert (64, 48, 2) == (info.video[0].width_px, info.video[0].height_px, info.video[0].frame_count)
    assert (timedelta(milliseconds=300), "webp_anim") == (info.duration, info.format)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"not a picture at all, but long enough to be one", "it is no WebP"),
        (webp(frame(), frame(), frame(), wide=32), "it has 32x48 px, planned was 64x48"),
        (webp(frame(), frame()), "it lasts 0:00:00.200000, planned was 0:00:00.300000"),
        (webp(*[frame(milliseconds=75)] * 4), "it has 4 pictures, planned were up to 3"),
        (webp(), "it has 0 pictures"),
        (webp(frame(), frame(), frame())[:-10], "it is cut off"),
        (webp(frame(x=1), frame(), frame()), "a picture of it is outside of the whole"),
        (webp(frame(high=49), frame(), frame()), "a picture of it is outside of the whole"),
        (webp(frame(inside=b""), frame(), frame()), "a picture of it is empty"),
    ],
)
def test_what_is_not_as_planned_is_refused(opened, data, words):
    """VERIFICATION_FAILED, in words."""
    with pytest.raises(AttemptFailed) as error:
        animated_webp.check(opened(data), EXPECTED)
    assert ("VERIFICATION_FAILED", True) == (error.value.failure.reason, words in error.value.failure.message)


def test_a_single_picture_is_no_movement(opened):
    """What is shown for a moment only is written as a still one."""
    still = (
        b"RIFF"
        + struct.pack("<I", 34)
        + b"WEBP"
        + chunk(b"VP8 ", b"\0\0\0\x9d\x01\x2a" + struct.pack("<HH", 64, 48) + b"rest")
    )
    assert 1 == animated_webp.check(opened(still), EXPECTED).video[0].frame_count
