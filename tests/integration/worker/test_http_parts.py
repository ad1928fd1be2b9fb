"""A file that comes in parts: only parts of one version of it, from one place, are put together."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from support.fault_proxy import Fault, FaultProxy, Kind
from support.fetching import Fetching
from support.http_server import Answering, Film, HttpServer, raw, send, status
from telecine_worker.failure import FailureKind

CONTENT = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(310_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CUT = raw(b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 300000\r\n\r\n' + CONTENT[:100_000])


@pytest.fixture
def fetching(tmp_path: Path) -> Iterator[Fetching]:
    """Leaves nothing."""
    made = Fetching(directory=tmp_path)
    yield made
    assert [] == made.left()


def ranges(server: HttpServer) -> list[str | None]:
    return [asked.headers.get("range") for asked in server.asked]


def partial(body: bytes, **headers: str) -> Answering:
    """A 206 that says what it likes."""

    async def answering(asked, writer):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if named.pop("chunked", None) is None:
            await send(writer, "206 Partial", {"Content-Length": str(len(body)), **named}, body)
        else:
            chunked = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            await send(writer, "206 Partial", {"Transfer-Encoding": "chunked", **named}, chunked)

    return answering


@pytest.mark.parametrize(
    "part",
    [
        partial(OTHER[:200_000], Content_Range="bytes 100000-299999/300000", ETag='"2"'),
        partial(OTHER[:200_000], Content_Range="bytes 100000-299999/300000"),
        partial(OTHER[:300_000], Content_Range="bytes 0-299999/300000", ETag='"1"'),
        partial(OTHER[:200_000], Content_Range="bytes 100000-299999/310000", ETag='"1"'),
        partial(OTHER[:200_000], Content_Range="bytes 100001-299999/300000", ETag='"1"'),
        partial(OTHER[:200_000], Content_Range="bytes 100000-299998/300000", ETag='"1"'),
        partial(OTHER[:200_000], ETag='"1"'),
        partial(OTHER[:200_000], Content_Range="bytes 100000-199999/300000", ETag='"1"', chunked=""),
        status(416, Content_Range="bytes */300000"),
    ],
)
async def test_a_part_that_does_not_fit_is_thrown_away(fetching, part):
    """Another tag or none, another begin, end or total, no range, too much, a refusal: begun again, without ranges."""
    async with HttpServer(CUT, part, Film(content=CONTENT)) as server:
        assert CONTENT == await fetching.fetch(server.url)
    assert [None, "bytes=100000-", None] == ranges(server)


async def test_parts_that_make_no_whole_are_found_by_the_checksum(fetching):
    """A server whose tag stays the same while the file changes: with a checksum it is fetched anew, at once."""
    lying = [Film(content=OTHER[:300_000]), Film(content=CONTENT)]
    async with HttpServer(*lying) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        proxy.faults.append(Fault(Kind.CUT, 100_000))
        assert CONTENT == await fetching.fetch(f"http://127.0.0.1:{proxy.port}/film.mp4", sha256=SHA256)
    assert 3 == len(server.asked)


def site(pages: Mapping[str, list[Answering]]) -> Answering:
    """Answers by the path, without its query: each time with the next of that page's answers."""

    async def answering(asked, writer):
        await pages[asked.path.partition("?")[0]].pop(0)(asked, writer)

    return answering


@pytest.mark.parametrize("elsewhere", ["/v2.mp4", "{other}/v1.mp4"])
async def test_parts_from_two_places_are_not_joined(fetching, elsewhere):
    """A redirect leads to another path or origin the second time, where another file has the same tag and size: what was
    there is forgotten, though the server would go on.
    """
    new = Film(content=OTHER[:300_000])
    async with HttpServer(new) as other:
        again = status(302, Location=elsewhere.format(other=other.url.removesuffix("/film.mp4")))
        pages = {"/film.mp4": [status(302, Location="/v1.mp4"), again, again], "/v1.mp4": [CUT], "/v2.mp4": [new, new]}
        async with HttpServer(site(pages)) as server:
            assert new.content == await fetching.fetch(server.url)
    got = [asked for asked in (*server.asked, *other.asked) if asked.path != "/film.mp4"]
    assert [None, "bytes=100000-", None] == [asked.headers.get("range") for asked in got]


async def test_another_query_is_no_other_place(fetching):
    """Signatures change with every redirect: gone on with."""
    redirects = [status(302, Location=f"/v1.mp4?signature={number}") for number in range(2)]
    pages = {"/film.mp4": redirects, "/v1.mp4": [CUT, Film(content=CONTENT)]}
    async with HttpServer(site(pages)) as server:
        assert CONTENT == await fetching.fetch(server.url)
    assert [None, "bytes=100000-"] == ranges(server)[1::2]


def in_parts(size: int) -> Answering:
    """Answers a request for the rest with so many bytes of it."""

    async def answering(asked, writer):
        begin = int(re.findall("[0-9]+", asked.headers["range"])[0])
        part = CONTENT[begin : begin + size]
        found = f"bytes {begin}-{begin + len(part) - 1}/{len(CONTENT)}"
        await send(writer, "206 X", {"ETag": '"1"', "Content-Range": found, "Content-Length": str(len(part))}, part)

    return answering


async def test_parts_that_are_shorter_than_asked_are_no_failures(fetching):
    """A server that sends at most so much at once is asked on, more often than there are tries."""
    fetching.patience(tries=2, least_part_bytes=20_000)
    async with HttpServer(CUT, in_parts(20_000)) as server:
        assert CONTENT == await fetching.fetch(server.url, sha256=SHA256)
    assert 11 == len(server.asked)
    assert "bytes=280000-" == ranges(server)[-1]


async def test_parts_of_next_to_nothing_are_failures(fetching):
    """Or a server could keep a worker busy for ever."""
    async with HttpServer(CUT, in_parts(1000)) as server:
        failure = await fetching.failure(server.url)
    assert (FailureKind.RETRYABLE, "INPUT_UNAVAILABLE") == (failure.kind, failure.reason)
    assert 5 == len(server.asked)


def chunked(size: int, content: bytes = CONTENT) -> Answering:
    """Answers with *size* bytes of it in one chunk, and never says that this was all."""
    head = b'HTTP/1.1 200 OK\r\nETag: "1"\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n' % size
    return raw(head + content[:size] + b"\r\n")


async def test_chunks_that_were_cut_before_their_end_are_all_there(fetching):
    """The server has nothing more of the same version, and says so: nothing is fetched twice."""
    end = status(416, Content_Range="bytes */300000", ETag='"1"')
    async with HttpServer(chunked(300_000), end) as server:
        assert CONTENT == await fetching.fetch(server.url, sha256=SHA256)
    assert [None, "bytes=300000-"] == ranges(server)


@pytest.mark.parametrize(
    ("first", "end", "sha256"),
    [
        (chunked(300_000), status(416, Content_Range="bytes */300000", ETag='"2"'), ""),
        (chunked(300_000), status(416, Content_Range="bytes */300000"), ""),
        (chunked(300_000), status(416, Content_Range="bytes */300001", ETag='"1"'), ""),
        (chunked(300_000), status(416, ETag='"1"'), ""),
        (chunked(200_000), status(416, Content_Range="bytes */300000", ETag='"1"'), ""),
        (CUT, status(416, Content_Range="bytes */100000", ETag='"1"'), ""),
        (chunked(300_000, OTHER), status(416, Content_Range="bytes */300000", ETag='"1"'), SHA256),
    ],
)
async def test_an_end_that_does_not_fit_is_none(fetching, first, end, sha256):
    """Another tag or none, another size or none, a size that was said otherwise before, another checksum: begun again."""
    async with HttpServer(first, end, Film(content=CONTENT)) as server:
        assert CONTENT == await fetching.fetch(server.url, sha256=sha256)
    assert 3 == len(server.asked)
    assert None is ranges(server)[-1]


async def test_an_end_that_another_place_tells_is_none(fetching):
    """The tag and the size are those of another file there."""
    new = Film(content=OTHER[:300_000])
    redirects = [status(302, Location=f"/v{number}.mp4") for number in (1, 2, 2)]
    end = status(416, Content_Range="bytes */300000", ETag='"1"')
    pages = {"/film.mp4": redirects, "/v1.mp4": [chunked(300_000)], "/v2.mp4": [end, new]}
    async with HttpServer(site(pages)) as server:
        assert new.content == await fetching.fetch(server.url)
