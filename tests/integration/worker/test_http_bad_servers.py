"""Servers that answer badly, or without an end: a clear failure in bounded time, and never half a file."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import pytest

from support.fetching import Fetching
from support.http_server import Film, HttpServer, endless, hanging, raw, status
from telecine_worker.failure import FailureKind
from telecine_worker.storage.fetch_errors import FetchStopped

PERMANENT, RETRYABLE = FailureKind.PERMANENT, FailureKind.RETRYABLE
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
HALF = OK + b"Content-Length: 9\r\n\r\nfilm"
FILM = Film(content=b"film")
SECRET = "hunter2"


@pytest.fixture
def fetching(tmp_path: Path) -> Iterator[Fetching]:
    """Leaves nothing."""
    made = Fetching(directory=tmp_path)
    yield made
    assert [] == made.left()


@pytest.mark.parametrize(
    ("code", "kind", "reason"),
    [
        *((code, PERMANENT, "INPUT_DENIED") for code in (401, 403)),
        *((code, PERMANENT, "INPUT_NOT_FOUND") for code in (404, 410)),
        *(
            (code, PERMANENT, "INPUT_UNREADABLE")
            for code in (400, 402, 405, 406, 407, 409, 412, 414, 416, 418, 421, 451)
        ),
        *((code, PERMANENT, "INPUT_UNREADABLE") for code in (201, 202, 204, 206, 207, 300, 304, 305, 302)),
        *((code, RETRYABLE, "INPUT_UNAVAILABLE") for code in (408, 425, 429, 500, 501, 502, 503, 504, 507, 520, 599)),
    ],
)
async def test_every_status_has_its_kind(fetching, code, kind, reason):
    """Final ones are asked once, the others as often as there are tries; the message tells the status, and no secret."""
    async with HttpServer(status(code)) as server:
        failure = await fetching.failure(f"{server.url}?{SECRET}", headers={"Authorization": SECRET})
        assert (1 if kind is PERMANENT else 5) == server.connection_count
    assert (kind, reason) == (failure.kind, failure.reason)
    assert str(code) in failure.message
    assert "input main" in failure.message
    assert f"http://127.0.0.1:{server.port}" in failure.message
    assert SECRET not in failure.message


@pytest.mark.parametrize("bad", [status(code) for code in (408, 425, 429, 500, 503)])
async def test_what_passes_is_tried_again(fetching, bad):
    """The second answer is the file."""
    async with HttpServer(bad, FILM) as server:
        assert b"film" == await fetching.fetch(server.url)


HALF_BODIES = [
    OK + b"Content-Length: 5\r\n\r\nfilm",
    OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfilm\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfilm\r\n0\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nfilm",
]
BROKEN = [
    b"",
    b"HTTP/1.1 200",
    b"HTTP/1.1 200 OK\r\nContent-Le",
    b"HTTP/2 200\r\n\r\n",
    b"SSH-2.0-OpenSSH_9\r\n\r\n",
    b"HTTP/1.1 999 X\r\n\r\n",
    b"HTTP/1.1 101 X\r\n\r\n",
    OK + b"no header\r\n\r\n",
    OK + (b"X: " + b"y" * 9000 + b"\r\n") * 8 + b"Content-Length: 4\r\n\r\nfilm",
    OK + b"X: y\r\n" * 100 + b"Content-Length: 4\r\n\r\nfilm",
    OK + b" folded: x\r\n\r\n",
    OK + b"X : y\r\n\r\n",
    OK + b"X: y\rZ: z\r\nContent-Length: 4\r\n\r\nfilm",
    OK + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nfilms",
    OK + b"Content-Length: -4\r\n\r\nfilm",
    OK + b"Content-Length: 4, 4\r\n\r\nfilm",
    OK + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nfilm",
    OK + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfilm\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n4\r\nfilm\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n4\r\nfilm\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nfilm\r\n0\r\n\r\n",
    *(CHUNKED + b"%s\r\nfilm\r\n0\r\n\r\n" % size for size in (b"-4", b"0x4", b"4_0", b"", b"f" * 99)),
    CHUNKED + b"3\r\nfilm\r\n0\r\n\r\n",
    CHUNKED + b"4;" + b"x" * 300 + b"\r\nfilm\r\n0\r\n\r\n",
]  # fmt: skip


@pytest.mark.parametrize("answer", [*HALF_BODIES, *BROKEN])
async def test_half_and_broken_answers_never_pass(fetching, answer):
    """Cut, garbled, ambiguous: a retryable failure, after as many tries as there are."""
    fetching.patience(tries=2)
    async with HttpServer(raw(answer)) as server:
        failure = await fetching.failure(server.url)
        assert 2 == server.connection_count
    assert (RETRYABLE, "INPUT_UNAVAILABLE") == (failure.kind, failure.reason)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nfilm",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 4\r\n\r\nfilm",
        b"HTTP/1.1 200\nContent-Length:4\n\nfilm",
        OK + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\nfilm",
        OK + b"Content-Length: 4\r\nContent-Encoding: Identity\r\n\r\nfilm and more",
        OK + b"Transfer-Encoding: Chunked\r\n\r\n0004 ;a=b\r\nfilm\r\n000\r\nChecksum: x\r\n\r\n",
    ],
)
async def test_unusual_answers_pass(fetching, answer):
    """HTTP/1.0 with a length, interim answers, bare line ends, a length said twice, extensions and trailers of chunks."""
    async with HttpServer(raw(answer)) as server:
        assert b"film" == await fetching.fetch(server.url)


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_body_that_only_the_end_of_the_connection_ends_needs_a_checksum(fetching, version):
    """A cut would look the same. With a checksum it passes; a wrong one is retryable, because it may have been a cut."""
    async with HttpServer(raw(b"HTTP/%s 200 OK\r\n\r\nfilm" % version)) as server:
        failure = await fetching.failure(server.url)
        assert (PERMANENT, "INPUT_UNREADABLE") == (failure.kind, failure.reason)
        assert "sha256" in failure.message
        assert b"film" == await fetching.fetch(server.url, sha256=hashlib.sha256(b"film").hexdigest())
        failure = await fetching.failure(server.url, sha256=hashlib.sha256(b"films").hexdigest())
        assert (RETRYABLE, "INPUT_CHECKSUM_MISMATCH") == (failure.kind, failure.reason)


@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, identity"])
async def test_a_compressed_file_is_refused(fetching, coding):
    """Its checksum and its ranges would be of something else."""
    film = Film(content=b"film", headers={"Content-Encoding": coding})
    async with HttpServer(film) as server:
        failure = await fetching.failure(server.url)
    assert (PERMANENT, "INPUT_UNREADABLE") == (failure.kind, failure.reason)
    assert "Content-Encoding" in failure.message


async def test_a_file_over_the_limit_is_refused(fetching):
    """By its length before the body, in chunks while they come; exactly the limit passes."""
    for film in (Film(content=b"films" * 1000), Film(content=b"films" * 1000, chunk_bytes=100)):
        async with HttpServer(film) as server:
            failure = await fetching.failure(server.url, max_bytes=4999)
            assert (PERMANENT, "INPUT_OVER_LIMIT") == (failure.kind, failure.reason)
            assert "4999 bytes (TELECINE_INPUT_MAX_BYTES)" in failure.message
            assert 5000 == len(await fetching.fetch(server.url, max_bytes=5000))


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (endless(CHUNKED, b"10000\r\n" + b"x" * 0x10000 + b"\r\n"), "INPUT_OVER_LIMIT"),
        (endless(OK + b"\r\n", b"x" * 65536), "INPUT_UNREADABLE"),
        (endless(b"HTTP/1.1 ", b"x" * 65536), "INPUT_UNAVAILABLE"),
        (endless(OK, b"X: y\r\n"), "INPUT_UNAVAILABLE"),
        (endless(OK + b"X: ", b"y" * 65536), "INPUT_UNAVAILABLE"),
        (endless(OK, b"X: " + b"y" * 9000 + b"\r\n"), "INPUT_UNAVAILABLE"),
        (endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "INPUT_UNAVAILABLE"),
        (endless(b"", b"HTTP/1.1 103 X\r\nX: " + b"y" * 9000 + b"\r\n\r\n"), "INPUT_UNAVAILABLE"),
        (endless(CHUNKED, b"1" * 65536), "INPUT_UNAVAILABLE"),
        (endless(CHUNKED, b"1\r\nx\r\n" * 1000), "INPUT_UNAVAILABLE"),
        (endless(CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n"), "INPUT_UNAVAILABLE"),
    ],
)
async def test_what_never_ends_is_ended(fetching, server, reason):
    """Bodies, status lines, headers in number and in size, interim answers, chunk sizes, chunks of a byte, trailers."""
    fetching.patience(tries=2)
    async with HttpServer(server) as listening:
        failure = await fetching.failure(listening.url, max_bytes=1 << 20)
    assert reason == failure.reason


@pytest.mark.parametrize("begin", [b"", b"HTTP/1.1 200 OK\r\nX: ", HALF, CHUNKED, CHUNKED + b"4\r\nfilm\r\n"])
async def test_a_server_that_hangs_is_left(fetching, begin):
    """Before its answer, in its head, in its body, between chunks: within the patience of each."""
    fetching.patience(answer=timedelta(seconds=0.1), idle=timedelta(seconds=0.1), tries=2)
    async with HttpServer(hanging(begin)) as server:
        failure = await fetching.failure(server.url)
    assert (RETRYABLE, "INPUT_UNAVAILABLE") == (failure.kind, failure.reason)
    assert "within 0.1 s" in failure.message


async def test_a_head_that_drips_is_left(fetching):
    """A byte now and then keeps it alive for ever, but not longer than a head may take."""

    async def dripping(asked, writer):
        while True:
            writer.write(b"X")
            await writer.drain()
            await asyncio.sleep(0.02)

    fetching.patience(answer=timedelta(seconds=0.3), tries=1)
    async with HttpServer(dripping) as server:
        failure = await fetching.failure(server.url)
    assert "did not answer within 0.3 s" in failure.message


async def until_asked(server: HttpServer) -> None:
    async with asyncio.timeout(10):
        while not server.asked:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    "server",
    [
        hanging(),
        hanging(OK + b"Content-Length: 9\r\n\r\nfilm"),
        endless(CHUNKED, b"4\r\nfilm\r\n"),
        status(503, Retry_After="3600"),
    ],
)
async def test_a_fetch_that_is_stopped_ends_at_once(fetching, server):
    """While it waits for an answer or for a body, while a body comes, and between two tries."""
    async with HttpServer(server) as listening:
        fetch = asyncio.create_task(fetching.fetch(listening.url, max_bytes=1 << 40))
        await until_asked(listening)
        fetching.stop = True
        with pytest.raises(FetchStopped):
            await asyncio.wait_for(fetch, 5)


async def test_an_address_that_never_answers_is_left(fetching):
    """A listener whose queue is full takes no connection: the wait ends with the patience for connecting."""
    with ExitStack() as sockets:
        full, *waiting = [sockets.enter_context(socket.socket()) for _ in range(5)]
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        fetching.patience(connect=timedelta(seconds=0.2), tries=1)
        failure = await fetching.failure(f"http://127.0.0.1:{full.getsockname()[1]}/film.mp4")
    assert "could not be connected to within 0.2 s" in failure.message
