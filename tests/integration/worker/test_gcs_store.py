"""Inputs and outputs at gs://, as far as a small server on this machine speaks it: the same parts as for S3, and its own
words for conditions, copies and credentials.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.fetching import QUICK, destinations, network
from support.gcs_server import Gcs, gcs_server
from telecine_worker.failure import AttemptFailed
from telecine_worker.storage import object_fetch
from telecine_worker.storage.destination import Destination, StagedFile
from telecine_worker.storage.destinations import InputPlaces
from telecine_worker.storage.locations import FileRoots
from telecine_worker.storage.object_store import ObjectStores
from telecine_worker.storage.sources import Intake, open_source
from telecine_worker.storage.store_places import StoreRoots, parse_store_root

FILM = random.Random(1).randbytes(300_000)
LARGE = random.Random(2).randbytes(11 << 20)


def yes() -> bool:
    return True


def never() -> bool:
    return False


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gcs]:
    """A bucket, and the environment of a worker that may use it."""
    monkeypatch.setattr(object_fetch, "RANGE_BYTES", 100_000)
    with gcs_server() as made:
        monkeypatch.setenv("GOOGLE_BASE_URL", made.url)
        monkeypatch.setenv("GOOGLE_BEARER_TOKEN", made.token)
        yield made


@pytest.fixture
def stores(gcs: Gcs) -> Iterator[ObjectStores]:
    made = ObjectStores(roots=StoreRoots([parse_store_root("gs://bucket")]), patience=QUICK)
    yield made
    made.close()


def fetched(stores: ObjectStores, directory: Path, key: str, **wanted: Any) -> bytes:
    """What arrives."""
    intake = Intake(roots=FileRoots([]), network=network(), stores=stores, directory=directory, max_bytes=1 << 30)
    fields: dict[str, Any] = {"tenant": "t", "name": "main", "headers": {}, "sha256": "", "stopped": never, **wanted}
    with open_source(intake, uri=f"gs://bucket/{key}", **fields) as source:
        return os.pread(source.fd, source.size_bytes + 1, 0)


def begun(stores: ObjectStores, directory: Path, *, token: int = 7, fail: bool = False) -> Destination:
    """The output of an attempt."""
    return destinations([], directory, stores).open(
        "gs://bucket/out", f"t~job~1~{token}", replace=not fail, per_attempt=False, allowed=yes, end=lambda: None,
        inputs=InputPlaces(),
    )  # fmt: skip


def staged(destination: Destination, path: str, content: bytes) -> StagedFile:
    Path(destination.staging.cwd, path).write_bytes(content)
    file = StagedFile(
        file_name=path, path=path, media_type="video/mp4", size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )  # fmt: skip
    destination.prepare(never, file)
    return file


def test_files_go_there_and_come_back(gcs, stores, tmp_path):
    """Staged, copied to their places with type and metadata, fetched in ranges; nothing staged is left."""
    destination = begun(stores, tmp_path)
    files = [staged(destination, "x.mp4", FILM), staged(destination, "y.mp4", LARGE)]
    assert {"out/.telecine/t~job~1~7/x.mp4", "out/.telecine/t~job~1~7/y.mp4"} == gcs.objects.keys()
    destination.remove_older(never)
    destination.publish(never, files)
    destination.discard()
    assert {"out/x.mp4", "out/y.mp4"} == gcs.objects.keys()
    notes = gcs.objects["out/y.mp4"].notes
    assert ("video/mp4", "t~job", "7") == (
        notes["content-type"], notes["x-goog-meta-telecinejob"], notes["x-goog-meta-telecinetoken"],
    )  # fmt: skip
    assert FILM == fetched(stores, tmp_path, "out/x.mp4", sha256=hashlib.sha256(FILM).hexdigest())
    assert [] == list(tmp_path.iterdir())


def test_a_late_attempt_publishes_nothing(gcs, stores, tmp_path):
    """Its source is gone, as at S3."""
    late, newer = begun(stores, tmp_path, token=7), begun(stores, tmp_path, token=8)
    old, new = staged(late, "x.mp4", b"old"), staged(newer, "x.mp4", b"new")
    newer.remove_older(never)
    newer.publish(never, [new])
    with pytest.raises(AttemptFailed, match="STAGING_LOST"):
        late.publish(never, [old])
    newer.discard()
    late.discard()
    assert {"out/x.mp4": b"new"} == {key: found.content for key, found in gcs.objects.items()}


@pytest.mark.parametrize("content", [FILM, LARGE], ids=["small", "large"])
def test_fail_keeps_what_comes_at_the_last_moment(gcs, stores, tmp_path, monkeypatch, content):
    """After the look: the store's own condition decides, for a request and for a copy."""
    destination = begun(stores, tmp_path, fail=True)
    file = staged(destination, "x.mp4", content)
    monkeypatch.setattr(type(destination), "_check_free", lambda *_: gcs.put("out/x.mp4", b"foreign", {}))
    with pytest.raises(AttemptFailed, match="OUTPUT_EXISTS"):
        destination.publish(never, [file])
    destination.discard()
    assert {"out/x.mp4": b"foreign"} == {key: found.content for key, found in gcs.objects.items()}


def test_a_token_that_is_refused_is_never_told(gcs, stores, tmp_path):
    """403, and its text quotes the token: INPUT_DENIED without it."""
    gcs.token = "another"
    with pytest.raises(AttemptFailed, match="INPUT_DENIED") as error:
        fetched(stores, tmp_path, "out/x.mp4")
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("content", [FILM, LARGE], ids=["small", "large"])
def test_a_store_without_conditions_is_looked_at_first(gcs, stores, tmp_path, content):
    """Some that say they are S3 ignore them: what is there before the request is not overwritten all the same."""
    gcs.knows_conditions = False
    destination = begun(stores, tmp_path, fail=True)
    file = staged(destination, "x.mp4", content)
    gcs.put("out/x.mp4", b"foreign", {})
    with pytest.raises(AttemptFailed, match="OUTPUT_EXISTS"):
        destination.publish(never, [file])
    destination.discard()
    assert {"out/x.mp4": b"foreign"} == {key: found.content for key, found in gcs.objects.items()}


def test_a_store_without_conditions_never_gives_a_mixture(gcs, stores, tmp_path, monkeypatch):
    """The tag of every range is compared: an object that is replaced midway is fetched anew."""
    gcs.knows_conditions = False
    gcs.put("film", FILM, {})
    # The first ones have come when this one is asked for.
    monkeypatch.setattr(object_fetch, "RANGE_BYTES", 30_000)
    begin_read, left = object_fetch.Bucket.begin_read, [FILM[::-1]]

    def replacing(bucket: Any, key: str, begin: int, *rest: Any) -> Any:
        if begin == 150_000 and left:
            gcs.put(key, left.pop(), {})
        return begin_read(bucket, key, begin, *rest)

    monkeypatch.setattr(object_fetch.Bucket, "begin_read", replacing)
    assert FILM[::-1] == fetched(stores, tmp_path, "film")
