"""A real encode: the run of FFmpeg within a job beside the bare command with the same arguments."""

from __future__ import annotations

import asyncio
import os
import re
import select
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from bench.drivers import connections
from bench.drivers.costs import TICKS_PER_SECOND
from bench.drivers.figures import Figures
from bench.drivers.request import Request
from telecine.v1 import job_pb2, media_pb2
from telecine.v1 import scheduler_service_pb2 as pb
from telecine_client.job_id import new_job_id

ENCODER = "libx264"
START_SECONDS = 30.0
LONGEST_RUN_SECONDS = 600.0
DESCRIPTOR = re.compile(r"/proc/self/fd/\d+")
# Workers run FFmpeg below everything else.
NICE = ("nice", "-n", "10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of FFmpeg within a job, from the fork to the end; *arguments* follow the program."""

    arguments: tuple[str, ...]
    seconds: float


async def measure(request: Request) -> Figures:
    """around_s is the rest of the attempt: opening, probing, planning, verifying, publishing. whole_s is from submit to end."""
    clip = Path(request.clip)
    job_id, began = new_job_id(), time.monotonic()
    async with connections.scheduler(request) as stub:
        await stub.SubmitJob(pb.SubmitJobRequest(job_id=job_id, spec=encode(clip, Path(request.media) / "out")))
        running = asyncio.create_task(asyncio.to_thread(follow, request.worker_pid, request.ffmpeg))
        async for response in stub.WatchJob(pb.WatchJobRequest(job_id=job_id)):
            job = response.job
        whole = time.monotonic() - began
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED, job
    run = await running
    bare = bare_seconds(request, run, clip)
    attempt = (job.end_time.ToNanoseconds() - job.start_time.ToNanoseconds()) / 1e9
    return Figures(
        values={
            "run_s": run.seconds,
            "bare_s": bare,
            "run_by_bare": run.seconds / bare,
            "around_s": attempt - run.seconds,
            "whole_s": whole,
        }
    )


def encode(clip: Path, output: Path) -> media_pb2.JobSpec:
    """One pass of x264."""
    video = media_pb2.Video(codec="h264", crf=23, preset="medium")
    return media_pb2.JobSpec(
        inputs={"in": media_pb2.Input(uri=clip.as_uri())},
        output=media_pb2.Output(uri=output.as_uri()),
        task=media_pb2.Task(transcode=media_pb2.TranscodeTask(input="in", path="out.mp4", video=video)),
    )


def follow(worker_pid: int, ffmpeg: str) -> Run:
    """Wait for the worker's encode to begin, then for its end. Blocks: for a thread."""
    pid, arguments = found_encode(worker_pid, ffmpeg)
    pidfd = os.pidfd_open(pid)
    try:
        # Field 22: when it was made, counted from the start of the machine.
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        ended, _, _ = select.select([pidfd], [], [], LONGEST_RUN_SECONDS)
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
    finally:
        os.close(pidfd)
    assert ended, f"the encode took longer than {LONGEST_RUN_SECONDS} s"
    return Run(arguments=arguments, seconds=now - ticks / TICKS_PER_SECOND)


def found_encode(worker_pid: int, ffmpeg: str) -> tuple[int, tuple[str, ...]]:
    """Process id and arguments of the worker's child that encodes."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        for pid in children(worker_pid):
            arguments = command(pid)
            # The launcher, and bubblewrap, have the program and its arguments behind their own, among which it may stand, too.
            if ENCODER in arguments and ffmpeg in arguments:
                return pid, arguments[len(arguments) - arguments[::-1].index(ffmpeg) :]
        time.sleep(0.002)
    raise AssertionError(f"no encode was seen within {START_SECONDS} s")


def children(pid: int) -> list[int]:
    """Of any of its threads."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def command(pid: int) -> tuple[str, ...]:
    """Empty where it has ended."""
    try:
        return tuple(Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1])
    except FileNotFoundError:
        return ()


def bare_seconds(request: Request, run: Run, clip: Path) -> float:
    """The same command at the same priority, reading the clip by its path."""
    folder = Path(request.folder) / "bare"
    folder.mkdir()
    arguments = [DESCRIPTOR.sub(lambda _: str(clip), argument) for argument in run.arguments]
    began = time.monotonic()
    subprocess.run(
        [*NICE, request.ffmpeg, *arguments],
        cwd=folder, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        timeout=LONGEST_RUN_SECONDS,
    )  # fmt: skip
    return time.monotonic() - began
