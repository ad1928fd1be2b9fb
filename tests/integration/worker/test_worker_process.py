"""The worker as a process, with its signals and exit codes, against a scheduler that the test scripts."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import grpc
import pytest

from support.ffmpeg_under_test import make_clip
from support.scripted_scheduler import ScriptedScheduler
from support.worker_bench import lease
from support.worker_process import Start, ended, working
from telecine.v1 import lease_service_pb2 as pb
from telecine.v1 import media_pb2

# In the place of FFmpeg: an attempt that goes on until it is stopped.
LASTING = """
import asyncio, os
from telecine_worker import app
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.outcome import Returned

class Lasting:
    def __init__(self, assignment, **_):
        self._stopped = asyncio.Event()
    def stop(self, reason, grace):
        self._stopped.set()
    async def run(self):
        await self._stopped.wait()
        return Returned(usage=Usage(), reason="DRAINING")

app.Attempt = Lasting
"""
# A real attempt whose input lies in a file system that is gone.
HANGING = """
import threading
from datetime import timedelta
from telecine_worker import app, inputs
app.ENDING = timedelta(seconds=0.3)
inputs.open_source = lambda *_, **__: threading.Event().wait()
"""
CRASHING = """
from telecine_worker import app
async def crash(self):
    raise LookupError("boom")
app.Worker.run = crash
"""


async def test_a_probe_is_answered_without_publishing(
    scheduler: ScriptedScheduler, start: Start, tmp_path: Path
) -> None:
    """What the file is, what was found, and no question whether anything may be published. And what the worker offers: what
    its FFmpeg can do, and what the operator adds.
    """
    clip = make_clip(tmp_path / "clip.mp4", seconds=1, size="64x64")
    spec = media_pb2.JobSpec(inputs={"main": media_pb2.Input(uri=clip.as_uri())})
    spec.task.probe.CopyFrom(media_pb2.ProbeTask(input="main", decode=True, detect_silence=True))
    async with start("", "--capabilities", "gpu/nvidia,task/probe"):
        stream = await scheduler.welcomed()
        stream.grant(lease(), spec=spec.SerializeToString())
        await stream.accept()
        outcome = await stream.outcome()
    offered = list(stream.hello.capabilities)
    assert {"gpu/nvidia", "task/probe", "task/thumbnails", "encoder/libx264"} <= set(offered)
    assert sorted(set(offered)) == offered
    result = outcome.succeeded
    assert ("h264", 64) == (
        result.inputs["main"].video_streams[0].codec,
        result.inputs["main"].video_streams[0].width_px,
    )
    assert (30, 0, 0) == tuple(
        result.measurements[name] for name in ("decode.video_frame_count", "decode.error_count", "silence.count")
    )
    assert (0, 0) == (len(result.artifacts), stream.count("publish_requests"))


async def test_no_common_protocol_ends_it_with_words(scheduler: ScriptedScheduler, start: Start) -> None:
    """Exit code 2: starting it again as it is would not help."""
    async with start() as process:
        stream = await scheduler.stream()
        await stream.fail(grpc.StatusCode.FAILED_PRECONDITION, "UNSUPPORTED_PROTOCOL")
        code, said = await ended(process)
    assert (2, True) == (code, "telecine-worker: scripted UNSUPPORTED_PROTOCOL" in said)


async def test_a_worker_that_is_refused_returns_what_it_holds(
    scheduler: ScriptedScheduler, start: Start, tmp_path: Path
) -> None:
    """A scheduler of another version takes over: the attempt is given back at once, and its outcome kept for a next life."""
    async with start(LASTING, "--drain", "10m") as process:
        stream = await working(scheduler)
        await stream.fail(grpc.StatusCode.UNAVAILABLE)
        while process.returncode is None:
            refusing = asyncio.create_task(scheduler.stream())
            ending = asyncio.create_task(process.wait())
            await asyncio.wait({refusing, ending}, return_when=asyncio.FIRST_COMPLETED)
            if refusing.done():
                await refusing.result().fail(grpc.StatusCode.FAILED_PRECONDITION, "UNSUPPORTED_PROTOCOL")
            refusing.cancel()
            ending.cancel()
        code, _ = await ended(process)
    kept = [pb.Outcome.FromString(path.read_bytes()) for path in (tmp_path / "work" / "journal").glob("*.outcome")]
    assert (2, [(lease(), "returned")]) == (code, [(each.lease, each.WhichOneof("kind")) for each in kept])


async def test_sigterm_waits_for_attempts(scheduler: ScriptedScheduler, start: Start) -> None:
    """The first signal begins a patient drain: credit 0, and the attempt goes on."""
    async with start(LASTING, "--drain", "1m") as process:
        stream = await working(scheduler)
        process.send_signal(signal.SIGTERM)
        assert 1 == await stream.credit()
        assert 0 == stream.count("outcomes")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_the_patience(scheduler: ScriptedScheduler, start: Start, number: int) -> None:
    """The attempt is returned at once, Bye is the last word, and the exit code 0."""
    async with start(LASTING, "--drain", "10m") as process:
        stream = await working(scheduler)
        process.send_signal(signal.SIGTERM)
        await stream.credit()
        process.send_signal(number)
        outcome = await stream.outcome()
        stream.acknowledge(outcome.lease)
        await stream.bye()
        await stream.close()
        code, _ = await ended(process)
    assert ("returned", 0) == (outcome.WhichOneof("kind"), code)


DEAF = """
import threading
from telecine_worker import app, health
health.ANSWER_SECONDS = 0.1
app.ailment_of = lambda *_: threading.Event().wait()
"""


async def test_a_work_dir_that_hangs_does_not_keep_the_process(scheduler: ScriptedScheduler, start: Start) -> None:
    """No work is asked for while it does, and SIGTERM ends the process all the same."""
    async with start(DEAF, "--drain", "0s") as process:
        stream = await scheduler.welcomed()
        while await stream.credit():
            pass
        process.send_signal(signal.SIGTERM)
        await stream.bye()
        code, said = await ended(process)
    assert (1, True) == (code, "does not answer" in said)


async def test_what_hangs_does_not_keep_the_process(scheduler: ScriptedScheduler, start: Start) -> None:
    """An attempt in a file system that does not answer: the process ends all the same, and says that it was not clean."""
    async with start(HANGING, "--drain", "0s") as process:
        stream = await working(scheduler)
        process.send_signal(signal.SIGTERM)
        await stream.bye()
        code, said = await ended(process)
    assert (1, True) == (code, "worker ends with something that hangs" in said)


async def test_a_crash_is_one_line_of_the_log(start: Start) -> None:
    """Exit code 1, JSON with the traceback, and nothing drawn around it."""
    async with start(CRASHING) as process:
        code, said = await ended(process)
    (line,) = said.splitlines()
    assert (1, "worker crashed", "error") == (code, json.loads(line)["event"], json.loads(line)["level"])
    assert "boom" in line
