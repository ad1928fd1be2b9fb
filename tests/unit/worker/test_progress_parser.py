"""FFmpeg's -progress, with everything that builds 5.1 to 9.0 were seen to write."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecine_worker.ffmpeg.progress import Block, ProgressParser


def blocks(text: bytes, size: int = 1 << 20) -> list[Block]:
    """What the parser makes of *text* in pieces of *size* bytes."""
    found: list[Block] = []
    parser = ProgressParser(found.append)
    for start in range(0, len(text), size):
        parser.feed(text[start : start + size])
    return found


WHOLE = b"""frame=48
fps=24.50
stream_0_0_q=28.0
bitrate= 512.3kbits/s
total_size=65536
out_time_us=1600000
out_time_ms=1600000
out_time=00:00:01.600000
dup_frames=0
drop_frames=0
speed=1.81e+03x
progress=continue
"""


def test_a_whole_block():
    """Every value in its own unit; out_time_ms is microseconds."""
    assert [
        Block(
            position=timedelta(seconds=1.6),
            frame_count=48,
            frames_per_second=24.5,
            speed=1810.0,
            output_size_bytes=65536,
        )
    ] == blocks(WHOLE)


@pytest.mark.parametrize(
    ("line", "field", "value"),
    [
        (b"out_time_us=N/A", "position", None),
        (b"out_time_us=-9223372036854775807", "position", None),
        (b"out_time_us=-66733", "position", None),
        (b"out_time_us=0", "position", timedelta(0)),
        (b"out_time_ms=2000000", "position", timedelta(seconds=2)),
        (b"out_time_us=9223372036854775807", "position", timedelta(microseconds=10**17)),
        (b"total_size=N/A", "output_size_bytes", None),
        (b"speed=N/A", "speed", None),
        (b"speed=   0x", "speed", 0.0),
        (b"speed= 1.5x", "speed", 1.5),
        (b"speed=nanx", "speed", None),
        (b"fps=0.00", "frames_per_second", 0.0),
        (b"frame=  123", "frame_count", 123),
        (b"out_time=-577014:32:22.775807", "position", None),
        (b"no key and value", "position", None),
        (b"\xff\xfe=\xff", "position", None),
    ],
)
def test_traps(line, field, value):
    """What is not usable is None, never a wrong number."""
    assert value == getattr(blocks(line + b"\nprogress=continue\n")[0], field)


def test_values_do_not_leak_into_the_next_block():
    """Sound alone has no frames, even after a block that had some."""
    first, second = blocks(WHOLE + b"out_time_us=1\nprogress=end\n")
    assert (False, True, None) == (first.last, second.last, second.frame_count)


def test_an_unfinished_block_says_nothing():
    """Until its last line has come, a block is not reported."""
    assert [] == blocks(WHOLE.removesuffix(b"progress=continue\n"))


@given(size=st.integers(1, 50))
def test_pieces_of_any_size_make_the_same_blocks(size):
    """Where the pipe cuts does not matter."""
    assert blocks(WHOLE * 3, size) == blocks(WHOLE * 3)


def test_a_line_without_end_takes_little_memory():
    """Megabytes without a line feed are cut off."""
    parser = ProgressParser(lambda _: None)
    for _ in range(100):
        parser.feed(b"x" * 65536)
    assert len(parser._partial) <= 4096
