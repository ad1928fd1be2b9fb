"""Time limits around real processes: whatever an attempt is doing when one passes, it ends, and says which."""

from __future__ import annotations

import asyncio
import os
import shlex
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from telecine_worker.attempt import Permission
from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.probe import probe
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Block, Phase
from telecine_worker.ffmpeg.run import Surroundings, run_ffmpeg
from telecine_worker.ffmpeg.stop_order import StopOrder
from telecine_worker.ffmpeg.time_limits import boot_seconds
from telecine_worker.ffmpeg.toolchain import Toolchain
from telecine_worker.outcome import Failed, StopReason, Succeeded
from telecine_worker.sandbox.confinement import NONE
from telecine_worker.storage.publishing import Publisher

TASK = {"transcode": {"input": "main", "path": "o.mp4", "video": {"codec": "h264", "preset": "ultrafast"}}}
SECOND = timedelta(seconds=1)


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Path]:
    """Makes a program of shell script."""

    def make(script: str) -> Path:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    return make


def standing_in(toolchain: Toolchain, **programs: Path) -> Toolchain:
    """Scripts in the place of ffmpeg or ffprobe, unconfined: no sandbox lets a program start others."""
    return replace(toolchain, confinement=NONE, **programs)


def assert_deadline(ended: Any, reason: str, said: str) -> None:
    """It failed by a limit."""
    assert isinstance(ended, Failed), ended
    assert (FailureKind.DEADLINE, reason) == (ended.failure.kind, ended.failure.reason)
    assert said in ended.failure.message


@pytest.mark.parametrize("limit", ["softRunTimeout", "hardRunTimeout"])
@pytest.mark.parametrize("phase", [Phase.PROBING, Phase.VERIFYING])
async def test_run_limits_hold_in_every_phase(studio, clips, program, tmp_path, monkeypatch, limit, phase):
    """A probe that never answers, of the input or of what was made: the limit passes when it hangs, however long that took."""
    hangs, ahead = tmp_path / "hangs", 0.0
    monkeypatch.setattr("telecine_worker.ffmpeg.time_limits.boot_seconds", lambda: boot_seconds() + ahead)
    monkeypatch.setattr("telecine_worker.ffmpeg.time_limits.LOOK_AGAIN_SECONDS", 0.05)
    real = shlex.quote(str(studio.toolchain.ffprobe))
    hang = f": > {shlex.quote(str(hangs))}; exec sleep 60"
    script = f'case "$*" in *-show_entries*) {hang};; *) exec {real} "$@";; esac' if phase is Phase.VERIFYING else hang
    studio.toolchain = standing_in(studio.toolchain, ffprobe=program(script))
    film = clips.film(size="64x64", seconds=1)
    running = asyncio.create_task(studio.run(TASK, {"main": film}, limits={limit: "600s"}))
    async with asyncio.timeout(50):
        while not hangs.exists():
            await asyncio.sleep(0.01)
    ahead = 600.0
    ended = await running
    assert phase is studio.snapshots[-1].phase
    assert_deadline(ended, "RUN_TIMEOUT", "soft_run_timeout" if limit.startswith("soft") else "hard_run_timeout")
    assert [] == studio.left()


@pytest.mark.parametrize("limit", ["softRunTimeout", "hardRunTimeout"])
async def test_what_does_not_stop_is_killed(studio, clips, program, limit):
    """An FFmpeg that ignores SIGTERM: a soft limit kills it after the grace, a hard one at once."""
    studio.toolchain = standing_in(studio.toolchain, ffmpeg=program("trap '' TERM\nwhile :; do sleep 0.1; done"))
    attempt = studio.attempt(
        studio.spec(TASK, {"main": clips.film(size="64x64", seconds=1)}, limits={limit: "1s"}),
        cancel_grace=SECOND,
    )
    began = time.monotonic()
    ended = await asyncio.wait_for(attempt.run(), 20)
    took = time.monotonic() - began
    assert_deadline(ended, "RUN_TIMEOUT", "run_timeout (0:00:01)")
    assert took >= (2 if limit.startswith("soft") else 1)


@pytest.mark.parametrize("seconds", [-1.0, 0.7])
async def test_the_time_of_the_whole_job_is_a_limit(studio, clips, program, seconds):
    """Past it, whether it passed on the way to the worker or while FFmpeg runs, the reason is TOTAL_TIMEOUT."""
    studio.toolchain = standing_in(studio.toolchain, ffmpeg=program("exec sleep 60"))
    spec = studio.spec(TASK, {"main": clips.film(size="64x64", seconds=1)}, limits={"totalTimeout": "100s"})
    attempt = studio.attempt(spec, total_deadline=boot_seconds() + seconds)
    ended = await asyncio.wait_for(attempt.run(), 20)
    assert_deadline(ended, "TOTAL_TIMEOUT", "limits.total_timeout")
    assert [] == studio.left()


async def test_a_limit_that_passed_outranks_a_drain(studio, clips, program):
    """FFmpeg is being stopped by the limit when the worker drains: the job has used up its time."""
    studio.toolchain = standing_in(studio.toolchain, ffmpeg=program("trap '' TERM\nwhile :; do sleep 0.1; done"))
    spec = studio.spec(TASK, {"main": clips.film(size="64x64", seconds=1)}, limits={"softRunTimeout": "0.5s"})
    attempt = studio.attempt(spec, cancel_grace=30 * SECOND)
    running = asyncio.create_task(attempt.run())
    async with asyncio.timeout(20):
        while attempt._passed is None:
            await asyncio.sleep(0.01)
    attempt.stop(StopReason.DRAINED, timedelta(0))
    assert_deadline(await asyncio.wait_for(running, 20), "RUN_TIMEOUT", "soft_run_timeout")


async def test_a_limit_that_passes_in_a_window_ends_with_it(studio, clips, monkeypatch):
    """What was promised is kept, and nothing more: another window is not asked for."""
    windows: list[float] = []
    move = Publisher._move

    async def ask() -> Permission:
        windows.append(boot_seconds() + 4)
        return Permission(allowed=True, deadline=windows[-1])

    def slowly(*args: Any) -> None:
        # A file system that hangs for as long as the window is open; the limit passes meanwhile.
        while boot_seconds() < windows[-1]:
            time.sleep(0.01)
        move(*args)

    monkeypatch.setattr(Publisher, "_move", slowly)
    spec = studio.spec(TASK, {"main": clips.film(size="64x64", seconds=1)}, limits={"hardRunTimeout": "3s"})
    assert_deadline(await asyncio.wait_for(studio.attempt(spec, ask).run(), 30), "RUN_TIMEOUT", "hard_run_timeout")
    assert len(windows) <= 1
    assert [] == studio.left()


async def test_a_limit_that_passes_between_windows_ends_at_once(studio, clips):
    """One was over before anything became visible, and the answer about the next one never comes."""
    never = asyncio.Event()

    async def ask() -> Permission:
        if never.is_set():
            await asyncio.Event().wait()
        never.set()
        return Permission(allowed=True, deadline=boot_seconds() - 1)

    spec = studio.spec(TASK, {"main": clips.film(size="64x64", seconds=1)}, limits={"hardRunTimeout": "2s"})
    assert_deadline(await asyncio.wait_for(studio.attempt(spec, ask).run(), 30), "RUN_TIMEOUT", "hard_run_timeout")
    assert [] == studio.left()


async def test_time_that_is_enough_changes_nothing(studio, clips):
    """All limits set, none of them passed."""
    limits = {
        "softRunTimeout": "60s",
        "hardRunTimeout": "90s",
        "stallTimeout": "30s",
        "totalTimeout": "100s",
    }
    spec = studio.spec(TASK, {"main": clips.film(size="64x64", seconds=1)}, limits=limits)
    assert isinstance(await studio.attempt(spec, total_deadline=boot_seconds() + 100).run(), Succeeded)


async def test_a_reader_that_hangs_is_a_stall(toolchain, clips):
    """FFmpeg 9 goes on reporting twice a second while its input gives nothing: that is no sign of life."""
    film = clips.make("film.ts", "-i", str(clips.film()), "-c", "copy")
    source, feed = os.pipe()
    os.set_blocking(feed, False)
    os.write(feed, film.read_bytes()[:60_000])
    blocks: list[Block] = []
    usages: list[Usage] = []
    around = Surroundings(
        toolchain=toolchain,
        marker=f"hang-{os.getpid()}",
        stop=StopOrder(),
        stall_timeout=2 * SECOND,
        pass_fds=(source,),
    )
    url = f"file:/proc/self/fd/{source}"
    # It looks at little before it begins.
    little = ("-probesize", "20000", "-analyzeduration", "0")
    arguments = (*whitelists.BEFORE_INPUT, *little, "-i", url, "-map", "0:v", "-f", "null", "-")
    try:
        with pytest.raises(AttemptFailed) as failed:
            await asyncio.wait_for(
                run_ffmpeg(around, arguments, doing="encoding", on_block=blocks.append, on_usage=usages.append), 30
            )
    finally:
        os.close(source)
        os.close(feed)
    failure = failed.value.failure
    assert (FailureKind.RETRYABLE, "STALLED", 1) == (failure.kind, failure.reason, len(usages))
    if (toolchain.ffmpeg_version.number or (9, 0)) >= (7, 0):
        # All the while it said that it was alive.
        assert len(blocks) >= 3


@pytest.mark.parametrize(
    ("script", "kind", "reason"),
    [
        ("exec sleep 60", FailureKind.RETRYABLE, "STALLED"),
        ("while :; do :; done", FailureKind.PERMANENT, "INPUT_OVER_LIMIT"),
    ],
)
async def test_the_deadline_of_a_probe_blames_the_input_only_for_work(
    toolchain, program, tmp_path, monkeypatch, script, kind, reason
):
    """With the stall timeout that callers get, which is longer."""
    monkeypatch.setattr("telecine_worker.ffmpeg.probe.DEADLINE", 2 * SECOND)
    around = Surroundings(
        toolchain=standing_in(toolchain, ffprobe=program(script)), marker=f"hang-{os.getpid()}", stop=StopOrder()
    )
    with (tmp_path / "program").open() as file, pytest.raises(AttemptFailed) as failed:
        await asyncio.wait_for(probe(around, file.fileno(), name="input main"), 30)
    assert (kind, reason) == (failed.value.failure.kind, failed.value.failure.reason)


async def test_damage_that_filters_cannot_take_is_measured(studio, clips, program):
    """A hurt sound track has 38 channels all at once: that is what is in the file, and no option of the caller's."""
    said = "[auto_aresample_0 @ 0x1] [error] Failed to configure output pad\n[error] Error reinitializing filters!"
    studio.toolchain = standing_in(studio.toolchain, ffmpeg=program(f"cat >&2 <<'END'\n{said}\nEND\nexit 234"))
    spec = studio.spec({"probe": {"input": "main", "decode": True}}, {"main": clips.film(size="64x64", seconds=1)})
    spec.ClearField("output")
    ended = await studio.attempt(spec).run()
    assert isinstance(ended, Succeeded), ended
    assert 2 == ended.measurements["decode.error_count"]


async def test_a_probe_that_hangs_is_a_stall(toolchain):
    """Not an input that is at fault: another worker may read it."""
    source, feed = os.pipe()
    around = Surroundings(toolchain=toolchain, marker=f"hang-{os.getpid()}", stop=StopOrder(), stall_timeout=SECOND)
    try:
        with pytest.raises(AttemptFailed) as failed:
            await asyncio.wait_for(probe(around, source, name="input main"), 30)
    finally:
        os.close(source)
        os.close(feed)
    failure = failed.value.failure
    assert (FailureKind.RETRYABLE, "STALLED") == (failure.kind, failure.reason)
    assert "probing input main" in failure.message
