"""The stand-in is what a worker takes for FFmpeg, and does what jobs tell it to."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.rig.history import History
from chaos.rig.specs import written_by
from chaos.rig.stand_in import FAILED, STOPPED, Behaviour
from chaos.rig.tools import Tools
from support.ffmpeg_under_test import ffmpeg, frames, make_clip, toolchain_under_test
from support.processes import wait_until
from telecine_worker.ffmpeg.toolchain import find

ATTEMPT = "tenant~job~1~42"


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    return Tools(tmp_path)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mp4", seconds=1, size="64x64")


@pytest.fixture
def children() -> Iterator[list[subprocess.Popen[str]]]:
    """Killed and reaped at the end."""
    started: list[subprocess.Popen[str]] = []
    yield started
    for child in started:
        child.kill()
        child.communicate()


def run(tools: Tools, clip: Path, behaviour: Behaviour, seconds: float) -> subprocess.Popen[str]:
    """Start it as a worker does."""
    argv = [tools.ffmpeg("W1"), "-progress", "pipe:1", "-y", "-i", f"file:{clip}", "-g", behaviour, "-t", f"{seconds}"]
    return subprocess.Popen(
        [*argv, "file:out.mp4"], cwd=clip.parent, env={"TELECINE_ATTEMPT": ATTEMPT}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_worker_finds_the_same_toolchain(tools: Tools) -> None:
    """What it offers is what the real pair offers, encoders of libraries included."""
    real, program = toolchain_under_test(), tools.ffmpeg("W1")

    assert replace(real, ffmpeg=program) == find(ffmpeg=program, ffprobe=tools.ffprobe)


def test_it_copies_and_says_who_wrote(tools: Tools, clip: Path) -> None:
    """Progress on the way; the file decodes cleanly, is the input's picture, and holds the token; both events are there."""
    said, complaints = run(tools, clip, Behaviour.COPY, 0.5).communicate(timeout=30)
    out = clip.parent / "out.mp4"

    assert "" == complaints
    assert said.count("progress=continue") >= 2
    assert said.endswith("progress=end\n")
    assert frames(clip) == frames(out)
    assert "" == ffmpeg("-v", "error", "-xerror", "-i", str(out), "-f", "null", "-")
    assert (42, None) == (written_by(out), written_by(clip))
    events = History(tools.history).events()
    assert [("ffmpeg_start", "W1", ATTEMPT), ("ffmpeg_stop", "W1", ATTEMPT)] == [
        (event["event"], event["worker"], event["attempt"]) for event in events
    ]
    assert (os.getpid(), 0) == (events[0]["parent"], events[1]["code"])


def test_it_honours_sigterm_or_not(tools: Tools, clip: Path, children: list[subprocess.Popen[str]]) -> None:
    """As FFmpeg it ends with 255; deaf, it goes on."""
    ends = {}
    for behaviour in (Behaviour.COPY, Behaviour.DEAF):
        child = run(tools, clip, behaviour, 1.0)
        children.append(child)
        assert child.stdout
        # Signals are set up by its first report.
        child.stdout.readline()
        child.send_signal(signal.SIGTERM)
        ends[behaviour] = child.wait(30)

    assert {Behaviour.COPY: STOPPED, Behaviour.DEAF: 0} == ends


def test_it_fails(tools: Tools, clip: Path) -> None:
    """With a line that is taken for an error of the disk."""
    child = run(tools, clip, Behaviour.FAIL, 0.0)
    _, complaints = child.communicate(timeout=30)

    assert (FAILED, True) == (child.returncode, "Input/output error" in complaints)


def test_it_kills_its_worker(tools: Tools, clip: Path, children: list[subprocess.Popen[str]]) -> None:
    """Whoever started it dies by SIGKILL."""
    inner = [tools.ffmpeg("W1"), "-progress", "pipe:1", "-i", f"file:{clip}", "-g", Behaviour.KILL_WORKER, "-t", "0.1"]
    worker = subprocess.Popen(
        ["/bin/sh", "-c", '"$@" & wait', "worker", *map(str, inner), "file:out.mp4"], cwd=clip.parent, text=True,
        env={"TELECINE_ATTEMPT": ATTEMPT}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    children.append(worker)

    assert -signal.SIGKILL == worker.wait(30)
    orphan = History(tools.history).events()[0]["pid"]
    os.kill(orphan, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{orphan}").exists(), "the stand-in to be gone")


def test_it_leaves_the_rest_to_the_real_one(tools: Tools, clip: Path) -> None:
    """Decoding, and encodes without one of its own words; an encode is noted as real."""
    program = tools.ffmpeg("W1")
    env = {"TELECINE_ATTEMPT": ATTEMPT}
    made = clip.parent / "real.mp4"
    subprocess.run([program, "-v", "error", "-i", clip, "-f", "null", "-"], env=env, check=True)
    argv = [program, "-v", "error", "-progress", "pipe:2", "-y", "-i", clip, "-c:v", "mpeg4", made]
    subprocess.run(argv, env=env, check=True, stderr=subprocess.DEVNULL)

    assert frames(clip) == frames(made)
    assert [("ffmpeg_start", True)] == [(e["event"], e["real"]) for e in History(tools.history).events()]
