"""A worker process that is not fit: its programs or its folder are gone, or its event loop hangs."""

from __future__ import annotations

import asyncio
import shutil
import urllib.error
import urllib.request
from pathlib import Path

from support.ffmpeg_under_test import make_clip, toolchain_under_test
from support.http_server import Film, HttpServer
from support.processes import ffmpeg_children
from support.scripted_scheduler import ScriptedScheduler, ScriptedStream
from support.worker_bench import lease
from support.worker_process import Start, ended, working
from telecine.v1 import lease_service_pb2 as pb
from telecine.v1 import media_pb2

# Looks once, and then only where an attempt fails suspiciously.
LOOKING_ONCE = """
from datetime import timedelta
from telecine_worker import app
app.PERIOD = timedelta(hours=1)
"""
# In the place of FFmpeg a process that lasts, and then the loop is kept.
KEEPING = """
import asyncio, sys, time
from telecine_process import loop_watch
from telecine_worker import app
from telecine_worker.ffmpeg.command import Command, spawn
loop_watch.HUNG_SECONDS = 2.0

class Keeping:
    def __init__(self, assignment, **_):
        self._marker = assignment.staging_name
    def stop(self, reason, grace):
        pass
    async def run(self):
        lasting = (sys.executable, "-c", "import time; print(flush=True); time.sleep(60)")
        child = spawn(Command(argv=lasting, marker=self._marker))
        child.stdout.readline()
        print("child", child.pid, flush=True)
        await asyncio.sleep(0.2)
        time.sleep(60)

app.Attempt = Keeping
"""


async def endpoint(process: asyncio.subprocess.Process) -> str:
    """Where its metrics are, from its ready line."""
    assert process.stdout
    line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
    return line.split("metrics=")[1].strip()


async def ready(scheduler: ScriptedScheduler, process: asyncio.subprocess.Process) -> tuple[ScriptedStream, str]:
    stream = await scheduler.welcomed()
    return stream, await endpoint(process)


def look(address: str, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


async def said(address: str, path: str, words: str) -> int:
    """The code with which *path* says these words, as soon as it does."""
    async with asyncio.timeout(30):
        while True:
            code, text = await asyncio.to_thread(look, address, path)
            if words in text:
                return code
            await asyncio.sleep(0.02)


def probe_of(uri: str) -> bytes:
    spec = media_pb2.JobSpec(inputs={"main": media_pb2.Input(uri=uri)})
    spec.task.probe.CopyFrom(media_pb2.ProbeTask(input="main"))
    return spec.SerializeToString()


async def credit_for(stream: ScriptedStream, limit: int) -> None:
    """Until the worker says so much."""
    while await stream.credit() != limit:
        pass


def probing(folder: Path) -> Path:
    """An ffprobe of ours, for something to happen to."""
    program = folder / "ffprobe"
    program.write_text(f'#!/bin/sh\nexec {toolchain_under_test().ffprobe} "$@"\n')
    program.chmod(0o755)
    return program


async def test_a_program_that_cannot_be_started(scheduler: ScriptedScheduler, start: Start, tmp_path: Path) -> None:
    """Its rights were taken while the worker runs: the job goes back, no more is taken, and the endpoint says why."""
    clip = make_clip(tmp_path / "clip.mp4", seconds=1, size="64x64")
    program = probing(tmp_path)
    async with start(LOOKING_ONCE, "--ffprobe", str(program)) as process:
        stream, metrics = await ready(scheduler, process)
        program.chmod(0o644)
        stream.grant(lease(), spec=probe_of(clip.as_uri()))
        assert pb.Accept.REFUSAL_UNSPECIFIED == (await stream.accept()).refusal
        outcome = await stream.outcome()
        await credit_for(stream, 1)
        assert ("returned", "UNHEALTHY") == (outcome.WhichOneof("kind"), outcome.returned.reason)
        assert 200 == await said(metrics, "/healthz", "is no program any more")
        assert 503 == await said(metrics, "/readyz", "is no program any more")
        assert 200 == await said(metrics, "/metrics", "telecine_worker_healthy 0.0")


async def test_a_program_that_does_not_start(scheduler: ScriptedScheduler, start: Start, tmp_path: Path) -> None:
    """An upgrade took what it needs, which no look shows but starting it does: the job goes back, and no more is taken."""
    clip = make_clip(tmp_path / "clip.mp4", seconds=1, size="64x64")
    program = probing(tmp_path)
    async with start(LOOKING_ONCE, "--ffprobe", str(program)) as process:
        stream, metrics = await ready(scheduler, process)
        program.write_text("#!/nonexistent/sh\n")
        stream.grant(lease(), spec=probe_of(clip.as_uri()))
        outcome = await stream.outcome()
        await credit_for(stream, 1)
        assert ("returned", "UNHEALTHY") == (outcome.WhichOneof("kind"), outcome.returned.reason)
        assert 503 == await said(metrics, "/readyz", "does not say its version")


async def test_a_work_dir_that_is_gone(scheduler: ScriptedScheduler, start: Start, tmp_path: Path) -> None:
    """What is fetched has no place: the job goes back, though its outcome cannot be kept in the journal."""
    async with (
        HttpServer(Film(content=b"film")) as server,
        start(LOOKING_ONCE, "--http-allow", "127.0.0.0/8", "--slots", "2") as process,
    ):
        stream, metrics = await ready(scheduler, process)
        shutil.rmtree(tmp_path / "work")
        stream.grant(lease(), spec=probe_of(server.url))
        outcome = await stream.outcome()
        assert ("returned", "UNHEALTHY") == (outcome.WhichOneof("kind"), outcome.returned.reason)
        await credit_for(stream, 1)
        assert 503 == await said(metrics, "/readyz", "takes no files")


async def test_a_loop_that_hangs_takes_the_process_along(
    scheduler: ScriptedScheduler, start: Start, tmp_path: Path
) -> None:
    """Exit code 70 with what it was doing; its child ends, too, and its journal is as it was."""
    kept = pb.Outcome(lease=lease("kept", 9), cancelled=pb.Outcome.Cancelled())
    journal = tmp_path / "work" / "journal"
    journal.mkdir(parents=True)
    (journal / "a~kept~9.outcome").write_bytes(kept.SerializeToString())
    async with start(KEEPING) as process:
        stream = await working(scheduler)
        assert process.stdout
        while not (line := (await asyncio.wait_for(process.stdout.readline(), 30)).decode()).startswith("child"):
            pass
        assert int(line.split()[1]) in ffmpeg_children("a~job~1~1")
        code, log = await ended(process)
        async with asyncio.timeout(30):
            while ffmpeg_children("a~job~1~1"):
                await asyncio.sleep(0.02)

    assert (70, [kept]) == (code, list(stream.hello.unconfirmed_outcomes))
    assert [kept] == [pb.Outcome.FromString(path.read_bytes()) for path in journal.iterdir()]
    assert "event loop hangs" in log
    assert "<string>" in log
