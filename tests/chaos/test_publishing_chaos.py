"""Workers that are stopped or killed exactly while they publish: what was committed stays, and nothing is done twice."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.ffmpeg_under_test import frames, make_clip
from support.judged_system import judged_system
from support.processes import Child, System, wait_until
from support.worker_process import MAIN
from telecine.v1 import media_pb2
from telecine_client import AsyncClient, AttemptOutcome, Job, JobState

JOB = f"publishing-{os.getpid()}"
TIMES = {"LEASE_TTL": "6s", "RECONNECT_GRACE": "3s", "ACCEPT_WINDOW": "2s", "PUBLISH_WINDOW": "5s"}
# Wraps both ways in which a file becomes visible.
RENAMING = """
import os, signal, threading
from telecine_worker.storage import publishing
rename, rename_new = os.rename, publishing.rename_new
def replacing(source, target, **folders):
    before()
    rename(source, target, **folders)
    after()
def making(*arguments):
    before()
    rename_new(*arguments)
    after()
os.rename, publishing.rename_new = replacing, making
def before():
    {before}
def after():
    {after}
"""
# To the thread itself: of a signal to the process another thread may hear first, while this one goes on and renames.
STOPPING = RENAMING.format(before="signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)", after="pass")
STOPPING_AFTER = RENAMING.format(before="pass", after="signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)")
DYING = RENAMING.format(before="pass", after="os.kill(os.getpid(), signal.SIGKILL)")
# Dies when its outcome is on disk, and before it is said.
DYING_LATER = """
import os, signal
from telecine_worker.journal import Journal
add = Journal.add
async def added(self, outcome):
    await add(self, outcome)
    os.kill(os.getpid(), signal.SIGKILL)
Journal.add = added
"""
IN_PLACE, PER_ATTEMPT = media_pb2.Output.LAYOUT_IN_PLACE, media_pb2.Output.LAYOUT_PER_ATTEMPT
REPLACE, FAIL = media_pb2.Output.IF_EXISTS_REPLACE, media_pb2.Output.IF_EXISTS_FAIL
ALL = {"in place": (IN_PLACE, REPLACE), "only new": (IN_PLACE, FAIL), "per attempt": (PER_ATTEMPT, REPLACE)}


def outputs(usual: str) -> list[Any]:
    """All of them; but the usual one takes long."""
    return [pytest.param(*ALL[each], id=each, marks=() if each == usual else pytest.mark.long) for each in ALL]


@pytest.fixture
def system() -> Iterator[System]:
    """Ends with the invariants checked and no FFmpeg of ours left."""
    with judged_system(JOB, **TIMES) as system:
        yield system


def prepared(child: Child, prepare: str) -> Child:
    """The same worker, whose program begins with *prepare*."""
    child.argv = [sys.executable, "-c", prepare + MAIN, *child.argv[1:]]
    return child


def spec(source: Path, out: Path, layout: int, if_exists: int) -> media_pb2.JobSpec:
    output = media_pb2.Output(uri=out.as_uri(), layout=layout, if_exists=if_exists)  # type: ignore[arg-type]
    video = media_pb2.Video(codec="h264", preset="ultrafast")
    return media_pb2.JobSpec(
        inputs={"in": media_pb2.Input(uri=source.as_uri())}, output=output,
        task=media_pb2.Task(transcode=media_pb2.TranscodeTask(input="in", path="out.mp4", video=video)),
    )  # fmt: skip


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def is_gone(child: Child) -> bool:
    assert child.process
    return child.process.poll() is not None


def what_is_there(out: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file: which one it is, when it was written, and its bytes."""
    return {
        str(path.relative_to(out)): (path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes())
        for path in out.rglob("*") if path.is_file()
    }  # fmt: skip


async def end(client: AsyncClient) -> Job:
    async with asyncio.timeout(60):
        return await client.wait(JOB)


async def until(condition: object, what: str) -> None:
    await asyncio.to_thread(wait_until, condition, what, 30)


@pytest.mark.parametrize(("layout", "if_exists"), outputs("in place"))
async def test_a_worker_stopped_between_the_yes_and_the_rename(system: System, layout: int, if_exists: int) -> None:
    """It asked, may publish, and stops right before its file becomes visible, until another attempt has committed.
    Continued, it changes nothing: the rename finds no staged file.
    """
    source, out = make_clip(system.media / "in.mp4", seconds=1, size="64x64"), system.media / "out"
    address = system.scheduler().start().ready["grpc"]
    sleeper = prepared(system.worker(address, "sleeper"), STOPPING).start()
    async with AsyncClient(address) as client:
        await client.submit(spec(source, out, layout, if_exists), job_id=JOB)
        await until(lambda: is_stopped(sleeper.pid), "the worker to stop before the rename")
        staged = list(what_is_there(out))
        system.worker(address, "awake").start()
        job = await end(client)
        committed = what_is_there(out)
        sleeper.signal(signal.SIGCONT)
        await until(lambda: "attempt ended" in sleeper.log.read_text(), "the late attempt's end")
        await until(lambda: not (out / ".telecine").exists(), "the late staging to be gone")
        after = await client.get(JOB)

    # One file, and it was not visible.
    assert [True] == [path.startswith(".telecine/") for path in staged]
    assert [("sleeper", AttemptOutcome.LOST), ("awake", AttemptOutcome.SUCCEEDED)] == [
        (a.worker_id, a.outcome) for a in job.attempts
    ]
    assert (JobState.SUCCEEDED, job.revision) == (after.state, after.revision)
    assert committed == what_is_there(out)
    assert job.result
    [artifact] = job.result.artifacts
    assert [artifact.path] == list(committed)
    assert frames(source) == frames(out / artifact.path)


async def test_a_worker_that_goes_on_while_the_next_attempt_publishes(system: System) -> None:
    """The next attempt's file is visible, and nothing of it is tidied up or said yet: the late rename must not find its own."""
    source, out = make_clip(system.media / "in.mp4", seconds=1, size="64x64"), system.media / "out"
    first = system.scheduler("first").start().ready["grpc"]
    # Here a window is longer than the other worker takes to wake up.
    second = system.scheduler("second", TELECINE_PUBLISH_WINDOW="60s").start().ready["grpc"]
    sleeper = prepared(system.worker(first, "sleeper"), STOPPING).start()
    async with AsyncClient(first) as client:
        await client.submit(spec(source, out, IN_PLACE, REPLACE), job_id=JOB)
        await until(lambda: is_stopped(sleeper.pid), "the worker to stop before the rename")
        awake = prepared(system.worker(second, "awake"), STOPPING_AFTER).start()
        await until(lambda: is_stopped(awake.pid), "the other worker to stop after the rename")
        published = what_is_there(out)["out.mp4"]
        sleeper.signal(signal.SIGCONT)
        await until(lambda: "attempt ended" in sleeper.log.read_text(), "the late attempt's end")
        late = what_is_there(out)["out.mp4"]
        awake.signal(signal.SIGCONT)
        job = await end(client)

    assert published == late == what_is_there(out)["out.mp4"]
    assert [("sleeper", AttemptOutcome.LOST), ("awake", AttemptOutcome.SUCCEEDED)] == [
        (a.worker_id, a.outcome) for a in job.attempts
    ]
    assert not (out / ".telecine").exists()


async def test_a_worker_killed_before_its_outcome_is_said(system: System) -> None:
    """The file is there, the outcome is in the journal: the worker's next life says it, and it counts as it is."""
    source, out = make_clip(system.media / "in.mp4", seconds=1, size="64x64"), system.media / "out"
    # Longer than a new life takes to begin.
    address = system.scheduler(TELECINE_PUBLISH_WINDOW="60s").start().ready["grpc"]
    dying = prepared(system.worker(address, "worker"), DYING_LATER).start()
    async with AsyncClient(address) as client:
        await client.submit(spec(source, out, IN_PLACE, FAIL), job_id=JOB)
        await until(lambda: is_gone(dying), "the worker's death")
        dying.wait()
        published = what_is_there(out)
        system.worker(address, "worker").start()
        job = await end(client)

    assert (JobState.SUCCEEDED, 1) == (job.state, job.attempt_count)
    assert (["out.mp4"], published) == (list(published), what_is_there(out))


@pytest.mark.parametrize(("layout", "if_exists"), outputs("only new"))
async def test_a_worker_killed_after_the_rename_with_its_journal_lost(
    system: System, layout: int, if_exists: int
) -> None:
    """Nobody knows that the file is there: the next attempt makes it again, over the job's own file even where it may replace
    no others.
    """
    source, out = make_clip(system.media / "in.mp4", seconds=1, size="64x64"), system.media / "out"
    address = system.scheduler().start().ready["grpc"]
    dying = prepared(system.worker(address, "worker"), DYING).start()
    async with AsyncClient(address) as client:
        await client.submit(spec(source, out, layout, if_exists), job_id=JOB)
        await until(lambda: is_gone(dying), "the worker's death")
        dying.wait()
        published = {name: file for name, file in what_is_there(out).items() if not name.startswith(".telecine")}
        shutil.rmtree(system.folder / "worker.state")
        system.worker(address, "worker").start()
        job = await end(client)

    assert 1 == len(published)
    assert [AttemptOutcome.LOST, AttemptOutcome.SUCCEEDED] == [a.outcome for a in job.attempts]
    assert job.result
    [artifact] = job.result.artifacts
    assert frames(source) == frames(out / artifact.path)
    assert what_is_there(out)[artifact.path][0] != next(iter(published.values()))[0]
    assert not (out / ".telecine").exists()
