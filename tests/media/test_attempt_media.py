"""The life of an attempt around real FFmpeg: how it is stopped, what it leaves, how it asks before it publishes."""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from media.conftest import always
from support.confined import MODES, confined
from telecine_worker import convert
from telecine_worker.attempt import Attempt, Permission
from telecine_worker.failure import FailureKind
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.outcome import Abandoned, Cancelled, Failed, Returned, StopReason, Succeeded
from telecine_worker.sandbox.confinement import NONE

GRACE = timedelta(seconds=5)
SLOW = {"transcode": {"input": "main", "path": "o.mp4", "video": {"codec": "h264", "preset": "veryslow"}}}
QUICK = {"transcode": {"input": "main", "path": "o.mp4", "video": {"codec": "h264", "preset": "ultrafast"}}}


def processes(marker: str) -> list[int]:
    """Every process whose environment holds the marker of an attempt."""
    wanted = f"TELECINE_ATTEMPT={marker}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def programs(marker: str) -> list[int]:
    """Those that do the work, without what confines them."""
    return [pid for pid in processes(marker) if Path(f"/proc/{pid}/comm").read_text() != "bwrap\n"]


async def until(condition: Any) -> None:
    """Waits until *condition()* holds; fails after ten seconds."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def long_film(clips):
    """Takes far longer to encode than any of these tests."""
    return clips.make(
        "long.mp4",
        *("-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30:duration=60"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
    )


async def begun(studio: Any, attempt: Attempt) -> asyncio.Task[Any]:
    """Runs *attempt* until FFmpeg encodes."""
    task = asyncio.create_task(attempt.run())
    await until(lambda: any(s.phase is Phase.ENCODING and s.frame_count for s in studio.snapshots))
    return task


@pytest.mark.parametrize(
    ("reasons", "end"),
    [
        ([StopReason.CANCELLED], Cancelled),
        ([StopReason.LEASE_LOST], Abandoned),
        ([StopReason.DRAINED], Returned),
        ([StopReason.DRAINED, StopReason.CANCELLED], Cancelled),
        ([StopReason.LEASE_LOST, StopReason.DRAINED], Abandoned),
        ([StopReason.NO_SPACE], Failed),
        ([StopReason.NO_SPACE, StopReason.CANCELLED], Cancelled),
    ],
)
async def test_a_stopped_attempt_leaves_nothing(studio, long_film, reasons, end):
    """Its end says why, FFmpeg is gone (and was there before), nothing is published and nothing stays staged."""
    attempt = studio.attempt(studio.spec(SLOW, {"main": long_film}))
    task = await begun(studio, attempt)
    marker = studio.staging_name(studio.token)
    assert 1 == len(programs(marker))
    for reason in reasons:
        attempt.stop(reason, GRACE)
    ended = await asyncio.wait_for(task, 10)
    assert end is type(ended)
    assert [] == processes(marker)
    assert [] == studio.left()
    assert ended.usage.cpu > timedelta(0)
    # Told by an FFmpeg that was alive then; one that ends at once may be too short to be seen.
    assert ended.usage.peak_memory_bytes > 1_000_000


OWNER = """
import asyncio, os, pickle, sys
from telecine_worker.ffmpeg.command import Command
from telecine_worker.ffmpeg.process import running
from telecine_worker.ffmpeg.stop_order import StopOrder

async def main():
    ffmpeg, marker, confinement = sys.argv[1], sys.argv[2], pickle.loads(bytes.fromhex(sys.argv[3]))
    argv = (ffmpeg, "-v", "quiet", "-progress", "pipe:1", "-f", "lavfi", "-i", "testsrc2=s=64x64", "-f", "null", "-")
    take = lambda _: os.write(1, b".")
    command = Command(argv=argv, marker=marker, confinement=confinement)
    async with running(command, on_output=take, stop=StopOrder()) as child:
        await child.wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("mode", ["off", *MODES])
async def test_no_ffmpeg_survives_a_worker_that_is_killed(toolchain, mode):
    """SIGKILL of the process that owns an endless FFmpeg: the search that found it before finds none after a second."""
    marker, sandbox = f"endless-{mode}-{os.getpid()}", NONE if mode == "off" else confined(mode)
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", OWNER, str(toolchain.ffmpeg), marker, pickle.dumps(sandbox).hex()),
        stdout=asyncio.subprocess.PIPE,
    )
    assert owner.stdout is not None
    await asyncio.wait_for(owner.stdout.readexactly(1), 20)
    assert 1 == len(programs(marker))
    owner.kill()
    await owner.wait()
    async with asyncio.timeout(1):
        while processes(marker):
            await asyncio.sleep(0.01)


async def test_a_cancelled_task_leaves_nothing(studio, long_film):
    """Cancelling the task that runs an attempt ends FFmpeg and removes what was staged before it comes back."""
    attempt = studio.attempt(studio.spec(SLOW, {"main": long_film}))
    task = await begun(studio, attempt)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [] == processes(studio.staging_name(studio.token))
    assert [] == studio.left()


async def test_a_failure_while_being_stopped_is_the_stop(studio, tmp_path):
    """A missing input is found after the job was cancelled: it ends as cancelled."""
    attempt = studio.attempt(studio.spec(QUICK, {"main": tmp_path / "nothing.mp4"}))
    attempt._work._on_progress = lambda _: attempt.stop(StopReason.CANCELLED, GRACE)
    assert Cancelled is type(await attempt.run())


async def test_ffmpeg_that_stands_still_is_ended(studio, long_film):
    """A stopped FFmpeg makes no progress and uses nothing: after the stall timeout it is a retryable failure."""
    attempt = studio.attempt(studio.spec(SLOW, {"main": long_film}, limits={"stallTimeout": "1s"}))
    task = await begun(studio, attempt)
    (pid,) = programs(studio.staging_name(studio.token))
    os.kill(pid, 19)
    ended = await asyncio.wait_for(task, 10)
    assert isinstance(ended, Failed)
    assert (FailureKind.RETRYABLE, "STALLED") == (ended.failure.kind, ended.failure.reason)


async def test_ffmpeg_killed_by_somebody_else_is_a_crash(studio, long_film):
    """A signal that was not ours is a crash, with the signal as exit code."""
    attempt = studio.attempt(studio.spec(SLOW, {"main": long_film}))
    task = await begun(studio, attempt)
    (pid,) = programs(studio.staging_name(studio.token))
    os.kill(pid, 9)
    ended = await asyncio.wait_for(task, 10)
    assert isinstance(ended, Failed)
    assert (FailureKind.CRASH, "FFMPEG_CRASHED", -9) == (
        ended.failure.kind,
        ended.failure.reason,
        ended.failure.exit_code,
    )


@pytest.mark.parametrize("limit", ["softRunTimeout", "hardRunTimeout"])
async def test_a_run_limit_is_a_deadline(studio, long_film, limit):
    """Past its time limit an attempt fails with kind DEADLINE, naming the limit."""
    ended = await studio.run(SLOW, {"main": long_film}, limits={limit: "0.7s"})
    assert isinstance(ended, Failed)
    assert (FailureKind.DEADLINE, "RUN_TIMEOUT") == (ended.failure.kind, ended.failure.reason)
    assert "run_timeout" in ended.failure.message
    assert [] == studio.left()


async def test_nothing_is_visible_before_the_permission(studio, clips):
    """When the question is asked all is staged and nothing published; a refusal leaves nothing."""
    seen = []

    async def refuse() -> Permission:
        seen.append(studio.left())
        return Permission(allowed=False, refusal=StopReason.CANCELLED)

    attempt = studio.attempt(studio.spec(QUICK, {"main": clips.film(size="64x64", seconds=1)}), refuse)
    ended = await attempt.run()
    assert Cancelled is type(ended)
    name = studio.staging_name(2)
    assert [[".telecine", f".telecine/{name}", f".telecine/{name}/out-0.mp4"]] == seen
    assert [] == studio.left()


async def test_a_permission_that_is_over_is_asked_for_again(studio, clips):
    """With a deadline in the past nothing is published; the next permission publishes."""
    deadlines = [time.clock_gettime(time.CLOCK_BOOTTIME) - 1, time.clock_gettime(time.CLOCK_BOOTTIME) + 60]
    seen = []

    async def ask() -> Permission:
        seen.append((studio.output / "o.mp4").exists())
        return Permission(allowed=True, deadline=deadlines.pop(0))

    attempt = studio.attempt(studio.spec(QUICK, {"main": clips.film(size="64x64", seconds=1)}), ask)
    assert isinstance(await attempt.run(), Succeeded)
    assert [False, False] == seen
    assert (studio.output / "o.mp4").exists()


async def test_a_lease_lost_while_asking_publishes_nothing(studio, clips):
    """The question may never be answered: losing the lease ends the waiting."""
    asked = asyncio.Event()

    async def never() -> Permission:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    attempt = studio.attempt(studio.spec(QUICK, {"main": clips.film(size="64x64", seconds=1)}), never)
    task = asyncio.create_task(attempt.run())
    await asyncio.wait_for(asked.wait(), 10)
    attempt.stop(StopReason.LEASE_LOST, timedelta(0))
    assert Abandoned is type(await asyncio.wait_for(task, 10))
    assert [] == studio.left()


async def test_a_defect_of_ours_is_a_failure_without_details(studio, clips):
    """An unexpected exception becomes INTERNAL_ERROR naming its type only; nothing is left."""

    async def broken() -> Permission:
        raise LookupError("secret")

    ended = await studio.attempt(studio.spec(QUICK, {"main": clips.film(size="64x64", seconds=1)}), broken).run()
    assert isinstance(ended, Failed)
    assert (FailureKind.UNKNOWN, "INTERNAL_ERROR") == (ended.failure.kind, ended.failure.reason)
    assert "LookupError" in ended.failure.message
    assert "secret" not in ended.failure.message
    assert [] == studio.left()


async def test_if_exists_fail_keeps_what_is_there(studio, clips):
    """A file of somebody else stays as it is; one that the same job wrote before is replaced."""
    film = clips.film(size="64x64", seconds=1)
    studio.output.mkdir()
    (studio.output / "o.mp4").write_text("mine")
    output = {"uri": studio.output.as_uri(), "ifExists": "IF_EXISTS_FAIL"}
    ended = await studio.run(QUICK, {"main": film}, output=output)
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, "OUTPUT_EXISTS") == (ended.failure.kind, ended.failure.reason)
    assert "mine" == (studio.output / "o.mp4").read_text()
    (studio.output / "o.mp4").unlink()
    await studio.succeed(QUICK, {"main": film}, output=output)
    await studio.succeed(QUICK, {"main": film}, output=output)


async def test_what_cannot_be_reported_is_not_published(studio, clips, monkeypatch):
    """Found out before anything is visible: the job fails, and says what would be right."""
    monkeypatch.setattr(convert, "MOST_OUTCOME_BYTES", 1100)
    ended = await studio.run(QUICK, {"main": clips.film(size="64x64", seconds=1)})
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, "OUTPUT_TOO_LARGE") == (ended.failure.kind, ended.failure.reason)
    assert [] == studio.left()


@pytest.mark.parametrize("path", ["o.mp4", "deeper/o.mp4"])
async def test_a_job_never_replaces_its_own_input(studio, clips, path):
    """It is found out before anything is encoded, and the film stays what it was."""
    film = studio.output / path
    film.parent.mkdir(parents=True)
    film.write_bytes(clips.film(size="64x64", seconds=1).read_bytes())
    before = film.read_bytes()
    studio.roots.append(studio.output)
    ended = await studio.run({"transcode": {**QUICK["transcode"], "path": path}}, {"main": film})
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, "OUTPUT_EXISTS") == (ended.failure.kind, ended.failure.reason)
    assert "input main" in ended.failure.message
    assert Phase.ENCODING not in {snapshot.phase for snapshot in studio.snapshots}
    assert before == film.read_bytes()


async def test_an_input_that_came_to_the_place_of_an_output_is_kept(studio, clips, tmp_path):
    """It was put there while the job ran: it is looked for again before anything becomes visible."""
    film = tmp_path / "in.mp4"
    film.write_bytes(clips.film(size="64x64", seconds=1).read_bytes())

    async def ask() -> Permission:
        (studio.output / "o.mp4").hardlink_to(film)
        return await always()

    ended = await studio.attempt(studio.spec(QUICK, {"main": film}), ask).run()
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, "OUTPUT_EXISTS") == (ended.failure.kind, ended.failure.reason)
    assert film.read_bytes() == (studio.output / "o.mp4").read_bytes()


async def test_ffmpeg_stopped_by_somebody_else_is_a_crash(studio, clips, long_film, tmp_path):
    """SIGTERM, while the log is full of what is wrong with the film: the film is not blamed."""
    hurt = bytearray(clips.make("long.ts", "-i", str(long_film), "-c", "copy").read_bytes())
    for place in random.Random(3).sample(range(20_000, len(hurt)), 400):
        hurt[place] ^= 0xFF
    (tmp_path / "hurt.ts").write_bytes(hurt)
    attempt = studio.attempt(studio.spec(SLOW, {"main": tmp_path / "hurt.ts"}))
    task = await begun(studio, attempt)
    (pid,) = programs(studio.staging_name(studio.token))
    os.kill(pid, 15)
    ended = await asyncio.wait_for(task, 20)
    assert isinstance(ended, Failed)
    assert (FailureKind.CRASH, 255) == (ended.failure.kind, ended.failure.exit_code)


async def test_per_attempt_layout_puts_files_into_a_folder_of_the_attempt(studio, clips):
    """The result points to a folder that no other attempt writes to."""
    film = clips.film(size="64x64", seconds=1)
    ended = await studio.succeed(
        QUICK, {"main": film}, output={"uri": studio.output.as_uri(), "layout": "LAYOUT_PER_ATTEMPT"}
    )
    name = studio.staging_name(2)
    assert [name, f"{name}/o.mp4"] == studio.left()
    assert f"{name}/o.mp4" == ended.artifacts[0].path
    assert ended.artifacts[0].uri == (studio.output / name / "o.mp4").as_uri()


async def test_older_stagings_of_the_job_are_removed(studio, clips):
    """Before it publishes, an attempt removes what older ones staged, and nobody else's."""
    for name in (studio.staging_name(1), "t~other~1~1", studio.staging_name(99)):
        (studio.output / ".telecine" / name).mkdir(parents=True)
        (studio.output / ".telecine" / name / "out-0.mp4").touch()
    await studio.succeed(QUICK, {"main": clips.film(size="64x64", seconds=1)})
    assert {studio.staging_name(99), "t~other~1~1"} == {path.name for path in (studio.output / ".telecine").iterdir()}


@pytest.mark.parametrize("input_name", ["nothing.mp4", "bad.mp4"])
async def test_an_attempt_that_fails_removes_older_stagings(studio, tmp_path, input_name):
    """Whatever its end: what a killed attempt of the job staged is gone, though this one never staged anything."""
    (tmp_path / "bad.mp4").write_bytes(b"no film" * 100)
    left = studio.output / ".telecine" / studio.staging_name(1)
    left.mkdir(parents=True)
    (left / "out-0.mp4").touch()
    ended = await studio.run(QUICK, {"main": tmp_path / input_name})
    assert isinstance(ended, Failed)
    assert [] == studio.left()


async def test_a_name_that_is_no_utf8_fails_with_words(studio):
    """It cannot be told in any message, so it is refused before it could end the worker."""
    spec = studio.spec(QUICK, {"main": studio.output})
    spec.inputs["main"].uri = f"file://{studio.roots[1]}/%ff.mp4"
    ended = await studio.attempt(spec).run()
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, "PATH_NOT_ALLOWED") == (ended.failure.kind, ended.failure.reason)
    assert ended.failure.message.encode()
