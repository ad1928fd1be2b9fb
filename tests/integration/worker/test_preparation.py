"""Verified files on their way to their destination: small ones several at once, and no further after a failure."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from support.fetching import destinations
from telecine_worker import preparation
from telecine_worker.failure import AttemptFailed, retryable
from telecine_worker.ffmpeg.expected import Expected
from telecine_worker.preparation import prepare_all
from telecine_worker.storage.destination import Destination
from telecine_worker.storage.destinations import InputPlaces
from telecine_worker.verification import Checked

COUNT = 100


def never() -> bool:
    return False


@pytest.fixture
def destination(tmp_path: Path) -> Destination:
    """With a hundred staged files; the one in the middle is not a small one."""
    made = destinations([tmp_path], tmp_path).open(
        (tmp_path / "out").as_uri(), "t~job~1~7", replace=True, per_attempt=False, allowed=lambda: True,
        end=lambda: None, inputs=InputPlaces(),
    )  # fmt: skip
    for number in range(COUNT):
        made.staging.write_file(f"{number}.m4s", b"x" * (number + (1000 if number == COUNT // 2 else 0)))
    return made


def checked() -> list[Checked]:
    """All of them."""
    names = [f"{number}.m4s" for number in range(COUNT)]
    return [
        Checked(
            expected=Expected(file_name=name, path=f"v/{name}", media_type="video/iso.segment", formats=("mp4",)),
            info=None,
        )
        for name in names
    ]


def test_the_order_stays(destination, monkeypatch):
    """Whatever their sizes: it is the order of publication."""
    monkeypatch.setattr(preparation, "SMALL_BYTES", 500)
    prepared = prepare_all(never, destination, checked())
    assert [f"v/{number}.m4s" for number in range(COUNT)] == [each.expected.path for each in prepared]
    assert [49, 1050, 51] == [each.size_bytes for each in prepared[49:52]]
    destination.discard()


def test_several_small_ones_are_under_way_at_once(destination, monkeypatch):
    """Each waits for the others of its eight: one at a time would never end. A large one is alone."""
    monkeypatch.setattr(preparation, "SMALL_BYTES", 500)
    together, alone = threading.Barrier(3), list[str]()

    def prepare(_: object, file: object) -> None:
        path = file.path
        if path == "v/50.m4s":
            alone.append(path)
        elif path in {"v/0.m4s", "v/1.m4s", "v/2.m4s"}:
            together.wait(timedelta(seconds=20).total_seconds())

    monkeypatch.setattr(destination, "prepare", prepare)
    prepare_all(never, destination, checked())
    assert ["v/50.m4s"] == alone
    destination.discard()


def test_after_a_failure_nothing_is_begun(destination, monkeypatch):
    """A store that refuses one is not asked thousands of times."""
    asked: list[str] = []

    def prepare(_: object, file: object) -> None:
        asked.append(file.path)
        raise retryable("OUTPUT_UNAVAILABLE", "the store is away")

    monkeypatch.setattr(destination, "prepare", prepare)
    with pytest.raises(AttemptFailed, match="OUTPUT_UNAVAILABLE"):
        prepare_all(never, destination, checked())
    assert len(asked) < COUNT
    destination.discard()
