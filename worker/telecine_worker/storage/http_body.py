"""The bytes of an answer's body, never less or more than it announced."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

from telecine_worker.storage.fetch_errors import Broken
from telecine_worker.storage.http_answer import LONGEST_HEAD_BYTES, Answer, Framing, read_headers
from telecine_worker.storage.tls import READ_BYTES
from telecine_worker.storage.wire import Timeout, Wire

LONGEST_CHUNK_LINE_BYTES = 256
# Chunks of a byte cost as much work each as large ones: on the average of so many they have to be worth it.
CHUNK_WINDOW = 4096
LEAST_MEAN_CHUNK_BYTES = 64

_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;.*)?")


def body(wire: Wire, answer: Answer, idle: timedelta) -> Iterator[bytes]:
    """The body as it comes; *idle* is how long the server may send nothing. Raises Broken where it ends too early."""
    match answer.framing:
        case Framing.LENGTH:
            yield from _exactly(wire, answer.length or 0, idle)
        case Framing.CHUNKED:
            yield from _chunks(wire, idle)
        case Framing.CLOSE:
            while piece := wire.receive(READ_BYTES, _patience(idle)):
                yield piece


def _exactly(wire: Wire, count: int, idle: timedelta) -> Iterator[bytes]:
    while count:
        piece = wire.receive(min(count, READ_BYTES), _patience(idle))
        if not piece:
            raise Broken(f"closed the connection {count} bytes before the end of the body")
        count -= len(piece)
        yield piece


def _chunks(wire: Wire, idle: timedelta) -> Iterator[bytes]:
    sizes: list[int] = []
    while size := _chunk_size(wire, idle):
        sizes.append(size)
        if len(sizes) == CHUNK_WINDOW:
            if sum(sizes) < CHUNK_WINDOW * LEAST_MEAN_CHUNK_BYTES:
                raise Broken(f"sent its body in chunks of less than {LEAST_MEAN_CHUNK_BYTES} bytes")
            sizes.clear()
        yield from _exactly(wire, size, idle)
        if wire.read_line(LONGEST_CHUNK_LINE_BYTES, _patience(idle)):
            raise Broken("sent a chunk that is longer than announced")
    # What may follow the last chunk is read up to its end, as a whole head would be.
    read_headers(wire, LONGEST_HEAD_BYTES, _patience(idle))


def _chunk_size(wire: Wire, idle: timedelta) -> int:
    match = _CHUNK_SIZE.fullmatch(wire.read_line(LONGEST_CHUNK_LINE_BYTES, _patience(idle)))
    if match is None:
        raise Broken("sent a chunk without a size")
    return int(match[1], 16)


def _patience(idle: timedelta) -> Timeout:
    return Timeout.after(idle, "sent nothing")
