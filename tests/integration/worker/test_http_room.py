"""Where fetched bytes are kept: room is looked at before it is needed, and nothing stays behind."""

from __future__ import annotations

import asyncio
import errno
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fetching import Fetching
from support.http_server import Film, HttpServer, hanging, raw, send
from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.storage import room as room_module
from telecine_worker.storage import scratch as scratch_module
from telecine_worker.storage.fetch_errors import FetchStopped
from telecine_worker.storage.scratch import Scratch

CONTENT = random.Random(1).randbytes(300_000)
RETRYABLE = FailureKind.RETRYABLE


@pytest.fixture
def fetching(tmp_path: Path) -> Iterator[Fetching]:
    """Leaves nothing: no file, and no descriptor of one without a name."""
    made = Fetching(directory=tmp_path)
    yield made
    assert [] == made.left()


@pytest.fixture
def most_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """More than half of what the disk has free, and less than all of it."""
    monkeypatch.setattr(room_module, "RESERVE_BYTES", 0)
    found = os.statvfs(tmp_path)
    return found.f_bavail * found.f_frsize * 6 // 10


async def test_a_file_without_room_is_refused_before_its_body(fetching):
    """More than the disk has, by its length alone; another worker may have the room, and nothing is wrong with this one."""
    huge = raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % 2**59)
    async with HttpServer(huge) as server:
        failure = await fetching.failure(server.url, max_bytes=2**60)
    assert (RETRYABLE, "NO_SPACE", True) == (failure.kind, failure.reason, failure.of_input)
    assert 1 == server.connection_count


async def test_a_disk_that_fills_up_ends_the_fetch_before_it_is_full(fetching, monkeypatch):
    """Somebody else takes the space while a body without a length comes: it ends with the reserve untouched."""

    async def filling(asked, writer):
        chunk = b"%x\r\n%s\r\n" % (len(CONTENT), CONTENT)
        await send(writer, "200 OK", {"Transfer-Encoding": "chunked"}, chunk)
        await fetching.until_kept(len(CONTENT))
        monkeypatch.setattr(room_module, "RESERVE_BYTES", 2**60)
        monkeypatch.setattr(room_module, "RESERVE_SHARE", 1)
        writer.write(chunk + b"0\r\n\r\n")

    monkeypatch.setattr(scratch_module, "CHECK_EVERY_BYTES", 10_000)
    async with HttpServer(filling) as server:
        failure = await fetching.failure(server.url)
    assert (RETRYABLE, "NO_SPACE") == (failure.kind, failure.reason)


async def test_without_nameless_files_a_name_is_given_up_at_once(fetching, monkeypatch):
    """Some file systems have none: nothing stays behind there, either."""
    monkeypatch.setattr(scratch_module.os, "O_TMPFILE", 0o20000000)
    async with HttpServer(Film(content=CONTENT)) as server:
        assert CONTENT == await fetching.fetch(server.url)


async def test_a_work_directory_that_is_gone_is_no_fault_of_the_input(fetching):
    """Another worker may have one."""
    fetching.directory = fetching.directory / "gone"
    async with HttpServer(Film(content=CONTENT)) as server:
        failure = await fetching.failure(server.url)
    fetching.directory = fetching.directory.parent
    assert (RETRYABLE, "IO_ERROR") == (failure.kind, failure.reason)


async def test_of_two_files_that_do_not_fit_together_one_goes_on(fetching, most_of_it):
    """Each has room by itself: the second one is refused before its body, and the first one is left alone."""
    huge = hanging(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nfilm" % most_of_it)
    async with HttpServer(huge) as first, HttpServer(huge) as second:
        fetch = asyncio.create_task(fetching.fetch(first.url, max_bytes=2**60))
        await fetching.until_kept(4)
        failure = await fetching.failure(second.url, max_bytes=2**60)
        assert (RETRYABLE, "NO_SPACE", False) == (failure.kind, failure.reason, failure.of_input)
        assert not fetch.done()
        fetching.stop = True
        with pytest.raises(FetchStopped):
            await fetch


def test_room_is_given_back(tmp_path, most_of_it):
    """By what starts over and by what ends; other directories count by themselves."""

    def refused(scratch: Scratch) -> bool:
        try:
            scratch.expect(most_of_it)
        except AttemptFailed as error:
            return error.failure.reason == "NO_SPACE"
        scratch.restart()
        return False

    (tmp_path / "other").mkdir()
    with Scratch(tmp_path, "input b", hashing=False) as second:
        with (
            Scratch(tmp_path, "input a", hashing=False) as first,
            Scratch(tmp_path / "other", "c", hashing=False) as other,
        ):
            first.expect(most_of_it)
            assert [True, False] == [refused(second), refused(other)]
            first.restart()
            assert not refused(second)
            first.expect(most_of_it)
            assert refused(second)
        assert not refused(second)


def test_what_is_written_is_expected_no_more(tmp_path, monkeypatch):
    """It is not free any more, and would count twice."""
    # A disk that somebody empties as fast as we write.
    free = os.statvfs_result((1, 1, 10**9, 2 * len(CONTENT), 2 * len(CONTENT), 0, 0, 0, 0, 255))
    monkeypatch.setattr(room_module.os, "fstatvfs", lambda _: free)
    monkeypatch.setattr(room_module, "RESERVE_BYTES", 0)
    with Scratch(tmp_path, "input a", hashing=False) as first, Scratch(tmp_path, "input b", hashing=False) as second:
        first.expect(2 * len(CONTENT))
        with pytest.raises(AttemptFailed, match="NO_SPACE"):
            second.expect(len(CONTENT))
        first.write(CONTENT)
        second.expect(len(CONTENT))


def test_room_is_looked_at_again_for_all_that_is_to_come(tmp_path, most_of_it, monkeypatch):
    """Somebody else takes the space: the file ends while most of it is still to come, and lets the next one go on."""
    monkeypatch.setattr(scratch_module, "CHECK_EVERY_BYTES", 1000)
    with Scratch(tmp_path, "input a", hashing=False) as first, Scratch(tmp_path, "input b", hashing=False) as second:
        first.expect(most_of_it)
        second.expect(1000)
        monkeypatch.setattr(room_module, "RESERVE_BYTES", most_of_it)
        monkeypatch.setattr(room_module, "RESERVE_SHARE", 1)
        with pytest.raises(AttemptFailed, match="NO_SPACE"):
            first.write(b"x" * 1000)
        second.write(b"x" * 1000)


async def test_a_file_that_could_not_be_read_is_not_fetched(fetching, monkeypatch):
    """What reads it is opened first: no request is made in vain, and the failure is the disk's."""
    monkeypatch.setattr(scratch_module, "OWN_DESCRIPTORS", str(fetching.directory))
    async with HttpServer(Film(content=CONTENT)) as server:
        failure = await fetching.failure(server.url)
    assert (RETRYABLE, "IO_ERROR") == (failure.kind, failure.reason)
    assert 0 == server.connection_count


async def test_a_disk_that_does_not_say_what_it_has_is_no_defect_of_ours(fetching, monkeypatch):
    """As a network's file system does that went away: another worker may have a better one."""

    def fstatvfs(fd: int) -> os.statvfs_result:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(room_module.os, "fstatvfs", fstatvfs)
    async with HttpServer(Film(content=CONTENT)) as server:
        failure = await fetching.failure(server.url)
    assert (RETRYABLE, "IO_ERROR") == (failure.kind, failure.reason)
    assert "Stale file handle" in failure.message
