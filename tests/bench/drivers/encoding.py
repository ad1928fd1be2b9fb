"""A real encode: the run of FFmpeg within a job, and the whole attempt, beside the bare command with the same arguments."""

from __future__ import annotations

import asyncio
import os
import re
import select
import statistics
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


REAPED_SECONDS = 5.0
# By what a ratio is: which seconds of a job, by which of the bare command.
RATIOS = {"run": "bare", "attempt": "bare", "run_cpu": "bare_cpu", "attempt_cpu": "bare_cpu"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of FFmpeg within a job, from the fork to the end, whatever confines it; *arguments* follow the program."""

    arguments: tuple[str, ...]
    seconds: float
    cpu_seconds: float


async def measure(request: Request) -> Figures:
    """Jobs and bare commands in turns, so many pairs as the sizes say: medians, and ratios of medians and of the least.

    run_s is FFmpeg's within a job, sandbox included; attempt_s is from the lease to the result, around_s what of it is not
    the run: opening, probing, planning, verifying, publishing; whole_s is from submit to end. attempt_cpu_s is that of all
    children. What a phase takes has its name.
    """
    found: dict[str, list[float]] = {}
    arguments: tuple[str, ...] = ()
    async with connections.scheduler(request) as stub:
        for pair in range(request.sizes.pairs):
            # The first job says what the bare command is.
            bare_first = pair % 2 == 1
            if bare_first:
                gather(found, await asyncio.to_thread(bare, request, arguments, pair))
            values, arguments = await job(request, stub, pair)
            gather(found, values)
            if not bare_first:
                gather(found, await asyncio.to_thread(bare, request, arguments, pair))
    return Figures(values={f"{name}_s": statistics.median(values) for name, values in found.items()} | ratios(found))


def gather(found: dict[str, list[float]], values: Mapping[str, float]) -> None:
    """Put each value to those of its name."""
    for name, value in values.items():
        found.setdefault(name, []).append(value)


def ratios(found: Mapping[str, Iterable[float]]) -> dict[str, float]:
    """Of medians, and of the least: what others do on the machine only ever adds to those."""
    made = {}
    for over, under in RATIOS.items():
        name = f"{over}_by_bare"
        made[name] = statistics.median(found[over]) / statistics.median(found[under])
        made[f"{name}_least"] = min(found[over]) / min(found[under])
    return made


async def job(request: Request, stub: Any, pair: int) -> tuple[dict[str, float], tuple[str, ...]]:
    """Seconds by name of one job, and the arguments that FFmpeg had."""
    job_id, began = new_job_id(), time.monotonic()
    spec = encode(Path(request.clip), Path(request.media) / f"out-{pair}")
    await stub.SubmitJob(pb.SubmitJobRequest(job_id=job_id, spec=spec))
    running = asyncio.create_task(asyncio.to_thread(follow, request.worker_pid, request.ffmpeg))
    async for response in stub.WatchJob(pb.WatchJobRequest(job_id=job_id)):
        seen = response.job
    whole = time.monotonic() - began
    assert seen.state == job_pb2.JOB_STATE_SUCCEEDED, seen
    run = await running
    attempt = (seen.end_time.ToNanoseconds() - seen.start_time.ToNanoseconds()) / 1e9
    [only] = (await stub.GetJob(pb.GetJobRequest(job_id=job_id))).job.attempts
    phases = {name.lower(): spent.ToNanoseconds() / 1e9 for name, spent in only.phase_durations.items()}
    return phases | {
        "run": run.seconds, "run_cpu": run.cpu_seconds, "attempt": attempt, "around": attempt - run.seconds,
        "attempt_cpu": only.cpu_duration.ToNanoseconds() / 1e9, "whole": whole,
    }, run.arguments  # fmt: skip


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
    pidfd, reaped = os.pidfd_open(pid), reaped_seconds(worker_pid)
    try:
        # Field 22: when it was made, counted from the start of the machine.
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
        ended, _, _ = select.select([pidfd], [], [], LONGEST_RUN_SECONDS)
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
    finally:
        os.close(pidfd)
    assert ended, f"the encode took longer than {LONGEST_RUN_SECONDS} s"
    deadline = time.monotonic() + REAPED_SECONDS
    # No other child of the worker ends meanwhile: what is verified is run after this one was reaped.
    while (cpu := reaped_seconds(worker_pid) - reaped) == 0 and time.monotonic() < deadline:
        time.sleep(0.001)
    return Run(arguments=arguments, seconds=now - ticks / TICKS_PER_SECOND, cpu_seconds=cpu)


def reaped_seconds(pid: int) -> float:
    """CPU time of the children that a process has waited for, and of theirs."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / TICKS_PER_SECOND


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


def bare(request: Request, arguments: tuple[str, ...], pair: int) -> dict[str, float]:
    """The same command at the same priority, reading the clip by its path: wall and CPU seconds. Blocks: for a thread."""
    folder = Path(request.folder) / f"bare-{pair}"
    folder.mkdir()
    argv = [DESCRIPTOR.sub(lambda _: request.clip, argument) for argument in arguments]
    began = time.monotonic()
    command = subprocess.Popen(
        [*NICE, request.ffmpeg, *argv],
        cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(command.pid, 0)
    seconds = time.monotonic() - began
    command.returncode = os.waitstatus_to_exitcode(status)
    assert command.returncode == 0, f"{' '.join(argv)} ended with {command.returncode}"
    return {"bare": seconds, "bare_cpu": usage.ru_utime + usage.ru_stime}
