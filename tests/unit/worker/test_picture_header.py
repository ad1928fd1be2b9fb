"""Sizes from the headers of stills, whatever else the file holds."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telecine_worker.ffmpeg.picture_header import size_px

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 123, 45) + b"\x08\x02\0\0\0"
JPEG = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xff\xc4\0\x03x\xff\xc2\0\x11\x08" + struct.pack(">HH", 45, 123) + b"\x03"
LOSSY = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0abc\x9d\x01\x2a" + struct.pack("<HH", 123 | 0x4000, 45)
LOSSLESS = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + struct.pack("<I", 122 | 44 << 14) + bytes(5)
EXTENDED = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + (122).to_bytes(3, "little") + (44).to_bytes(3, "little")

Size = Callable[[bytes], tuple[int, int] | None]


@pytest.fixture
def size(tmp_path: Path) -> Size:
    """The size of a file with some content."""

    def of(content: bytes) -> tuple[int, int] | None:
        path = tmp_path / "picture"
        path.write_bytes(content)
        fd = os.open(path, os.O_RDONLY)
        try:
            return size_px(fd)
        finally:
            os.close(fd)

    return of


@pytest.mark.parametrize("content", [PNG, JPEG, LOSSY, LOSSLESS, EXTENDED])
def test_each_format_says_its_size(size: Size, content: bytes) -> None:
    """JPEG after other segments, tables of Huffman codes among them; all three kinds of WebP."""
    assert (123, 45) == size(content)


@pytest.mark.parametrize("content", [PNG, JPEG, LOSSY, LOSSLESS, EXTENDED])
def test_what_is_cut_has_no_size(size: Size, content: bytes) -> None:
    """Wherever it is cut before the size, it has none, and it is no error."""
    complete = {JPEG: len(JPEG) - 1, PNG: 24}.get(content, 30)
    for length in range(min(complete, len(content))):
        assert size(content[:length]) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(content=st.binary(max_size=80), start=st.sampled_from([b"", b"\xff\xd8", PNG[:16], LOSSY[:12], LOSSY[:16]]))
def test_no_content_is_an_error(size: Size, content: bytes, start: bytes) -> None:
    """Noise has a size or none."""
    found = size(start + content)
    assert found is None or len(found) == 2
