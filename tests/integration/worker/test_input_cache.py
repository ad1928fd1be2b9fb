"""Inputs are fetched once for several jobs: of one tenant, of one version, and within bounds."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.fetching import HERE, network
from support.http_server import Film, HttpServer, status
from support.s3_server import S3, stores_in
from telecine_worker.failure import AttemptFailed
from telecine_worker.storage import room as room_module
from telecine_worker.storage.fetch_errors import FetchStopped
from telecine_worker.storage.input_cache import InputCache, Wanted
from telecine_worker.storage.locations import FileRoots
from telecine_worker.storage.object_store import Bucket, ObjectStores
from telecine_worker.storage.sources import Intake, Source, open_source

CONTENT = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where entries are."""
    path = tmp_path / "cache"
    path.mkdir()
    return path


@pytest.fixture
def cache(folder: Path) -> InputCache:
    """Has room for three of them."""
    return InputCache(folder, 1_000_000)


def never() -> bool:
    """Nobody stops it."""
    return False


def opened(cache: InputCache, directory: Path, uri: str, stores: ObjectStores | None = None, **wanted: Any) -> Source:
    """The input, as a job of the tenant t opens it."""
    intake = Intake(
        roots=FileRoots([]), network=network(*HERE), stores=stores or ObjectStores(), directory=directory,
        max_bytes=1 << 30, cache=cache,
    )  # fmt: skip
    fields: dict[str, Any] = {"tenant": "t", "name": "main", "headers": {}, "sha256": "", "stopped": never}
    return open_source(intake, uri=uri, **fields | wanted)


def content(source: Source) -> bytes:
    """Of an opened input, which is closed."""
    with source:
        return os.pread(source.fd, source.size_bytes + 1, 0)


@pytest.fixture
def fetch(cache: InputCache, tmp_path: Path) -> Callable[..., Any]:
    """Opens an input in a thread and reads it."""

    async def fetching(uri: str, **wanted: Any) -> bytes:
        async with asyncio.timeout(20):
            return content(await asyncio.to_thread(opened, cache, tmp_path, uri, **wanted))

    return fetching


async def test_what_was_found_is_told(folder, tmp_path):
    """By its version, or by its checksum: the bytes that were here, None where it was fetched; of one that failed, nothing."""
    looks: list[int | None] = []
    told = InputCache(folder, 1_000_000, on_look=looks.append)
    film = Film(content=CONTENT)
    async with HttpServer(film, film, film, status(403)) as server:
        for sha256 in ("", "", SHA256, SHA256):
            content(await asyncio.to_thread(opened, told, tmp_path, server.url, sha256=sha256))
        with pytest.raises(AttemptFailed):
            await asyncio.to_thread(opened, told, tmp_path, f"{server.url}/other")
    assert [None, len(CONTENT), None, len(CONTENT)] == looks
    assert 2 * len(CONTENT) == told.kept_bytes
    told.empty()
    assert 0 == told.kept_bytes


async def test_the_same_version_is_not_sent_twice(fetch, folder):
    """The server is asked which version there is, and its body left unread; another version is fetched."""
    film, other = Film(content=CONTENT), Film(content=b"other", headers={"ETag": '"2"'})
    async with HttpServer(film, film, other) as server:
        assert [CONTENT, CONTENT, b"other"] == [await fetch(server.url) for _ in range(3)]
        assert 3 == server.connection_count
    assert 2 == len(list(folder.iterdir()))


async def test_what_a_checksum_names_is_not_asked_for_again(fetch):
    """Wherever it is said to be."""
    async with HttpServer(Film(content=CONTENT)) as server:
        for path in ("a", "b?signature=1", "b?signature=2"):
            assert CONTENT == await fetch(f"{server.url}/{path}", sha256=SHA256)
        assert 1 == server.connection_count


@pytest.mark.parametrize(
    "other",
    [{"tenant": "u"}, {"headers": {"Authorization": "b"}}, {"query": "?b"}, {"tenant": "u", "sha256": SHA256}],
    ids=["tenant", "headers", "query", "tenant with the checksum"],
)
async def test_what_another_may_not_read_is_not_given(fetch, other):
    """Another tenant, other headers, another query: the server decides each time, whatever was fetched before."""
    query = other.pop("query", "")
    async with HttpServer(Film(content=CONTENT), status(403)) as server:
        first = {"headers": {"Authorization": "a"}, "sha256": other.get("sha256", "")}
        assert CONTENT == await fetch(f"{server.url}/", **first)
        with pytest.raises(AttemptFailed, match="INPUT_DENIED"):
            await fetch(f"{server.url}/{query}", **first | other)


async def test_a_tag_means_something_for_one_request_alone(fetch):
    """Another query or another header may name another file of the same size, whose tag is the same by chance."""
    async with HttpServer(*(Film(content=content) for content in (b"a", b"b", b"c"))) as server:
        assert b"a" == await fetch(server.url)
        assert b"b" == await fetch(server.url, headers={"Accept-Language": "de"})
        assert b"c" == await fetch(f"{server.url}?part=2")
        assert b"b" == await fetch(server.url, headers={"Accept-Language": "de"})


@pytest.mark.parametrize("headers", [{}, {"ETag": 'W/"1"'}, {"Last-Modified": "Sun, 22 Nov 2026 12:00:00 GMT"}])
async def test_a_version_that_is_not_sure_is_not_kept(fetch, folder, headers):
    """Without a strong tag two versions may look the same."""
    async with HttpServer(Film(content=CONTENT, headers=headers)) as server:
        assert CONTENT == await fetch(server.url)
    assert [] == list(folder.iterdir())


async def test_two_jobs_at_once_fetch_once(fetch):
    """The second one waits for the first one, and finds what it fetched."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(asked: Any, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await go_on.wait()
        await Film(content=CONTENT)(asked, writer)

    async with HttpServer(slow, Film(content=b"never")) as server:
        first = asyncio.create_task(fetch(server.url, sha256=SHA256))
        await begun.wait()
        second = asyncio.create_task(fetch(server.url, sha256=SHA256))
        other = asyncio.create_task(fetch(server.url, sha256=hashlib.sha256(b"never").hexdigest()))
        # Another input waits for nobody.
        assert b"never" == await other
        go_on.set()
        assert [CONTENT, CONTENT] == [await first, await second]
        assert 2 == server.connection_count


def test_a_stop_ends_the_waiting(cache):
    """For a fetch of somebody else that hangs; and its end gives the turn to the next one."""
    wanted = Wanted(tenant="t", uri="s3://b/x", headers={}, sha256="")
    inside, leave = threading.Event(), threading.Event()

    def hang() -> None:
        with cache.shelf(wanted, never):
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hang)
    thread.start()
    inside.wait(10)
    with pytest.raises(FetchStopped), cache.shelf(wanted, lambda: True):
        pass
    leave.set()
    with cache.shelf(wanted, never):
        pass
    thread.join()
    assert {} == cache._turns


async def test_the_least_lately_used_goes_first(fetch, folder):
    """Within its bound; an input larger than that is not kept at all, and pushes nothing out."""
    films = [Film(content=random.Random(seed).randbytes(300_000), headers={"ETag": f'"{seed}"'}) for seed in range(4)]
    huge = Film(content=bytes(1_000_001))

    async def by_path(asked: Any, writer: asyncio.StreamWriter) -> None:
        name = asked.path.rpartition("/")[2]
        await (huge if name == "huge" else films[int(name)])(asked, writer)

    async with HttpServer(by_path) as server:
        for path in ("0", "1", "2", "0", "3", "huge"):
            await fetch(f"{server.url}/{path}")
    kept = [hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()]
    assert {hashlib.sha256(films[number].content).hexdigest() for number in (0, 2, 3)} == set(kept)
    assert 900_000 == sum(path.stat().st_size for path in folder.iterdir())


async def test_an_entry_that_was_touched_is_not_trusted(fetch, folder):
    """Neither one that was written to nor one that is gone: it is fetched again."""
    async with HttpServer(Film(content=CONTENT)) as server:
        await fetch(server.url, sha256=SHA256)
        [entry] = folder.iterdir()
        assert 0o400 == entry.stat().st_mode & 0o777
        entry.chmod(0o600)
        with entry.open("r+b") as file:
            file.write(b"x")
        assert CONTENT == await fetch(server.url, sha256=SHA256)
        [entry] = folder.iterdir()
        entry.unlink()
        assert CONTENT == await fetch(server.url, sha256=SHA256)
        assert 3 == server.connection_count


async def test_who_reads_an_entry_goes_on_when_it_is_removed(cache, tmp_path, folder):
    """Only its name is gone."""
    async with HttpServer(Film(content=CONTENT)) as server:
        await asyncio.to_thread(lambda: content(opened(cache, tmp_path, server.url)))
        source = await asyncio.to_thread(opened, cache, tmp_path, server.url)
    assert [True, False] == [cache.empty(), cache.empty()]
    assert [] == list(folder.iterdir())
    assert CONTENT == content(source)


async def test_what_is_kept_makes_room_for_what_is_wanted(fetch, folder, monkeypatch):
    """A fetch for which there is no room empties the cache, and tries once more."""
    film = Film(content=CONTENT)
    async with HttpServer(film) as server:
        await fetch(f"{server.url}/a")
        # So much has to stay free that an entry is too much.
        found = os.statvfs(folder)

        def statvfs(fd: int) -> os.statvfs_result:
            free = 0 if any(folder.iterdir()) else found.f_bavail
            return os.statvfs_result((*found[:4], free, *found[5:]))

        monkeypatch.setattr(room_module.os, "fstatvfs", statvfs)
        assert CONTENT == await fetch(f"{server.url}/b")
    assert 1 == len(list(folder.iterdir()))


async def test_without_a_size_nothing_is_kept(tmp_path, folder):
    """0 bytes: each job fetches for itself."""
    none = InputCache(folder, 0)
    async with HttpServer(Film(content=CONTENT)) as server:
        for _ in range(2):
            assert CONTENT == content(await asyncio.to_thread(opened, none, tmp_path, server.url, sha256=SHA256))
        assert 2 == server.connection_count
    assert [] == list(folder.iterdir())


async def test_a_file_system_without_nameless_files_keeps_nothing(fetch, folder, monkeypatch):
    """There is nothing to give a name to; the job has its input all the same."""
    monkeypatch.setattr("telecine_worker.storage.scratch.os.O_TMPFILE", 0o20000000)
    async with HttpServer(Film(content=CONTENT)) as server:
        assert CONTENT == await fetch(server.url)
    assert [] == list(folder.iterdir())


def test_objects_are_kept_by_their_version(store_server, cache, tmp_path, folder, monkeypatch):
    """One that is the same is not read again, one that was replaced is; one outside the roots is refused, kept or not."""
    host, port, client = store_server
    s3 = S3(host=host, port=port, client=client)
    client.create_bucket(Bucket=s3.bucket)
    s3.put("film", CONTENT)
    reads: list[int] = []
    begin_read = Bucket.begin_read
    monkeypatch.setattr(Bucket, "begin_read", lambda *args: reads.append(1) or begin_read(*args))
    with stores_in(s3) as stores:
        for _ in range(2):
            assert CONTENT == content(opened(cache, tmp_path, s3.uri("film"), stores))
        assert [1] == reads
        s3.put("film", b"other")
        assert b"other" == content(opened(cache, tmp_path, s3.uri("film"), stores))
    with stores_in(s3, roots=()) as nothing, pytest.raises(AttemptFailed, match="PATH_NOT_ALLOWED"):
        opened(cache, tmp_path, s3.uri("film"), nothing)
    assert 2 == len(list(folder.iterdir()))
