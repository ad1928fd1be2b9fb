"""Outputs to a real S3 server with rivals, or that does not answer: who may, for how long, and with what memory."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.fault_proxy import Fault, FaultProxy, Kind
from support.fetching import QUICK
from support.http_server import HttpServer, status
from support.s3_server import S3, stores_in
from support.store_attempt import FILM, Attempt, failing, never
from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.storage import object_destination, object_staging, object_store, object_upload
from telecine_worker.storage.object_store import Bucket, ObjectStores
from telecine_worker.storage.publishing import WindowOver
from telecine_worker.storage.store_client import StoreSettingsRefused
from telecine_worker.storage.store_errors import Taken
from telecine_worker.storage.store_places import StoreRoots, parse_store_root

MIB = 1 << 20
LARGE = FILM * 40
MIDDLE = FILM * 6


@pytest.fixture
def s3(store_server: Any) -> S3:
    """An empty bucket."""
    host, port, client = store_server
    made = S3(host=host, port=port, client=client)
    client.create_bucket(Bucket=made.bucket)
    return made


@pytest.fixture
def begin(s3: S3, tmp_path: Path) -> Iterator[Callable[..., Attempt]]:
    """Begins an attempt at the prefix out/; discarded at the end, after which no upload is left."""
    begun: list[Attempt] = []

    def make(**wanted: Any) -> Attempt:
        # Each on a worker of its own.
        folder = tmp_path / str(len(begun))
        folder.mkdir()
        begun.append(Attempt(stores, folder, s3.uri("out"), **wanted))
        return begun[-1]

    with stores_in(s3) as stores:
        yield make
        for attempt in begun:
            attempt.destination.discard()
        assert [] == s3.unfinished()


@pytest.mark.parametrize(("method", "content"), [("create", b"mine"), ("copy", MIDDLE)])
def test_what_is_said_to_be_taken_and_is_not_is_asked_again(s3, begin, monkeypatch, method, content):
    """With FAIL, and on the same condition: a stranger's file that comes meanwhile is not replaced."""
    asked: list[object] = []

    def refusing(_: Bucket, *__: object, replace: bool = False) -> None:
        asked.append(replace)
        if len(asked) > 1:
            s3.put("out/x.mp4", b"foreign")
        raise Taken("is there already")

    attempt = begin(fail=True)
    file = attempt.stage("x.mp4", content)
    monkeypatch.setattr(Bucket, method, refusing)
    assert (FailureKind.PERMANENT, "OUTPUT_EXISTS") == failing(attempt.destination.publish, never, [file])
    assert (b"foreign", []) == (s3.get("out/x.mp4"), [each for each in asked if each])


def test_a_late_attempt_makes_no_small_file_either(s3, begin):
    """With FAIL its bytes are on its own disk. A newer one has committed and gone, and so has what it made."""
    late, newer = begin(token=7, fail=True), begin(token=8, fail=True)
    old = late.stage("x.mp4", b"old")
    newer.publish(newer.stage("x.mp4", b"new"))
    newer.discard()
    s3.client.delete_object(Bucket=s3.bucket, Key="out/x.mp4")
    assert (FailureKind.RETRYABLE, "STAGING_LOST") == failing(late.destination.publish, never, [old])
    assert [] == s3.listed()


def test_nothing_is_taken_back_beside_a_newer_attempt(s3, begin):
    """What is there may be the newer one's as soon as it has been looked at; and there is only taking back from then on."""
    late = begin(token=7, fail=True)
    first, second = late.stage("x.mp4", b"old"), late.stage("y.mp4", b"old")
    late.publish(first)
    begin(token=8, fail=True).stage("x.mp4", b"new")
    s3.put("out/y.mp4", b"foreign")
    for _ in range(2):
        assert (FailureKind.PERMANENT, "OUTPUT_EXISTS") == failing(late.destination.publish, never, [second])
        s3.client.delete_object(Bucket=s3.bucket, Key="out/y.mp4")
    assert (b"old", False) == (s3.get("out/x.mp4"), "out/y.mp4" in s3.listed())


@pytest.mark.parametrize(("fail", "content"), [(False, b"x"), (True, b"x"), (True, MIDDLE)])
async def test_a_step_ends_with_its_window(s3, tmp_path, fail, content):
    """A store that does not answer: neither a copy nor a request outlasts the permission; in the next window it is done."""
    async with FaultProxy(s3.host, s3.port) as proxy:
        with stores_in(s3, url=f"http://{proxy.host}:{proxy.port}") as stores:
            until = time.monotonic() + 3600
            attempt = await asyncio.to_thread(
                Attempt, stores, tmp_path, s3.uri("out"), fail=fail, allowed=lambda: time.monotonic() < until
            )
            file = await asyncio.to_thread(attempt.stage, "x.m3u8", content, "application/vnd.apple.mpegurl")
            hanging = threading.Event()

            def hang(bucket: Bucket, *arguments: Any, **rest: Any) -> None:
                hanging.set()
                bucket.loop.run(asyncio.sleep(3600), arguments[-1])

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Bucket, "create" if content == b"x" and fail else "copy", hang)
                publishing = asyncio.create_task(asyncio.to_thread(attempt.destination.publish, never, [file]))
                assert await asyncio.to_thread(hanging.wait, 20)
                until = time.monotonic()
                with pytest.raises(WindowOver):
                    async with asyncio.timeout(20):
                        await publishing
            until = time.monotonic() + 3600
            await asyncio.to_thread(attempt.destination.publish, never, [file])
            await asyncio.to_thread(attempt.discard)
    assert ["out/x.m3u8"] == s3.listed()


def sent_bytes(s3: S3) -> int:
    """Of the one upload that is under way."""
    (upload,) = s3.client.list_multipart_uploads(Bucket=s3.bucket)["Uploads"]
    found = s3.client.list_parts(Bucket=s3.bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return sum(part["Size"] for part in found.get("Parts", []))


def test_of_a_held_file_hardly_anything_is_left_to_be_sent(s3, begin, monkeypatch):
    """When it is prepared all parts have arrived, but for the few bytes that obstore sends when it completes."""
    monkeypatch.setattr(object_staging, "LARGEST_COPY_BYTES", 10 * MIB)
    attempt = begin()
    file = attempt.stage("x.mp4", LARGE)
    assert 0 < len(LARGE) - sent_bytes(s3) <= object_upload.MOST_PARTS
    attempt.publish(file)
    assert LARGE == s3.get("out/x.mp4")


def test_a_held_file_is_not_completed_when_the_window_has_ended(s3, begin, monkeypatch):
    """It is asked for once more right before; then the parts are gone, and the attempt fails to be tried again."""
    monkeypatch.setattr(object_staging, "LARGEST_COPY_BYTES", 10 * MIB)
    answers = iter([True, False])
    attempt = begin(allowed=lambda: next(answers, False))
    file = attempt.stage("x.mp4", LARGE)
    with pytest.raises(WindowOver):
        attempt.destination.publish(never, [file])
    attempt.destination._allowed = lambda: True  # type: ignore[attr-defined]
    assert (FailureKind.RETRYABLE, "OUTPUT_UNAVAILABLE") == failing(attempt.destination.publish, never, [file])
    assert [] == s3.listed()


@pytest.mark.parametrize("size", [10 * MIB + 1, (5 << 30) + 1, 100 << 30, 5 << 40])
def test_a_held_file_is_cut_so_that_its_end_is_small(size):
    """Whatever its size: parts that every store takes, as many as it takes, and a tail of a few bytes."""
    cut = object_upload.held_parts_of(size)
    whole, tail = divmod(size, cut.part_bytes)
    assert (cut.tail_bytes, True) == (tail, 0 < tail <= whole <= object_upload.MOST_PARTS)
    assert cut.part_bytes >= 5 * MIB


async def test_giving_up_at_a_store_that_hangs_takes_a_moment(s3, tmp_path, monkeypatch):
    """A worker has seconds for its end: neither a held upload nor tidying keeps it, and no descriptor is left open."""
    monkeypatch.setattr(object_staging, "LARGEST_COPY_BYTES", 10 * MIB)
    monkeypatch.setattr(object_upload, "GIVING_UP_SECONDS", 0.5)
    async with FaultProxy(s3.host, s3.port) as proxy:
        with stores_in(s3, url=f"http://{proxy.host}:{proxy.port}") as stores:
            attempt = await asyncio.to_thread(Attempt, stores, tmp_path, s3.uri("out"))
            await asyncio.to_thread(attempt.stage, "x.mp4", LARGE)
            proxy.fault = Fault(Kind.BLACKHOLE)
            for connection in list(proxy._tasks):
                connection.cancel()
            begun = time.monotonic()
            with pytest.raises(OSError, match="did not answer"):
                await asyncio.to_thread(attempt.destination.discard, lambda: time.monotonic() - begun > 1)
            took = time.monotonic() - begun
            opened = [each for each in Path("/proc/self/fd").iterdir() if "x.mp4" in str(each.resolve())]
            deadline = time.monotonic() + 20
            while opened and time.monotonic() < deadline:
                await asyncio.sleep(0.05)
                opened = [each for each in opened if "x.mp4" in str(each.resolve())]
    assert ([], True) == (opened, took < 6)
    for each in s3.client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads", []):
        s3.client.abort_multipart_upload(Bucket=s3.bucket, Key=each["Key"], UploadId=each["UploadId"])


@pytest.mark.parametrize("method", ["stage", "remove_older", "discard"])
async def test_tries_are_not_multiplied(s3, tmp_path, method):
    """At a store that is away: as many requests as tries, and no more for each of them."""
    async with HttpServer(status(503)) as server:
        with stores_in(s3, url=server.url.rstrip("/"), patience=replace(QUICK, tries=3)) as stores:

            def run() -> None:
                attempt = Attempt(stores, tmp_path, s3.uri("out"))
                if method == "discard":
                    with pytest.raises(OSError, match="the store"):
                        attempt.discard()
                    return
                call = {
                    "stage": lambda: attempt.stage("x.mp4"),
                    "remove_older": lambda: attempt.destination.remove_older(never),
                }
                assert (FailureKind.RETRYABLE, "OUTPUT_UNAVAILABLE") == failing(call[method])

            async with asyncio.timeout(30):
                await asyncio.to_thread(run)
            assert 3 == server.connection_count


def test_sizes_share_clients(s3, begin):
    """Each has connections of its own: thousands of segments differ in size."""
    bucket = begin().destination._bucket  # type: ignore[attr-defined]
    assert 4 == len({bucket._sending(size << 16) for size in range(129)})


def test_what_is_sent_has_one_budget(s3, begin, monkeypatch):
    """Of the worker: several at once, but no more bytes in memory than it has; all arrives."""
    monkeypatch.setattr(object_upload, "MOST_BYTES_AT_ONCE", 8 * MIB)
    attempt = begin(fail=True)
    budget, under_way, most = attempt.destination._bucket.loop.sending, [], []  # type: ignore[attr-defined]
    put = object_store.Bucket.put

    def noting(self: object_store.Bucket, key: str, content: bytes, *arguments: Any) -> None:
        under_way.append(len(content))
        most.append(sum(under_way))
        put(self, key, content, *arguments)
        under_way.pop()

    monkeypatch.setattr(object_store.Bucket, "put", noting)
    content = bytes(7 * MIB)
    threads = [threading.Thread(target=attempt.stage, args=(f"{number}.mp4", content)) for number in range(6)]
    threads.append(threading.Thread(target=attempt.stage, args=("large.mp4", LARGE)))
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert 6 == len(most)
    assert 7 * MIB < max(most) <= budget._total
    assert (7, budget._total) == (len(s3.listed()), budget._free)


@pytest.mark.parametrize(
    ("root", "name", "value"),
    [
        ("az://container", "AZURE_STORAGE_ACCOUNT_KEY", "hunter2!"),
        ("gs://bucket", "GOOGLE_SERVICE_ACCOUNT", "/hunter2"),
        ("s3://bucket", "AWS_SKIP_SIGNATURE", "hunter2"),
    ],
)
def test_settings_that_make_no_client_are_refused_at_the_start(monkeypatch, root, name, value):
    """Or every job would fail as if the store were away. The variables are named, what they hold is not."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "hunter2")
    monkeypatch.setenv(name, value)
    with pytest.raises(StoreSettingsRefused) as error:
        ObjectStores(roots=StoreRoots([parse_store_root(root)])).check()
    assert [True, True, False] == [part in str(error.value) for part in (root, name, "hunter2")]


def test_a_client_that_cannot_be_made_is_a_failure_of_the_store(s3, tmp_path, monkeypatch):
    """And no defect of ours: where the environment's files change while the worker runs."""
    with stores_in(s3) as stores:
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "hunter2")
        attempt = Attempt(stores, tmp_path, s3.uri("out"))
        with pytest.raises(AttemptFailed, match="OUTPUT_UNAVAILABLE") as error:
            attempt.stage("x.mp4")
        assert "hunter2" not in str(error.value)
        with pytest.raises(OSError, match="the store"):
            attempt.discard()


assert object_destination.LARGEST_CREATED_BYTES < len(MIDDLE) < object_upload.LEAST_PART_BYTES
