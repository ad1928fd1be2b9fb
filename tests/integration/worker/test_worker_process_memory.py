"""The memory of a worker's own process stays small, whatever FFmpeg prints, and however large or many the files are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import scripted_scheduler
from support.ffmpeg_under_test import ffmpeg, make_clip, toolchain_under_test
from support.s3_server import S3, s3_server
from support.scripted_scheduler import ScriptedScheduler
from support.worker_bench import lease
from support.worker_process import Start
from telecine.v1 import lease_service_pb2 as pb
from telecine.v1 import media_pb2

MOST_BYTES = 100_000_000
JOB_SECONDS = 300.0
# Says what it is told to say, then is FFmpeg: where a film is made, and not where one is looked at.
CHATTY = """#!/bin/sh
case "$*" in *"-f matroska"*) yes '[warning] frame {frame} of something' | head -c {lines} >&2
head -c {line} /dev/zero | tr '\\0' x >&2 ;; esac
exec {ffmpeg} "$@"
"""

Run = Callable[[media_pb2.JobSpec], Any]


def peak_bytes(pid: int) -> int:
    """The largest resident memory that a process itself has had so far."""
    found = re.search(r"^VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) * 1024


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large jobs take their time."""
    monkeypatch.setattr(scripted_scheduler, "SECONDS", JOB_SECONDS)


@pytest.fixture
def peak(scheduler: ScriptedScheduler, start: Start) -> Run:
    """Runs one job, which has to succeed, in a worker of its own; what the worker's peak was. Prints it, too."""

    async def run(spec: media_pb2.JobSpec, *settings: str, files: int = 1) -> int:
        async with start("", *settings) as process:
            stream = await scheduler.welcomed()
            at_rest = peak_bytes(process.pid)
            stream.grant(lease(), spec=spec.SerializeToString())
            stream.decide((await stream.publish_request()).lease, pb.PublishDecision.DECISION_ALLOWED)
            outcome = await stream.outcome()
            assert outcome.HasField("succeeded"), outcome
            assert files <= sum(max(1, each.file_count) for each in outcome.succeeded.artifacts)
            found = peak_bytes(process.pid)
        print(f"peak of the worker: {found / 1e6:.1f} MB; {at_rest / 1e6:.1f} MB before the job")
        return found

    return run


def copied(source: str, output: str) -> media_pb2.JobSpec:
    """A job that copies a film, as MKV."""
    spec = media_pb2.JobSpec(inputs={"main": media_pb2.Input(uri=source)})
    spec.output.uri = output
    spec.task.transcode.input, spec.task.transcode.path = "main", "film.mkv"
    spec.task.transcode.video.codec = "copy"
    return spec


@pytest.mark.parametrize("megabytes", [60, pytest.param(200, marks=pytest.mark.long)])
async def test_whatever_ffmpeg_prints(peak: Run, tmp_path: Path, megabytes: int) -> None:
    """Many lines, and then a line that never ends."""
    tools = toolchain_under_test()
    program = tmp_path / "ffmpeg"
    half = megabytes * 500_000
    program.write_text(CHATTY.format(frame="7" * 60, lines=half, line=half, ffmpeg=tools.ffmpeg))
    program.chmod(0o755)
    film = make_clip(tmp_path / "film.mp4", seconds=1, size="64x64", audio=False)
    # What is confined may run FFmpeg alone.
    settings = ("--ffmpeg", str(program), "--sandbox", "off")
    assert await peak(copied(film.as_uri(), (tmp_path / "out").as_uri()), *settings) <= MOST_BYTES


@pytest.mark.long
@pytest.mark.parametrize("checked", [False, True], ids=["opened", "with its checksum"])
async def test_however_large_an_input_is(peak: Run, tmp_path: Path, checked: bool) -> None:
    """4 GiB, most of them a hole; read where it lies, once whole where it is to be checked."""
    film = make_clip(tmp_path / "film.mp4", seconds=1, size="64x64", audio=False)
    size = film.stat().st_size
    with film.open("r+b") as file:
        # A box that players skip has the rest.
        file.seek(size)
        file.write((1).to_bytes(4, "big") + b"free" + ((4 << 30) - size).to_bytes(8, "big"))
        file.truncate(4 << 30)
    spec = copied(film.as_uri(), (tmp_path / "out").as_uri())
    if checked:
        with film.open("rb") as file:
            spec.inputs["main"].sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    assert await peak(spec) <= MOST_BYTES


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """A bucket, and the environment of a worker that may use it."""
    with s3_server() as (host, port, client):
        made = S3(host=host, port=port, client=client)
        client.create_bucket(Bucket=made.bucket)
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.mark.long
async def test_however_large_an_output_is(peak: Run, tmp_path: Path, s3: S3) -> None:
    """256 MiB go to a store: far more parts than are in memory at once, and no more than a test server puts together soon."""
    film = tmp_path / "film.mkv"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "anullsrc=channel_layout=7.1:sample_rate=96000",
        "-t",
        "176",
        "-c:a",
        "pcm_s16le",
        str(film),
    )
    assert film.stat().st_size > 1 << 28
    spec = copied(film.as_uri(), s3.uri("out"))
    spec.task.transcode.ClearField("video")
    spec.task.transcode.audio.codec = "copy"
    assert await peak(spec, "--store-roots", s3.uri()) <= MOST_BYTES


@pytest.mark.long
async def test_however_many_files_there_are(peak: Run, tmp_path: Path) -> None:
    """A package of 6,000 segments, in three renditions."""
    film = make_clip(tmp_path / "film.mp4", seconds=1000, size="64x36", rate=4, audio=False)
    spec = media_pb2.JobSpec(inputs={"main": media_pb2.Input(uri=film.as_uri())})
    spec.output.uri = (tmp_path / "out").as_uri()
    task = spec.task.packaging
    task.input, task.directory = "main", "show"
    task.segment_duration.FromMilliseconds(500)
    task.gop_duration.FromMilliseconds(500)
    for name in "abc":
        task.renditions.add(name=name, video=media_pb2.Video(codec="h264", preset="ultrafast"))
    assert await peak(spec, files=6000) <= MOST_BYTES
