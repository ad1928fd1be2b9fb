"""Whether a worker can work: real folders, real programs, a file system that does not answer."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from support.ffmpeg_under_test import toolchain_under_test
from telecine_worker import health as health_module
from telecine_worker.health import Health, ailment_of
from telecine_worker.storage.threads import Threads


def test_a_sound_worker_has_no_ailment(tmp_path: Path) -> None:
    """And the trial leaves nothing behind."""
    assert ailment_of(tmp_path, toolchain_under_test()) is None
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("program", ["ffmpeg", "ffprobe"])
def test_a_program_that_is_gone_is_named(tmp_path: Path, program: str) -> None:
    """An upgrade may take it away for a while."""
    toolchain = replace(toolchain_under_test(), **{program: tmp_path / program})
    assert f"{tmp_path / program} is no program any more" == ailment_of(tmp_path, toolchain)


def test_a_folder_that_takes_no_files_is_named(tmp_path: Path) -> None:
    """With the system's own words."""
    gone = tmp_path / "gone"
    assert f"{gone} takes no files: No such file or directory" == ailment_of(gone, toolchain_under_test())


def test_a_full_disk_is_an_ailment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the floor, with how much is left and needed."""
    monkeypatch.setattr(health_module, "LEAST_FREE_BYTES", 1 << 60)
    said = ailment_of(tmp_path, toolchain_under_test())
    assert said is not None
    assert f"at least {1 << 40} MiB are needed" in said


async def test_changes_are_told_once(tmp_path: Path) -> None:
    """Broken, still broken, mended: two calls."""
    answers = iter(["broken", "broken", None, None])
    told: list[str | None] = []
    threads = Threads(1)
    health = Health(lambda: next(answers), threads, told.append)
    for _ in range(4):
        await health.step()
    threads.close()
    assert ["broken", None] == told


async def test_a_file_system_that_does_not_answer_is_an_ailment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not asked a second time while it owes the first answer; its answer mends it."""
    monkeypatch.setattr(health_module, "ANSWER_SECONDS", 0.05)
    answer = threading.Event()
    asked: list[bool] = []
    told: list[str | None] = []

    def look() -> str | None:
        asked.append(True)
        answer.wait(10)
        return None

    threads = Threads(2)
    health = Health(look, threads, told.append)
    await health.step()
    await health.step()
    assert (["the file system of the work dir does not answer"], [True], True) == (told, asked, health.hangs)
    answer.set()
    monkeypatch.setattr(health_module, "ANSWER_SECONDS", 10.0)
    async with asyncio.timeout(10):
        await health.step()
    threads.close()
    assert (None, 2, False) == (told[-1], len(told), health.hangs)
