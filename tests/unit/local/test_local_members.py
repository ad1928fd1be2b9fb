"""The members of the stack: what each is given, and how it is kept running and ended."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from telecine_local.child import Child, Command
from telecine_local.places import Places
from telecine_local.stack import DRAIN, WORKER_GRACE, Setup, Stack


async def test_a_member_that_dies_is_reported_and_started_again(
    setup: Setup, places: Places, reports: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """A killed scheduler comes back at the address it had."""
    async with Stack(setup, places).running():
        first, _ = await reports.next(), await reports.next()
        os.kill(first["pid"], signal.SIGKILL)
        again = await reports.next()
    assert (again["name"], again["pid"] != first["pid"]) == ("scheduler", True)
    assert again["argv"] == ["--listen", "127.0.0.1:4711", "--metrics-listen", "127.0.0.1:4712", "--drain", "5s"]
    assert "scheduler was ended by SIGKILL" in capsys.readouterr().err


async def test_a_member_that_cannot_be_started_for_now_is_tried_again(
    setup: Setup, places: Places, reports: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason is said; when it is gone, everything runs again."""
    stack = Stack(setup, places)
    assert setup.logs
    log = setup.logs / "scheduler.log"
    async with stack.running():
        first, _ = await reports.next(), await reports.next()
        log.unlink()
        log.mkdir()
        os.kill(first["pid"], signal.SIGKILL)
        said = ""
        async with asyncio.timeout(10):
            while "scheduler cannot be started" not in said:
                await asyncio.sleep(0.02)
                said += capsys.readouterr().err
        log.rmdir()
        again = await reports.next()
    assert ("scheduler", True) == (again["name"], f"Is a directory: '{log}'" in said)


async def test_settings_of_one_process_do_not_reach_every_worker(
    setup: Setup, places: Places, reports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers with one id would turn each other away; other settings are theirs too."""
    monkeypatch.setenv("TELECINE_WORKER_ID", "mine")
    monkeypatch.setenv("TELECINE_METRICS_LISTEN", "127.0.0.1:9465")
    monkeypatch.setenv("TELECINE_WORK_DIR", "/mine")
    monkeypatch.setenv("TELECINE_QUEUES", "films")
    async with Stack(dataclasses.replace(setup, workers=2), places).running():
        workers = [one for one in [await reports.next() for _ in range(3)] if one["name"] == "worker"]
    environments = [worker["environment"] for worker in workers]
    assert [set()] * 2 == [{"TELECINE_WORKER_ID", "TELECINE_METRICS_LISTEN"} & set(each) for each in environments]
    assert {str(places.data / f"worker-{n}") for n in (1, 2)} == {each["TELECINE_WORK_DIR"] for each in environments}
    assert ["films"] * 2 == [each["TELECINE_QUEUES"] for each in environments]


def test_a_worker_is_killed_only_when_it_had_time_to_give_back_its_jobs() -> None:
    """What it is told to drain, its 5 s for acknowledgements and 2 s for the stream, with time left to end attempts."""
    assert WORKER_GRACE >= DRAIN + timedelta(seconds=5 + 2) + timedelta(seconds=5)


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The launcher's words are in the log."""
    log = tmp_path / "log"
    child = await Child.start(Command(name="worker-1", argv=["/nowhere/telecine-worker"], log=log))
    assert await child.wait() == 1
    assert "/nowhere/telecine-worker cannot be started" in log.read_text()
