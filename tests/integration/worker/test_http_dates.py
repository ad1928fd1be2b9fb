"""Dates and pauses that servers name: good ones are kept, and bad ones do no harm."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from support.fetching import Fetching
from support.http_server import LATE, Film, HttpServer, send, status
from telecine_worker.failure import FailureKind

FILM = Film(content=b"film")
RETRYABLE = FailureKind.RETRYABLE
# Dates that are too large for what they are made into.
NO_YEAR = "Mon, 1 Jan 99999999999 00:00:00 GMT"
NO_ZONE = "Sun, 22 Nov 2026 12:00:00 +99999999999999999"


@pytest.fixture
def fetching(tmp_path: Path) -> Iterator[Fetching]:
    """Leaves nothing."""
    made = Fetching(directory=tmp_path)
    yield made
    assert [] == made.left()


@pytest.mark.parametrize("after", ["1", lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)])
async def test_a_server_gets_the_pause_it_asks_for(fetching, after):
    """In seconds or as a date: about a second lies between the two requests."""
    times = []

    async def timed(asked, writer):
        times.append(asyncio.get_running_loop().time())
        text = after if isinstance(after, str) else after()
        await (send(writer, "429 X", {"Retry-After": text}) if len(times) == 1 else FILM(asked, writer))

    async with HttpServer(timed) as server:
        assert b"film" == await fetching.fetch(server.url)
    assert 0.9 < times[1] - times[0]


@pytest.mark.parametrize("after", ["61", "9" * 50])
async def test_a_long_pause_is_waited_for_as_long_as_there_is_patience(fetching, after):
    """The attempt lasts that long, so that the queue's few retries are not spent at once; then it is asked once more."""
    fetching.patience(asked_pauses=timedelta(seconds=0.5))
    times = []

    async def timed(asked, writer):
        times.append(asyncio.get_running_loop().time())
        await send(writer, "503 X", {"Retry-After": after, "Content-Length": "0"})

    async with HttpServer(timed) as server:
        failure = await fetching.failure(server.url)
    assert (RETRYABLE, "INPUT_UNAVAILABLE") == (failure.kind, failure.reason)
    assert "try 2 of 5, and wants to be asked later" in failure.message
    assert 2 == len(times)
    assert 0.45 < times[1] - times[0]
    async with HttpServer(status(503, Retry_After=after), FILM) as server:
        assert b"film" == await fetching.fetch(server.url)


@pytest.mark.parametrize("after", ["-5", "soon", "Sun, 22 Nov 1970 10:00:00 GMT", "", "²", NO_YEAR])
async def test_a_pause_that_cannot_be_is_none(fetching, after):
    """Garbage, and a date that is over."""
    async with HttpServer(status(503, Retry_After=after), FILM) as server:
        assert b"film" == await fetching.fetch(server.url)


@pytest.mark.parametrize("date", [NO_YEAR, NO_ZONE])
async def test_a_date_that_cannot_be_says_nothing(fetching, date):
    """On a good answer: the file arrives."""
    for name in ("Date", "Last-Modified"):
        headers = {"Date": LATE, "Last-Modified": "Sun, 22 Nov 2026 10:00:00 GMT", name: date}
        async with HttpServer(Film(content=b"film", headers=headers)) as server:
            assert b"film" == await fetching.fetch(server.url)
