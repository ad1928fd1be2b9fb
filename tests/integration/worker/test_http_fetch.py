"""Fetching over real connections: what arrives is whole, whatever happens on the way."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from support.fault_proxy import Fault, FaultProxy, Kind
from support.fetching import Fetching
from support.http_server import LATE, Film, HttpServer, hanging
from telecine_worker.failure import FailureKind

CONTENT = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(310_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OLD = {"Last-Modified": "Sun, 22 Nov 2026 10:00:00 GMT", "Date": LATE}
PERMANENT, RETRYABLE = FailureKind.PERMANENT, FailureKind.RETRYABLE


@pytest.fixture
def fetching(tmp_path: Path) -> AsyncIterator[Fetching]:
    """Leaves nothing: no file, and no descriptor of one without a name."""
    made = Fetching(directory=tmp_path)
    yield made
    assert [] == made.left()


async def through(fetching: Fetching, film: Film, *faults: Fault, **request: str) -> tuple[bytes, HttpServer]:
    """Fetch *film* through a proxy with *faults*; what arrived, and the server."""
    async with HttpServer(film) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        proxy.faults.extend(faults)
        return await fetching.fetch(f"http://127.0.0.1:{proxy.port}/film.mp4?signature=1", **request), server


def ranges(server: HttpServer) -> list[str | None]:
    return [asked.headers.get("range") for asked in server.asked]


FILMS = [
    Film(content=CONTENT),
    *(Film(content=CONTENT, chunk_bytes=size) for size in (7000, 64)),
    Film(content=b""),
]


@pytest.mark.parametrize("film", FILMS)
async def test_a_file_arrives(fetching, film):
    """With a length or in chunks, large and small ones, and even an empty one; asked for once, as it is, without a range."""
    async with HttpServer(film) as server:
        assert film.content == await fetching.fetch(
            f"{server.url}?a=1", headers={"Authorization": "Bearer x", "user-agent": "me"}
        )
    (asked,) = server.asked
    assert "/film.mp4?a=1" == asked.path
    assert {
        "host": f"127.0.0.1:{server.port}", "accept-encoding": "identity", "connection": "close", "accept": "*/*",
        "user-agent": "me", "authorization": "Bearer x",
    } == asked.headers  # fmt: skip


@pytest.mark.parametrize("at", [0, 20, 160, 100_000, 299_999])
@pytest.mark.parametrize("kind", [Kind.CUT, Kind.RESET])
async def test_a_broken_connection_is_gone_on_from(fetching, kind, at):
    """Cut or reset before the answer, in its head, in the body, one byte before the end: the sum is right."""
    arrived, server = await through(fetching, Film(content=CONTENT), Fault(kind, at), sha256=SHA256)
    assert CONTENT == arrived
    first, second = ranges(server)[0], ranges(server)[-1]
    assert first is None
    if at == 100_000 and kind is Kind.CUT:
        # A reset takes along what was on its way.
        assert second is not None
        assert '"1"' == server.asked[-1].headers["if-range"]
        assert int(second.removeprefix("bytes=").removesuffix("-")) > 90_000


async def test_many_breaks_are_gone_on_from(fetching):
    """Each time from where it broke off: four breaks, and not a byte twice but what was lost on its way."""
    faults = [Fault(Kind.CUT, 60_000)] * 4
    arrived, server = await through(fetching, Film(content=CONTENT), *faults, sha256=SHA256)
    assert CONTENT == arrived
    starts = [int((found or "bytes=0-").removeprefix("bytes=").removesuffix("-")) for found in ranges(server)]
    assert sorted(set(starts)) == starts
    assert 5 == len(starts)


@pytest.mark.parametrize(
    ("film", "goes_on"),
    [
        (Film(content=CONTENT, headers=OLD), True),
        (Film(content=CONTENT, headers={"ETag": 'W/"1"'}), False),
        (Film(content=CONTENT, headers={}), False),
        (Film(content=CONTENT, headers={"Last-Modified": LATE, "Date": LATE}), False),
        (Film(content=CONTENT, chunk_bytes=5000), True),
        (Film(content=CONTENT, chunk_bytes=5000, headers={}), False),
    ],
)
async def test_only_the_same_version_is_gone_on_with(fetching, film, goes_on):
    """A strong tag or an old date: a range. A weak tag, a fresh date or nothing: from the beginning."""
    arrived, server = await through(fetching, film, Fault(Kind.CUT, 100_000))
    assert CONTENT == arrived
    assert goes_on is (ranges(server)[1] is not None)


async def test_a_server_that_ignores_ranges_starts_over(fetching):
    """It sends the whole file with 200: taken from the beginning, not put behind what was there."""
    arrived, server = await through(fetching, Film(content=CONTENT, ranges=False), Fault(Kind.CUT, 100_000))
    assert CONTENT == arrived
    assert 2 == len(server.asked)
    assert ranges(server)[1] is not None


async def changing(fetching: Fetching, *films: Film, cut: int = 100_000) -> bytes:
    """Fetch from a server that changes its file after each request; every connection but the last is cut."""
    async with HttpServer(*films) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        proxy.faults.extend([Fault(Kind.CUT, cut)] * (len(films) - 1))
        return await fetching.fetch(f"http://127.0.0.1:{proxy.port}/film.mp4")


async def test_a_file_that_changed_is_fetched_anew(fetching):
    """Once: what arrives is the new version whole."""
    new = Film(content=OTHER, headers={"ETag": '"2"'})
    assert OTHER == await changing(fetching, Film(content=CONTENT), new)


async def test_a_new_version_is_gone_on_with_too(fetching):
    """A break after the change goes on with the new version."""
    new = Film(content=OTHER, headers={"ETag": '"2"'})
    assert OTHER == await changing(fetching, Film(content=CONTENT), new, new)


async def test_a_file_that_changes_again_and_again_is_given_up(fetching):
    """Retryable: it may be whole later."""
    films = [Film(content=CONTENT, headers={"ETag": f'"{number}"'}) for number in range(3)]
    async with HttpServer(*films) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        proxy.fault = Fault(Kind.CUT, 100_000)
        failure = await fetching.failure(f"http://127.0.0.1:{proxy.port}/film.mp4")
    assert (RETRYABLE, "INPUT_CHANGED") == (failure.kind, failure.reason)


async def test_a_wrong_checksum_is_final(fetching):
    """Named with both sums; the file was whole, and will be the same again."""
    async with HttpServer(Film(content=OTHER)) as server:
        failure = await fetching.failure(server.url, sha256=SHA256)
    assert (PERMANENT, "INPUT_CHECKSUM_MISMATCH") == (failure.kind, failure.reason)
    assert hashlib.sha256(OTHER).hexdigest() in failure.message


@pytest.mark.parametrize("fault", [Fault(Kind.HALF, 100_000), Fault(Kind.BLACKHOLE), Fault(Kind.DROP)])
async def test_a_connection_that_dies_in_silence_is_replaced(fetching, fault):
    """Nothing comes any more, nothing ever came, the answer was lost: the next connection brings it."""
    fetching.patience(answer=timedelta(seconds=0.3), idle=timedelta(seconds=0.3))
    arrived, _ = await through(fetching, Film(content=CONTENT), fault, sha256=SHA256)
    assert CONTENT == arrived


async def test_a_late_answer_is_waited_for(fetching):
    """A delay within the patience costs no try."""
    arrived, server = await through(fetching, Film(content=CONTENT), Fault(Kind.DELAY, 0.3))
    assert (CONTENT, 1) == (arrived, len(server.asked))


async def test_a_server_that_drips_is_left_and_gone_on_from(fetching):
    """Bytes come all the time, but too few in a window: the next connection goes on from there."""
    fetching.patience(window=timedelta(seconds=0.4), least_bytes_per_window=50_000)
    arrived, server = await through(fetching, Film(content=CONTENT), Fault(Kind.SLOW, 5_000))
    assert CONTENT == arrived
    assert 2 == len(server.asked)


async def test_a_server_that_stays_away_is_a_retryable_failure(fetching):
    """After so many tries; the failure says how many, what was last, and where, without the query."""
    async with HttpServer(hanging()) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        proxy.fault = Fault(Kind.RESET, 0)
        failure = await fetching.failure(f"http://127.0.0.1:{proxy.port}/secret?hunter2")
        assert 5 == proxy.connection_count
    assert (RETRYABLE, "INPUT_UNAVAILABLE") == (failure.kind, failure.reason)
    assert failure.message.startswith(f"input main (http://127.0.0.1:{proxy.port}) ")
    assert failure.message.endswith("; try 5 of 5")
    assert "hunter2" not in failure.message


async def test_nobody_listens(fetching):
    """A refused connection may be served later."""
    async with HttpServer(hanging()) as server:
        pass
    failure = await fetching.failure(server.url)
    assert (RETRYABLE, "INPUT_UNAVAILABLE") == (failure.kind, failure.reason)
    assert "Connection refused" in failure.message


async def test_tries_that_bring_much_do_not_count(fetching):
    """A large file over a bad line: more breaks than tries, because each brought something new."""
    fetching.patience(enough_bytes=10_000)
    faults = [Fault(Kind.CUT, 30_000)] * 9
    arrived, server = await through(fetching, Film(content=CONTENT), *faults, sha256=SHA256)
    assert CONTENT == arrived
    assert 10 == len(server.asked)


async def test_tries_that_bring_the_same_again_do_count(fetching):
    """Without a validator each try begins anew: that is no progress, and ends."""
    fetching.patience(enough_bytes=10_000)
    async with HttpServer(Film(content=CONTENT, headers={})) as server, FaultProxy("127.0.0.1", server.port) as proxy:
        proxy.fault = Fault(Kind.CUT, 100_000)
        failure = await fetching.failure(f"http://127.0.0.1:{proxy.port}/film.mp4")
    assert "INPUT_UNAVAILABLE" == failure.reason
    assert 6 >= len(server.asked)
