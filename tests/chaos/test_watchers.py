"""What judges watchers: each rule finds what breaks it."""

from __future__ import annotations

import asyncio
import time

import pytest

from chaos.watchers.watcher import Seen
from chaos.watchers.weather import Weather
from support.listener import Listener


def seen(*snapshots: tuple[int, bool]) -> Seen:
    """A watcher that got these: revision, and whether it was the end."""
    watcher = Seen("job")
    for revision, final in snapshots:
        watcher.take(revision, [(revision, "JOB_STATE_RUNNING")], final=final)
    return watcher


def test_rising_revisions_and_one_end_are_right() -> None:
    """The end may have a revision that is known: it is told whatever a watcher says it has seen."""
    assert ([], 1) == (seen((1, False), (5, False), (9, True)).wrong, seen((1, False), (9, True)).finals)
    assert [] == seen((9, False), (9, True)).wrong


@pytest.mark.parametrize(
    ("snapshots", "wrong"),
    [
        ([(5, False), (5, False)], "job: revision 5 came after 5"),
        ([(5, False), (4, True)], "job: revision 4 came after 5"),
        ([(5, True), (6, False)], "job: a snapshot came after the end"),
    ],
)
def test_what_is_not_newer_is_wrong(snapshots: list[tuple[int, bool]], wrong: str) -> None:
    """Whatever does not rise, and whatever follows the end."""
    assert [wrong] == seen(*snapshots).wrong


def test_a_second_end_is_counted() -> None:
    """The scenario wants exactly one."""
    assert 2 == seen((5, True), (6, True)).finals


class Silence(Listener):
    """A server that says one thing at once."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"word")
        await reader.read()


async def read_on(reader: asyncio.StreamReader) -> None:
    """To the end, if it has one."""
    while await reader.read(4):
        pass


async def test_weather_breaks_connections_and_says_when() -> None:
    """Sooner or later a stall ends with a reset; it is among the disturbances, and the time before it is not."""
    began = time.time()
    async with Silence() as server:
        weather = Weather([f"{server.host}:{server.port}"], worst_seconds=0.2, fair_seconds=0.05, seed=1)
        async with weather, asyncio.timeout(20):
            host, port = weather.addresses[0].rsplit(":", 1)
            reader, writer = await asyncio.open_connection(host, int(port))
            with pytest.raises(ConnectionResetError):
                await read_on(reader)
            writer.close()
    assert 0 < weather.breaks
    assert weather.disturbed(began, time.time())
    assert not weather.disturbed(0, began)
