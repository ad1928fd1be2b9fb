"""The head of an answer, as it comes over a connection."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from telecine_worker.storage.fetch_errors import Broken
from telecine_worker.storage.http_answer import Answer, read_answer
from telecine_worker.storage.wire import Timeout, Wire

BLANKS = b" \t" * 30_000


@contextmanager
def interrupted(seconds: float) -> Iterator[None]:
    """Matching a pattern holds the interpreter: only a signal gets through to it."""

    def ring(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def answer_of(header: bytes) -> Answer:
    """What is read of an answer with this header."""
    ours, theirs = socket.socketpair()
    with theirs, Wire(ours, lambda: False) as wire, interrupted(20):
        theirs.sendall(b"HTTP/1.1 200 OK\r\n" + header + b"\r\n\r\n")
        return read_answer(wire, Timeout.after(timedelta(seconds=20), "did not answer"))


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (BLANKS, ""),
        (BLANKS + b"x", "x"),
        (b"x" + BLANKS, "x"),
        (b"\tx y ", "x y"),
        (b"x" + BLANKS + b"y", f"x{BLANKS.decode()}y"),
        (b"\xe4\xa0", "ä\xa0"),
    ],
)
def test_a_value_is_read_without_the_blanks_around_it(value: bytes, read: str) -> None:
    """However many there are, and at once. Only blanks and tabs are blanks."""
    assert read == answer_of(b"X:" + value).header("x")


@pytest.mark.parametrize(
    "value", [BLANKS + b"\x01", b"x" + BLANKS + b"\x01", BLANKS[:30_000] + b"x" + BLANKS[:30_000] + b"\x7f"]
)
def test_a_value_that_is_none_is_refused_at_once(value: bytes) -> None:
    """However long it looked good: a server must not be able to stop the whole worker."""
    with pytest.raises(Broken, match="no header"):
        answer_of(b"X:" + value)
