"""Whether a worker can work: real folders, real programs, a file system that does not answer."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from support.ffmpeg_under_test import toolchain_under_test
from telecine_worker import health as health_module
from telecine_worker.health import Health, ailment_of, broken_program
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


@pytest.mark.parametrize(
    ("blocks", "free", "words"),
    [
        (1 << 25, 65_535, "255 MiB left; at least 256 MiB are needed"),
        (1 << 25, 65_536, None),
        (100_000, 4_999, "19 MiB left; at least 19 MiB are needed"),
        (100_000, 5_000, None),
    ],
)
def test_a_full_disk_is_an_ailment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blocks: int, free: int, words: str | None
) -> None:
    """Below the floor, with how much is left and needed; of a small file system, such as one in memory, that is a share."""
    disk = os.statvfs_result((4096, 4096, blocks, free, free, 0, 0, 0, 0, 255))
    monkeypatch.setattr(health_module.os, "statvfs", lambda _: disk)
    assert (words and f"{tmp_path} has {words}") == ailment_of(tmp_path, toolchain_under_test())


def test_programs_that_answer_are_sound() -> None:
    """Started behind the launcher, as for an attempt."""
    assert broken_program(toolchain_under_test()) is None


@pytest.mark.parametrize("program", ["ffmpeg", "ffprobe"])
def test_a_program_that_does_not_start_is_named(tmp_path: Path, program: str) -> None:
    """It is there, and may be started, and its interpreter is not: a library that is gone is the same. With its last words."""
    path = tmp_path / program
    path.write_text("#!/nonexistent/sh\n")
    path.chmod(0o755)
    toolchain = replace(toolchain_under_test(), **{program: path})
    said = f"{path} does not say its version: exit code 125, telecine-launcher: {path}: No such file or directory"
    assert (said, None) == (broken_program(toolchain), ailment_of(tmp_path, toolchain))


def test_a_program_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while."""
    monkeypatch.setattr(health_module, "_TRIAL_SECONDS", 0.5)
    path = tmp_path / "ffmpeg"
    path.write_text("#!/bin/sh\nexec sleep 60\n")
    path.chmod(0o755)
    said = broken_program(replace(toolchain_under_test(), ffmpeg=path))
    assert f"{path} does not say its version within 0.5 s" == said


async def test_changes_are_told_once(tmp_path: Path) -> None:
    """Broken, still broken, mended: two calls."""
    answers = iter(["broken", "broken", None, None])
    told: list[str | None] = []
    threads = Threads(1)
    health = Health(lambda: next(answers), threads, told.append, "hangs")
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
    health = Health(look, threads, told.append, "hangs")
    await health.step()
    await health.step()
    assert (["hangs"], [True], True) == (told, asked, health.hangs)
    answer.set()
    monkeypatch.setattr(health_module, "ANSWER_SECONDS", 10.0)
    async with asyncio.timeout(10):
        await health.step()
    threads.close()
    assert (None, 2, False) == (told[-1], len(told), health.hangs)
