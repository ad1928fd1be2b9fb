"""What is kept of FFmpeg's log: bounded, whole lines, nothing secret."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecine_worker.ffmpeg.log_ring import LogRing


def lines(text: bytes, size: int = 1 << 20, names: dict[str, str] | None = None) -> list[str]:
    """What a ring keeps of *text*, fed in pieces of *size* bytes."""
    ring = LogRing(names)
    for start in range(0, len(text), size):
        ring.feed(text[start : start + size])
    ring.finish()
    return ring.lines()


def test_carriage_returns_end_lines_too():
    """FFmpeg's status lines end with them; empty lines are not kept."""
    assert ["a", "b", "c"] == lines(b"a\rb\r\n\nc")


@given(st.integers(1, 30))
def test_pieces_of_any_size_make_the_same_lines(size):
    """Where the pipe cuts does not matter."""
    text = b"first line\nsecond\rthird [x @ 0x55d0c8]\r\nlast"
    assert lines(text, size) == lines(text)


def test_first_and_last_lines_are_kept():
    """Twenty at the front, two hundred at the end, and the number of those between."""
    kept = lines(b"".join(b"%d\n" % number for number in range(1000)))
    assert [str(number) for number in range(20)] == kept[:20]
    assert "... 780 lines left out ..." == kept[20]
    assert [str(number) for number in range(800, 1000)] == kept[21:]


def test_long_lines_are_cut():
    """Two thousand bytes a line, whatever comes."""
    assert ["x" * 2000, "next"] == lines(b"x" * 100_000 + b"\nnext")


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        (b"[mov @ 0x5581c0ffee] moov", "[mov @] moov"),
        (b"https://u:p@h/x?sig=abc&y=1: error", "https://h/x error"),
        (b"open 'https://h/x?sig=abc' failed", "open 'https://h/x' failed"),
        (b"https://user:word@h/x: no", "https://h/x: no"),
        (b"file:/proc/self/fd/12: bad, file:/proc/self/fd/1: good", "main: bad, other: good"),
        (b"bell \x07 and \xff", "bell ? and \ufffd"),
    ],
)
def test_addresses_and_secrets_are_taken_out(line, kept):
    """Pointers, users, queries and our own paths."""
    names = {"file:/proc/self/fd/1": "other", "file:/proc/self/fd/12": "main"}
    assert [kept] == lines(line, names=names)


def test_the_tail_is_at_most_eight_kibibytes_of_whole_lines():
    """Counted in bytes of UTF-8; the first line of it is not cut."""
    ring = LogRing()
    for number in range(300):
        ring.feed(f"{number} {'ä' * 100}\n".encode())
    tail = ring.tail()
    assert 7900 < len(tail.encode()) <= 8192
    assert tail.split("\n")[0].endswith("ä" * 100)
    assert tail.endswith(f"299 {'ä' * 100}")
