"""Inputs from a real S3 server: whole and of one version, or a failure that says what is wrong."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from support.fault_proxy import Fault, FaultProxy, Kind
from support.fetching import QUICK, Fetching, network
from support.http_server import Asked, HttpServer, send
from support.s3_server import KEY, S3, SECRET, stores_in
from telecine_worker.failure import AttemptFailed, Failure, FailureKind
from telecine_worker.storage import object_fetch
from telecine_worker.storage.fetch_errors import Broken, FetchStopped
from telecine_worker.storage.locations import FileRoots
from telecine_worker.storage.object_store import ObjectStores
from telecine_worker.storage.sources import Intake, open_source

CONTENT = random.Random(1).randbytes(900_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PERMANENT, RETRYABLE = FailureKind.PERMANENT, FailureKind.RETRYABLE


@pytest.fixture
def s3(store_server: Any, monkeypatch: pytest.MonkeyPatch) -> S3:
    """A bucket with film.mp4 in it, which is fetched in ranges of 100 kB."""
    host, port, client = store_server
    made = S3(host=host, port=port, client=client)
    client.create_bucket(Bucket=made.bucket)
    made.put("in/film.mp4", CONTENT)
    monkeypatch.setattr(object_fetch, "RANGE_BYTES", 100_000)
    monkeypatch.setattr(object_fetch, "LEAST_RANGE_BYTES", 25_000)
    return made


def fetched(stores: ObjectStores, uri: str, directory: Path, stopped: Callable[[], bool], **wanted: Any) -> bytes:
    """What arrives; nothing is left of it."""
    limits = {"max_bytes": 1 << 30} | {name: wanted.pop(name) for name in ("max_bytes",) if name in wanted}
    intake = Intake(roots=FileRoots([]), network=network(), stores=stores, directory=directory, **limits)
    try:
        with open_source(
            intake, tenant="t", name="main", uri=uri, headers={}, stopped=stopped, **{"sha256": ""} | wanted
        ) as source:
            return os.pread(source.fd, source.size_bytes + 1, 0)
    finally:
        assert [] == Fetching(directory=directory).left()


def never() -> bool:
    """Nobody stops it."""
    return False


async def fetch(stores: ObjectStores, uri: str, directory: Path, **wanted: Any) -> bytes:
    async with asyncio.timeout(30):
        return await asyncio.to_thread(fetched, stores, uri, directory, never, **wanted)


def failure(stores: ObjectStores, uri: str, directory: Path, **wanted: Any) -> Failure:
    """How it fails, without a secret."""
    with pytest.raises(AttemptFailed) as error:
        fetched(stores, uri, directory, never, **wanted)
    assert not {KEY, SECRET} & set(error.value.failure.message.replace("=", " ").split())
    return error.value.failure


def test_an_object_is_fetched_whole(s3, tmp_path):
    """In ranges, in order, and compared with its checksum; an empty one, too, and one with a strange name."""
    s3.put("in/empty", b"")
    s3.put("in/ä b%20?#&.mp4", b"strange")
    with stores_in(s3) as stores:
        assert CONTENT == fetched(stores, s3.uri("in/film.mp4"), tmp_path, never, sha256=SHA256)
        assert b"" == fetched(stores, s3.uri("in/empty"), tmp_path, never)
        assert b"strange" == fetched(stores, s3.uri("in/%C3%A4%20b%2520%3F%23&.mp4"), tmp_path, never)


def test_an_object_that_does_not_come_is_a_clear_failure(s3, tmp_path):
    """Not there, no such bucket, too large, another checksum: each with its place, and for good."""
    with stores_in(s3, roots=(s3.uri("in"), "s3://no-such-bucket")) as stores:
        assert (PERMANENT, "INPUT_NOT_FOUND") == kind(failure(stores, s3.uri("in/none"), tmp_path))
        assert (PERMANENT, "INPUT_NOT_FOUND") == kind(failure(stores, "s3://no-such-bucket/x", tmp_path))
        too_large = failure(stores, s3.uri("in/film.mp4"), tmp_path, max_bytes=899_999)
        other = failure(stores, s3.uri("in/film.mp4"), tmp_path, sha256="0" * 64)
        outside = failure(stores, s3.uri("input/film.mp4"), tmp_path)
    assert (PERMANENT, "INPUT_OVER_LIMIT") == kind(too_large)
    assert (PERMANENT, "INPUT_CHECKSUM_MISMATCH") == kind(other)
    assert SHA256 in other.message
    assert s3.uri("in/film.mp4") in other.message
    assert (RETRYABLE, "PATH_NOT_ALLOWED") == kind(outside)


def kind(failure: Failure) -> tuple[FailureKind, str]:
    return failure.kind, failure.reason


async def test_after_a_cut_only_the_rest_is_fetched(s3, tmp_path):
    """Connections break again and again: what has arrived stays, and at most what was under way comes twice."""
    async with FaultProxy(s3.host, s3.port) as proxy:
        proxy.faults += [Fault(), *[Fault(Kind.RESET, 150_000)] * 4]
        with stores_in(s3, url=f"http://{proxy.host}:{proxy.port}") as stores:
            assert CONTENT == await fetch(stores, s3.uri("in/film.mp4"), tmp_path, sha256=SHA256)
        # Two ranges are under way at a time, and four connections broke.
        assert len(CONTENT) < proxy.answered_bytes < len(CONTENT) + 4 * 2 * 100_000


def test_what_has_come_is_not_asked_for_again(s3, tmp_path, monkeypatch):
    """After a range that broke: from there on, in smaller ones."""
    asked: list[tuple[int, int]] = []
    begin_read = object_fetch.Bucket.begin_read

    def breaking(bucket: Any, key: str, begin: int, end: int, *rest: Any) -> Any:
        asked.append((begin, end))
        if [each for each, _ in asked].count(500_000) == 1 and begin == 500_000:
            broken: Future[list[bytes]] = Future()
            broken.set_exception(Broken("broke off"))
            return broken
        return begin_read(bucket, key, begin, end, *rest)

    monkeypatch.setattr(object_fetch.Bucket, "begin_read", breaking)
    with stores_in(s3) as stores:
        assert CONTENT == fetched(stores, s3.uri("in/film.mp4"), tmp_path, never, sha256=SHA256)
    smaller = [begin for begin, end in asked if end - begin == 50_000]
    assert list(range(500_000, 900_000, 50_000)) == smaller


async def test_a_slow_store_outlives_the_read_timeout(s3, tmp_path):
    """It lasts far longer than the time without a byte that is borne, or any single range: there always is one."""
    patience = replace(QUICK, idle=timedelta(milliseconds=400))
    async with FaultProxy(s3.host, s3.port) as proxy:
        proxy.fault = Fault(Kind.SLOW, 200_000)
        with stores_in(s3, url=f"http://{proxy.host}:{proxy.port}", patience=patience) as stores:
            begun = asyncio.get_running_loop().time()
            assert CONTENT == await fetch(stores, s3.uri("in/film.mp4"), tmp_path)
    assert 3 * 0.4 < asyncio.get_running_loop().time() - begun


@pytest.mark.parametrize("fault", [Fault(Kind.HALF, 50_000), Fault(Kind.BLACKHOLE), Fault(Kind.CUT, 100)])
async def test_a_store_that_hangs_or_breaks_is_unavailable(s3, tmp_path, fault):
    """After a few tries: retryable. What it says names the object and the number of tries."""
    short = timedelta(milliseconds=300)
    patience = replace(QUICK, answer=short, idle=short, window=short, tries=2)
    async with FaultProxy(s3.host, s3.port) as proxy:
        proxy.fault = fault
        with stores_in(s3, url=f"http://{proxy.host}:{proxy.port}", patience=patience) as stores:
            async with asyncio.timeout(30):
                found = await asyncio.to_thread(failure, stores, s3.uri("in/film.mp4"), tmp_path)
    assert (RETRYABLE, "INPUT_UNAVAILABLE") == kind(found)
    assert "try 2 of 2" in found.message


async def test_a_stop_ends_a_fetch_that_hangs(s3, tmp_path):
    """Long before any timeout; nothing stays behind."""
    stop = False
    async with FaultProxy(s3.host, s3.port) as proxy:
        proxy.fault = Fault(Kind.HALF, 50_000)
        with stores_in(s3, url=f"http://{proxy.host}:{proxy.port}") as stores:
            running = asyncio.create_task(
                asyncio.to_thread(fetched, stores, s3.uri("in/film.mp4"), tmp_path, lambda: stop)
            )
            while proxy.answered_bytes < 40_000:
                await asyncio.sleep(0.01)
            stop = True
            with pytest.raises(FetchStopped):
                async with asyncio.timeout(5):
                    await running


@pytest.mark.parametrize("times", [1, 2])
async def test_an_object_that_is_replaced_midway_is_fetched_anew(s3, tmp_path, monkeypatch, times):
    """Once: then it is the new one from its first byte, never a mixture. Again and again: INPUT_CHANGED."""
    versions = [random.Random(seed).randbytes(700_000) for seed in range(times)]
    left = list(versions)
    begin_read = object_fetch.Bucket.begin_read

    def replacing(bucket: Any, key: str, begin: int, *rest: Any) -> Any:
        if begin == 500_000 and left:
            s3.put(key, left.pop(0))
        return begin_read(bucket, key, begin, *rest)

    monkeypatch.setattr(object_fetch.Bucket, "begin_read", replacing)
    with stores_in(s3) as stores:
        if times == 1:
            assert versions[0] == await fetch(stores, s3.uri("in/film.mp4"), tmp_path)
        else:
            found = await asyncio.to_thread(failure, stores, s3.uri("in/film.mp4"), tmp_path)
            assert (RETRYABLE, "INPUT_CHANGED") == kind(found)


def test_an_object_without_room_is_refused_before_its_body(s3, tmp_path, monkeypatch):
    """By the size that the store says; nothing of it is asked for."""
    asked: list[int] = []
    monkeypatch.setattr("telecine_worker.storage.room.RESERVE_BYTES", 1 << 62)
    monkeypatch.setattr("telecine_worker.storage.room.RESERVE_SHARE", 1)
    monkeypatch.setattr(object_fetch.Bucket, "begin_read", lambda *_: asked.append(1))
    with stores_in(s3) as stores:
        assert (RETRYABLE, "NO_SPACE") == kind(failure(stores, s3.uri("in/film.mp4"), tmp_path))
    assert [] == asked


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        (403, (PERMANENT, "INPUT_DENIED")),
        (401, (PERMANENT, "INPUT_DENIED")),
        (400, (PERMANENT, "INPUT_UNREADABLE")),
        (429, (RETRYABLE, "INPUT_UNAVAILABLE")),
        (503, (RETRYABLE, "INPUT_UNAVAILABLE")),
    ],
)
async def test_a_refusal_of_the_store_is_told_by_its_kind(s3, tmp_path, code, wanted):
    """And never in the store's own words, which may quote a signature."""

    async def answering(asked: Asked, writer: asyncio.StreamWriter) -> None:
        said = f"<Error><AWSAccessKeyId>{KEY}</AWSAccessKeyId></Error>".encode()
        await send(writer, f"{code} X", {"Content-Length": str(len(said)), "Connection": "close"}, said)

    async with HttpServer(answering) as server:
        with stores_in(s3, url=server.url.rstrip("/"), patience=replace(QUICK, tries=2)) as stores:
            found = await asyncio.to_thread(failure, stores, s3.uri("in/film.mp4"), tmp_path)
    assert wanted == kind(found)
