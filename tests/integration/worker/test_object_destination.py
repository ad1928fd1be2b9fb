"""Outputs to a real S3 server: nothing is seen before it may be, only the newest attempt publishes, nothing is left behind."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from support.fault_proxy import Fault, FaultProxy, Kind
from support.fetching import QUICK, destinations
from support.http_server import HttpServer, status
from support.s3_server import S3, stores_in, tells_of_uploads
from support.store_attempt import FILM, Attempt, failing, never
from telecine_worker.failure import FailureKind
from telecine_worker.storage import object_destination, object_staging, object_store, object_upload
from telecine_worker.storage.destination import StagedFile
from telecine_worker.storage.destinations import InputPlaces
from telecine_worker.storage.fetch_errors import FetchStopped
from telecine_worker.storage.object_store import ObjectStores
from telecine_worker.storage.publishing import WindowOver

LARGE = random.Random(2).randbytes(11 << 20)
PERMANENT, RETRYABLE = FailureKind.PERMANENT, FailureKind.RETRYABLE


@pytest.fixture
def s3(store_server: Any) -> Iterator[S3]:
    """An empty bucket, and afterwards no upload in it that was neither completed nor given up."""
    host, port, client = store_server
    made = S3(host=host, port=port, client=client)
    client.create_bucket(Bucket=made.bucket)
    yield made
    assert [] == made.unfinished()


@pytest.fixture
def stores(s3: S3) -> Iterator[ObjectStores]:
    with stores_in(s3) as made:
        yield made


@pytest.fixture
def begin(stores: ObjectStores, s3: S3, tmp_path: Path) -> Callable[..., Attempt]:
    """Begins an attempt at the prefix out/."""
    return lambda **wanted: Attempt(stores, tmp_path, s3.uri("out"), **wanted)


def test_files_are_seen_when_they_are_published(s3, begin):
    """Before: below .telecine alone. Then: whole, with type, job, token and checksum. Then nothing else is left."""
    attempt = begin()
    small, large = attempt.stage("a/x.mp4"), attempt.stage("y.mp4", LARGE)
    staged = s3.listed()
    attempt.publish(small, large)
    attempt.discard()
    attempt.discard()
    assert ["out/.telecine/t~job~1~7/a-x.mp4", "out/.telecine/t~job~1~7/y.mp4"] == staged
    assert ["out/a/x.mp4", "out/y.mp4"] == s3.listed()
    assert (FILM, LARGE) == (s3.get("out/a/x.mp4"), s3.get("out/y.mp4"))
    for key, content in (("out/a/x.mp4", FILM), ("out/y.mp4", LARGE)):
        head = s3.head(key)
        notes = {"telecinejob": "t~job", "telecinetoken": "7", "telecinesha256": hashlib.sha256(content).hexdigest()}
        assert ("video/mp4", notes) == (head["ContentType"], head["Metadata"])


def test_where_a_file_is_is_told(s3, begin):
    """As a path below the output and as a URI; a layout per attempt has a folder of its own."""
    in_place, apart = begin(), begin(token=8, per_attempt=True)
    assert ("ä b.mp4", s3.uri("out/%C3%A4%20b.mp4")) == (
        in_place.destination.relative("ä b.mp4"), in_place.destination.uri("ä b.mp4"),
    )  # fmt: skip
    file = apart.stage("x.mp4")
    apart.publish(file)
    assert ("t~job~1~8/x.mp4", s3.uri("out/t~job~1~8/x.mp4")) == (
        apart.destination.relative("x.mp4"), apart.destination.uri("x.mp4"),
    )  # fmt: skip
    apart.discard()
    in_place.discard()
    assert ["out/t~job~1~8/x.mp4"] == s3.listed()


def test_an_attempt_that_fails_leaves_nothing(s3, begin):
    """Neither what it staged nor its parts; what others have there stays."""
    s3.put("out/other.mp4", b"other")
    s3.put("out/.telecine/t~else~1~3/x.mp4", b"other")
    attempt = begin()
    attempt.stage("x.mp4", LARGE)
    attempt.discard()
    assert ["out/.telecine/t~else~1~3/x.mp4", "out/other.mp4"] == s3.listed()


def test_what_a_killed_attempt_staged_is_removed_by_the_next(s3, stores, begin, tmp_path):
    """Smaller tokens of the same job are dead; newer ones, and other jobs', are not. One that never staged does it, too."""
    for name in ("t~job~1~3", "t~job~1~99", "t~other~1~3"):
        s3.put(f"out/.telecine/{name}/x.mp4", b"x")
    attempt = begin()
    attempt.destination.remove_older(never)
    kept = ["out/.telecine/t~job~1~99/x.mp4", "out/.telecine/t~other~1~3/x.mp4"]
    assert kept == s3.listed()
    attempt.discard()
    destinations([], tmp_path, stores).discard_older(s3.uri("out"), "t~job~1~100")
    assert kept[1:] == s3.listed()


def test_a_late_attempt_publishes_nothing(s3, begin):
    """It had its permission, and wakes when a newer one has committed: what it would copy is gone."""
    late, newer = begin(token=7), begin(token=8)
    old, new = late.stage("x.mp4", b"old"), newer.stage("x.mp4", b"new")
    newer.publish(new)
    assert (RETRYABLE, "STAGING_LOST") == failing(late.destination.publish, never, [old])
    newer.discard()
    late.discard()
    assert (["out/x.mp4"], b"new") == (s3.listed(), s3.get("out/x.mp4"))


def test_a_late_attempt_changes_nothing_with_fail_either(s3, begin):
    """What is there is the job's own, which an attempt may replace, but by its staged file alone."""
    late, newer = begin(token=7, fail=True), begin(token=8, fail=True)
    old, new = late.stage("x.mp4", b"old"), newer.stage("x.mp4", b"new")
    newer.publish(new)
    assert (RETRYABLE, "STAGING_LOST") == failing(late.destination.publish, never, [old])
    assert b"new" == s3.get("out/x.mp4")
    newer.discard()
    late.discard()


def test_of_two_attempts_the_newer_one_has_the_last_word(s3, begin):
    """The older one published first, and does so again: its own is replaced, and what it does then finds nothing."""
    late, newer = begin(token=7), begin(token=8)
    old, new = late.stage("x.mp4", b"old"), newer.stage("x.mp4", b"new")
    late.destination.publish(never, [old])
    assert b"old" == s3.get("out/x.mp4")
    newer.publish(new)
    late.destination._published.clear()
    assert (RETRYABLE, "STAGING_LOST") == failing(late.destination.publish, never, [old])
    assert b"new" == s3.get("out/x.mp4")
    newer.destination.discard()
    late.discard()


def test_fail_leaves_alone_what_is_there(s3, begin):
    """Found before anything is published, and also where it comes meanwhile: what was published is then taken back."""
    attempt = begin(fail=True)
    first, second = attempt.stage("x.mp4"), attempt.stage("y.m3u8", media_type="application/vnd.apple.mpegurl")
    s3.put("out/y.m3u8", b"foreign")
    assert (PERMANENT, "OUTPUT_EXISTS") == failing(attempt.publish, first, second)
    assert (PERMANENT, "OUTPUT_EXISTS") == failing(attempt.destination.publish, never, [first, second])
    attempt.discard()
    assert (["out/y.m3u8"], b"foreign") == (s3.listed(), s3.get("out/y.m3u8"))


def test_fail_leaves_a_large_file_alone(s3, begin):
    """One that is no single request."""
    s3.put("out/x.mp4", b"foreign")
    attempt = begin(fail=True)
    file = attempt.stage("x.mp4", LARGE)
    assert (PERMANENT, "OUTPUT_EXISTS") == failing(attempt.destination.publish, never, [file])
    s3.client.delete_object(Bucket=s3.bucket, Key="out/x.mp4")
    again = begin(token=8, fail=True)
    again.publish(again.stage("x.mp4", LARGE))
    again.discard()
    attempt.discard()
    assert LARGE == s3.get("out/x.mp4")


@pytest.mark.parametrize("content", [FILM, LARGE], ids=["small", "large"])
def test_fail_replaces_what_the_job_itself_wrote(s3, begin, content):
    """A crashed attempt of the same job does not count as somebody else."""
    crashed = begin(token=7, fail=True)
    crashed.publish(crashed.stage("x.mp4", b"of the crashed one"))
    attempt = begin(token=8, fail=True)
    attempt.publish(attempt.stage("x.mp4", content))
    assert (content, "8") == (s3.get("out/x.mp4"), s3.head("out/x.mp4")["Metadata"]["telecinetoken"])
    attempt.discard()
    crashed.discard()


def test_nothing_is_taken_back_that_another_attempt_committed(s3, begin):
    """It put its own file in the place of ours."""
    attempt = begin(token=7, fail=True)
    file, last = attempt.stage("x.mp4"), attempt.stage("y.mp4")
    attempt.publish(file)
    newer = begin(token=8, fail=True)
    newer.publish(newer.stage("x.mp4", b"newer"))
    s3.put("out/y.mp4", b"foreign")
    assert (PERMANENT, "OUTPUT_EXISTS") == failing(attempt.destination.publish, never, [last])
    assert b"newer" == s3.get("out/x.mp4")
    newer.discard()
    attempt.discard()


def test_an_input_is_never_replaced(s3, begin):
    """Whatever if_exists says: by its place in the store."""
    attempt = begin(inputs=InputPlaces(objects={s3.place("out/in.mp4"): "main"}))
    assert (PERMANENT, "OUTPUT_EXISTS") == failing(attempt.destination.check_inputs, ["x.mp4", "in.mp4"])
    attempt.destination.check_inputs(["x.mp4"])
    assert (PERMANENT, "PATH_NOT_ALLOWED") == failing(attempt.destination.check_inputs, ["x" * 1022])
    attempt.discard()


@pytest.mark.parametrize("fail", [False, True])
def test_the_window_is_looked_at_before_every_file(s3, begin, fail):
    """Not allowed: nothing is seen. Allowed again: the rest."""
    opened = False
    attempt = begin(fail=fail, allowed=lambda: opened or "out/a.m3u8" not in s3.listed())
    # Files that name others come one at a time.
    files = [attempt.stage(f"{name}.m3u8", media_type="application/vnd.apple.mpegurl") for name in "ab"]
    with pytest.raises(WindowOver):
        attempt.destination.publish(never, files)
    assert ["out/a.m3u8"] == [key for key in s3.listed() if ".telecine" not in key]
    opened = True
    attempt.destination.publish(never, files)
    attempt.discard()
    assert ["out/a.m3u8", "out/b.m3u8"] == s3.listed()


def test_a_playlist_comes_after_what_it_names(s3, begin, monkeypatch):
    """Segments in any order, several at once; each playlist after all that stands before it."""
    copied: list[str] = []
    copy = object_destination.ObjectDestination._put_in_place

    def noting(self: Any, stopped: Any, file: StagedFile, **rest: Any) -> None:
        copy(self, stopped, file, **rest)
        copied.append(file.path)

    monkeypatch.setattr(object_destination.ObjectDestination, "_put_in_place", noting)
    attempt = begin()
    names = [*(f"{number}.m4s" for number in range(12)), "media.m3u8", "12.m4s", "master.m3u8"]
    types = {"m4s": "video/iso.segment", "m3u8": "application/vnd.apple.mpegurl"}
    files = [attempt.stage(name, b"x", types[name.partition(".")[2]]) for name in names]
    attempt.publish(*files)
    attempt.discard()
    assert (set(names[:12]), names[12:]) == (set(copied[:12]), copied[12:])


@tells_of_uploads
def test_a_file_too_large_to_copy_is_completed_when_it_may_be_seen(s3, begin, monkeypatch):
    """Its parts are in the store beforehand, at its own place, and nothing of it is seen; it can be given up."""
    monkeypatch.setattr(object_staging, "LARGEST_COPY_BYTES", 10 << 20)
    attempt = begin()
    file = attempt.stage("x.mp4", LARGE)
    assert ([], ["out/x.mp4"]) == (s3.listed(), s3.unfinished())
    attempt.publish(file)
    attempt.discard()
    assert (LARGE, "7") == (s3.get("out/x.mp4"), s3.head("out/x.mp4")["Metadata"]["telecinetoken"])
    newer = begin(token=8)
    newer.stage("x.mp4", b"y" * (11 << 20))
    newer.discard()
    assert (LARGE, []) == (s3.get("out/x.mp4"), s3.unfinished())


@tells_of_uploads
async def test_an_upload_that_is_cut_is_sent_again(s3, tmp_path):
    """By part: the file arrives whole, and nothing else is left."""
    async with FaultProxy(s3.host, s3.port) as proxy:
        proxy.faults += [Fault(Kind.RESET, 0), Fault(Kind.DROP), Fault(Kind.CUT, 10), Fault(), Fault(Kind.RESET, 0)]
        with stores_in(s3, url=f"http://{proxy.host}:{proxy.port}") as stores:

            def run() -> None:
                attempt = Attempt(stores, tmp_path, s3.uri("out"))
                attempt.publish(attempt.stage("x.mp4"), attempt.stage("y.mp4", LARGE))
                attempt.discard()

            async with asyncio.timeout(60):
                await asyncio.to_thread(run)
    assert (FILM, LARGE) == (s3.get("out/x.mp4"), s3.get("out/y.mp4"))
    assert ["out/x.mp4", "out/y.mp4"] == s3.listed()
    for key in s3.unfinished():
        # Of a beginning whose answer was lost nobody knows the number: only the bucket's lifecycle rule removes it.
        assert "y.mp4" in key
    await asyncio.to_thread(_forget_unfinished, s3)


def _forget_unfinished(s3: S3) -> None:
    for each in s3.client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads", []):
        s3.client.abort_multipart_upload(Bucket=s3.bucket, Key=each["Key"], UploadId=each["UploadId"])


@tells_of_uploads
async def test_a_stop_ends_an_upload_and_its_parts(s3, tmp_path, monkeypatch):
    """While the store is slow to answer: soon, with nothing seen and nothing left."""
    stop = False
    async with FaultProxy(s3.host, s3.port) as proxy:
        with stores_in(s3, url=f"http://{proxy.host}:{proxy.port}") as stores:
            attempt = await asyncio.to_thread(Attempt, stores, tmp_path, s3.uri("out"))
            proxy.faults += [Fault(), *[Fault(Kind.DELAY, 0.3)] * 8]
            Path(attempt.destination.staging.cwd, "x.mp4").write_bytes(LARGE * 4)
            file = StagedFile(file_name="x.mp4", path="x.mp4", media_type="v", size_bytes=len(LARGE) * 4, sha256="")
            sending = asyncio.create_task(asyncio.to_thread(attempt.destination.prepare, lambda: stop, file))
            while not await asyncio.to_thread(s3.unfinished):
                await asyncio.sleep(0.01)
            stop = True
            with pytest.raises(FetchStopped):
                async with asyncio.timeout(20):
                    await sending
            await asyncio.to_thread(attempt.discard)
    assert [] == s3.listed()


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        (403, (PERMANENT, "OUTPUT_DENIED")),
        (404, (PERMANENT, "OUTPUT_NOT_WRITABLE")),
        (503, (RETRYABLE, "OUTPUT_UNAVAILABLE")),
    ],
)
async def test_a_refusal_of_the_store_is_told_by_its_kind(s3, tmp_path, monkeypatch, code, wanted):
    """When a file is sent; and discarding says that something may be left, as an OSError."""
    monkeypatch.setattr("telecine_worker.storage.store_client._RETRIES", {"max_retries": 1})
    async with HttpServer(status(code)) as server:
        with stores_in(s3, url=server.url.rstrip("/"), patience=replace(QUICK, tries=2)) as stores:

            def run() -> tuple[FailureKind, str]:
                attempt = Attempt(stores, tmp_path, s3.uri("out"))
                try:
                    return failing(attempt.stage, "x.mp4")
                finally:
                    with pytest.raises(OSError, match="the store"):
                        attempt.discard()

            async with asyncio.timeout(30):
                assert wanted == await asyncio.to_thread(run)
    assert [] == list(tmp_path.iterdir())


async def test_discarding_at_a_store_that_hangs_ends(s3, tmp_path, monkeypatch):
    """It is given a while, and says so; the worker's own folder is removed all the same."""
    monkeypatch.setattr(object_staging, "TIDYING_SECONDS", 0.3)
    async with FaultProxy(s3.host, s3.port) as proxy:
        with stores_in(s3, url=f"http://{proxy.host}:{proxy.port}") as stores:
            attempt = await asyncio.to_thread(Attempt, stores, tmp_path, s3.uri("out"))
            proxy.fault = Fault(Kind.BLACKHOLE)
            async with asyncio.timeout(10):
                with pytest.raises(OSError, match="did not answer in time"):
                    await asyncio.to_thread(attempt.destination.discard)
    assert [] == list(tmp_path.iterdir())


def test_an_answer_that_was_lost_does_not_make_the_file_a_strangers(s3, begin, monkeypatch):
    """With FAIL: the request was carried out, its answer lost, and repeated: what is there is this attempt's own."""
    create, lost = object_store.Bucket.create, []

    def losing(bucket: Any, *arguments: Any) -> None:
        create(bucket, *arguments)
        if not lost:
            lost.append(1)
            raise object_destination.Broken("broke off")

    monkeypatch.setattr(object_store.Bucket, "create", losing)
    attempt = begin(fail=True)
    attempt.publish(attempt.stage("x.mp4"))
    attempt.discard()
    assert (FILM, [1]) == (s3.get("out/x.mp4"), lost)


@pytest.mark.parametrize(
    ("size", "part"), [(0, 8), (80 << 20, 8), (9000 * (8 << 20), 8), (9000 * (8 << 20) + 1, 9), (5 << 40, 583)]
)
def test_parts_are_sized_from_the_file(size, part):
    """No store takes more than ten thousand."""
    cut = object_upload.parts_of(size)
    assert part << 20 == cut.part_bytes
    assert size <= 10_000 * cut.part_bytes


def test_a_place_outside_the_roots_is_refused(s3, tmp_path):
    """Before anything is made: a neighbour whose name begins alike, another bucket, and no roots at all."""
    with stores_in(s3, roots=(s3.uri("out"),)) as stores:
        for uri in (s3.uri("output"), "s3://other/out", s3.uri()):
            assert (RETRYABLE, "PATH_NOT_ALLOWED") == failing(Attempt, stores, tmp_path, uri)
    assert (RETRYABLE, "PATH_NOT_ALLOWED") == failing(Attempt, ObjectStores(), tmp_path, s3.uri("out"))
    assert [] == list(tmp_path.iterdir())


def test_a_time_that_a_part_may_take_grows_with_it(stores, s3):
    """Or a slow line could never send a large one."""
    bucket = stores.bucket(s3.place())
    assert QUICK.answer + timedelta(seconds=128) == bucket._sending(8 << 20)
