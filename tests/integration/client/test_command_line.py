"""The command line as a real process against a real gRPC server."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.integration.client.conftest import ScriptedScheduler, away, detailed, job, refuse, stream

from telecine.v1 import job_pb2, media_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2

QUEUED = job_pb2.JOB_STATE_QUEUED
RUNNING = job_pb2.JOB_STATE_RUNNING
SUCCEEDED = job_pb2.JOB_STATE_SUCCEEDED
FAILED = job_pb2.JOB_STATE_FAILED
CANCELLED = job_pb2.JOB_STATE_CANCELLED
RESULT = job_pb2.JobResult(
    artifacts=[job_pb2.Artifact(path="film.mp4", uri="file:///media/out/film.mp4", size_bytes=1_500_000)]
)
FAILURE = job_pb2.Failure(
    kind=job_pb2.Failure.KIND_PERMANENT,
    reason="INPUT_INVALID",
    message="the input source is no media file",
    log_tail="moov atom not found\nInvalid data",
    exit_code=183,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a command left."""

    code: int
    out: list[str]
    err: str


def environment() -> dict[str, str]:
    """Of this process, without settings of ours, and with no terminal's width or colours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TELECINE_")}
    return kept | {"PYTHONWARNINGS": "error", "NO_COLOR": "1"}


async def start(*args: str, cwd: Path | None = None) -> asyncio.subprocess.Process:
    """The command as a child."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "telecine_client.cli",
        *args,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        cwd=cwd,
        env=environment(),
    )


async def run(*args: str, text: str = "", cwd: Path | None = None) -> Ended:
    """The command from start to end."""
    child = await start(*args, cwd=cwd)
    async with asyncio.timeout(30):
        out, err = await child.communicate(text.encode())
    assert child.returncode is not None
    return Ended(code=child.returncode, out=out.decode().splitlines(), err=err.decode())


async def accept(request: service_pb2.SubmitJobRequest, context: Any) -> service_pb2.SubmitJobResponse:
    """Takes every job."""
    message = job(1, QUEUED, job_id=request.job_id)
    message.spec.CopyFrom(request.spec)
    return service_pb2.SubmitJobResponse(job=message)


def found(message: job_pb2.Job) -> Any:
    """GetJob's answer."""

    async def answer(request: object, context: Any) -> service_pb2.GetJobResponse:
        return service_pb2.GetJobResponse(job=message)

    return answer


def ends(state: job_pb2.JobState.ValueType, **fields: Any) -> Any:
    """A watch of a job that runs and then ends in *state*."""
    progress = job_pb2.Progress(fraction=0.42, phase=job_pb2.Progress.PHASE_ENCODING, speed=2.0)
    return stream(job(5, RUNNING, progress=progress), job(9, state, **fields))


JOB_FILE = json.dumps(
    {
        "job_id": "mine",
        "spec": {
            "inputs": {"source": {"uri": "film.mkv"}},
            "output": {"uri": "out", "if_exists": "IF_EXISTS_FAIL"},
            "task": {"transcode": {"input": "source", "path": "film.mp4", "video": {"codec": "h264"}}},
        },
    }
)


async def test_submit_prints_the_id(scheduler: ScriptedScheduler, tmp_path: Path) -> None:
    """A file on standard input becomes a job; its local paths are absolute; exit 0 without waiting."""
    scheduler.script("SubmitJob", accept)
    ended = await run("submit", "-", "--address", scheduler.address, text=JOB_FILE, cwd=tmp_path)
    assert (ended.code, ended.out, ended.err) == (0, ["mine"], "")
    (request,) = scheduler.requests
    assert request.job_id == "mine"
    assert f"file://{tmp_path}/film.mkv" == request.spec.inputs["source"].uri
    assert (f"file://{tmp_path}/out", media_pb2.Output.IF_EXISTS_FAIL) == (
        request.spec.output.uri,
        request.spec.output.if_exists,
    )


async def test_submit_reads_yaml_and_makes_an_id(scheduler: ScriptedScheduler, tmp_path: Path) -> None:
    """YAML in camelCase; the id printed is the UUIDv7 that was sent; times need no quotes."""
    scheduler.script("SubmitJob", accept)
    (tmp_path / "job.yaml").write_text(
        """
tenant: films
spec:
  inputs: {source: {uri: "file:///media/film.mkv"}}
  notBeforeTime: 2030-01-01T00:00:00Z
  limits: {hardRunTimeout: 60s}
  task: {probe: {input: source}}
"""
    )
    ended = await run("--address", scheduler.address, "submit", "job.yaml", cwd=tmp_path)
    (request,) = scheduler.requests
    assert (0, [request.job_id], 7) == (ended.code, ended.out, uuid.UUID(request.job_id).version)
    assert (
        request.tenant,
        request.spec.limits.hard_run_timeout.seconds,
        request.spec.not_before_time.ToJsonString(),
    ) == ("films", 60, "2030-01-01T00:00:00Z")


async def test_an_unknown_field_in_the_file_is_a_usage_error(scheduler: ScriptedScheduler, tmp_path: Path) -> None:
    """Exit 2, the field is named with its path, and nothing is sent."""
    (tmp_path / "job.yaml").write_text("spec: {inputs: {a: {url: x}}, prio: 3}\n")
    ended = await run("submit", "job.yaml", "--address", scheduler.address, cwd=tmp_path)
    assert (ended.code, ended.out) == (2, [])
    assert [line.strip().partition(":")[0] for line in ended.err.splitlines()[1:]] == [
        "spec.inputs[a].url",
        "spec.prio",
    ]
    assert scheduler.requests == []


async def test_a_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    """Exit 2 and one line."""
    ended = await run("submit", "missing.yaml", cwd=tmp_path)
    assert (ended.code, len(ended.err.splitlines())) == (2, 1)
    assert "missing.yaml" in ended.err


async def test_submit_wait_shows_a_line_a_change(scheduler: ScriptedScheduler) -> None:
    """Without a terminal: the id, each change, the file that was made; exit 0."""
    scheduler.script("SubmitJob", accept)
    scheduler.script("WatchJob", ends(SUCCEEDED, result=RESULT))
    ended = await run("submit", "--wait", "-", "--address", scheduler.address, text=JOB_FILE)
    assert ended.out == [
        "mine",
        "mine queued",
        "j1 running encoding 42.0% 2.00x",
        "j1 succeeded",
        "  file:///media/out/film.mp4  1.5 MB",
    ]
    assert (ended.code, scheduler.requests[-1].after_revision) == (0, 1)


async def test_a_change_that_does_not_show_is_no_line(scheduler: ScriptedScheduler) -> None:
    """Two snapshots that read the same are one line."""
    scheduler.script("GetJob", found(job(1, QUEUED)))
    scheduler.script("WatchJob", stream(job(5, RUNNING), job(6, RUNNING), job(9, SUCCEEDED)))
    ended = await run("watch", "j1", "--address", scheduler.address)
    assert ["j1 queued", "j1 running", "j1 succeeded"] == ended.out


async def test_json_is_one_job_a_line(scheduler: ScriptedScheduler) -> None:
    """With --json nothing but Job messages is printed."""
    scheduler.script("SubmitJob", accept)
    scheduler.script("WatchJob", ends(SUCCEEDED, result=RESULT))
    ended = await run("submit", "--wait", "--json", "-", "--address", scheduler.address, text=JOB_FILE)
    jobs = [json.loads(line) for line in ended.out]
    assert [one["state"] for one in jobs] == ["JOB_STATE_QUEUED", "JOB_STATE_RUNNING", "JOB_STATE_SUCCEEDED"]
    assert [one["revision"] for one in jobs] == ["1", "5", "9"]
    assert ended.err == ""


async def test_a_failed_job_says_why(scheduler: ScriptedScheduler) -> None:
    """Exit 1; kind, reason, message and FFmpeg's last words on standard error."""
    scheduler.script("GetJob", found(job(1, QUEUED)))
    scheduler.script("WatchJob", ends(FAILED, failure=FAILURE))
    ended = await run("watch", "j1", "--address", scheduler.address)
    assert ended.code == 1
    assert ended.err.splitlines() == [
        "telecine: the job j1 failed",
        "permanent INPUT_INVALID: the input source is no media file (exit code 183)",
        "FFmpeg's last words:",
        "  moov atom not found",
        "  Invalid data",
    ]


async def test_a_cancelled_job_exits_3(scheduler: ScriptedScheduler) -> None:
    """Whoever waited learns that the job was cancelled, and why."""
    scheduler.script("GetJob", found(job(1, QUEUED)))
    scheduler.script("WatchJob", ends(CANCELLED, cancel_reason="no longer wanted"))
    ended = await run("watch", "j1", "--address", scheduler.address)
    assert (ended.code, ended.out[-1]) == (3, "  reason: no longer wanted")


async def test_a_job_that_has_ended_is_not_watched(scheduler: ScriptedScheduler) -> None:
    """The final job is shown from GetJob's answer."""
    scheduler.script("GetJob", found(job(9, SUCCEEDED, result=RESULT)))
    ended = await run("watch", "j1", "--address", scheduler.address)
    assert (ended.code, ended.out) == (0, ["j1 succeeded", "  file:///media/out/film.mp4  1.5 MB"])


async def test_get_shows_the_job(scheduler: ScriptedScheduler) -> None:
    """For people by default, the message with --json; exit 0 whatever the job's state is."""
    scheduler.script("GetJob", found(job(9, FAILED, failure=FAILURE)))
    plain = await run("get", "j1", "--address", scheduler.address)
    as_json = await run("get", "j1", "--address", scheduler.address, "--json")
    assert (plain.code, plain.out[0]) == (0, "job           j1")
    assert any("INPUT_INVALID" in line for line in plain.out)
    assert json.loads(as_json.out[0])["state"] == "JOB_STATE_FAILED"


async def test_cancel_gives_the_reason(scheduler: ScriptedScheduler) -> None:
    """The request has it; the answer is the job's state; exit 0."""

    async def answer(request: service_pb2.CancelJobRequest, context: Any) -> service_pb2.CancelJobResponse:
        return service_pb2.CancelJobResponse(job=job(7, job_pb2.JOB_STATE_CANCELLING))

    scheduler.script("CancelJob", answer)
    ended = await run("cancel", "j1", "--reason", "too dear", "--address", scheduler.address, "--tenant", "films")
    assert (ended.code, ended.out) == (0, ["j1 cancelling"])
    assert (
        scheduler.requests[0].tenant,
        scheduler.requests[0].job_id,
        scheduler.requests[0].reason,
    ) == ("films", "j1", "too dear")


async def test_transcode_builds_the_spec(scheduler: ScriptedScheduler, tmp_path: Path) -> None:
    """Options become the task; names with spaces are encoded; codecs follow the container."""
    scheduler.script("SubmitJob", accept)
    options = ["--height", "480", "--bitrate", "1.5M", "--two-pass", "--start", "1:30", "--audio-bitrate", "96k"]
    ended = await run(
        *["transcode", "my film.mkv", "out/small.webm", "--address", scheduler.address, "--detach"],
        *[*options, "--priority", "70", "--queue", "fast", "--job-id", "mine", "--label", "a=b=c", "--no-overwrite"],
        cwd=tmp_path,
    )
    assert (ended.code, ended.out) == (0, ["mine"])
    task = media_pb2.TranscodeTask(
        input="source",
        path="small.webm",
        video=media_pb2.Video(codec="vp9", height_px=480, bitrate_bps=1_500_000, two_pass=True),
        audio=media_pb2.Audio(codec="opus", bitrate_bps=96_000),
    )
    task.trim.start.FromSeconds(90)
    expected = media_pb2.JobSpec(
        inputs={"source": media_pb2.Input(uri=f"file://{tmp_path}/my%20film.mkv")},
        output=media_pb2.Output(uri=f"file://{tmp_path}/out", if_exists=media_pb2.Output.IF_EXISTS_FAIL),
        task=media_pb2.Task(transcode=task),
        priority=70,
        queue="fast",
        labels={"a": "b=c"},
    )
    assert expected == scheduler.requests[0].spec


async def test_ffmpeg_builds_the_spec_and_waits(scheduler: ScriptedScheduler, tmp_path: Path) -> None:
    """A command line becomes a task with named inputs and declared outputs, and is followed to its end."""
    scheduler.script("SubmitJob", accept)
    scheduler.script("WatchJob", ends(SUCCEEDED, result=RESULT))
    ended = await run(
        *["ffmpeg", "--address", scheduler.address, "--", "-y", "-i", "film.mkv", "-vf", "scale=640:-2", "small.mp4"],
        cwd=tmp_path,
    )
    assert (ended.code, ended.out[-2]) == (0, "j1 succeeded")
    spec = scheduler.requests[0].spec
    assert list(spec.task.ffmpeg.args) == ["-i", "film.mkv", "-vf", "scale=640:-2", "small.mp4"]
    assert (["small.mp4"], f"file://{tmp_path}") == (list(spec.task.ffmpeg.outputs), spec.output.uri)
    assert f"file://{tmp_path}/film.mkv" == spec.inputs["film.mkv"].uri


async def test_an_ambiguous_ffmpeg_line_says_what_to_write(tmp_path: Path) -> None:
    """Exit 2 for an option that is not known here, naming the way out."""
    ended = await run("ffmpeg", "--", "-i", "a.mkv", "-mystery", "b.mp4", cwd=tmp_path)
    assert ended.code == 2
    assert "-mystery" in ended.err
    assert "--output" in ended.err


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (detailed(grpc.StatusCode.NOT_FOUND, "there is no job j1", reason="JOB_NOT_FOUND"), 5),
        (detailed(grpc.StatusCode.FAILED_PRECONDITION, "it had succeeded", reason="JOB_FINISHED"), 2),
        (detailed(grpc.StatusCode.RESOURCE_EXHAUSTED, "the queue is full", reason="QUEUE_FULL"), 2),
        (detailed(grpc.StatusCode.UNIMPLEMENTED, "no such call", reason="UNIMPLEMENTED"), 2),
        (detailed(grpc.StatusCode.UNAVAILABLE, "the database is away", reason="STORE_AWAY"), 4),
        (detailed(grpc.StatusCode.INTERNAL, "defect 4711", reason="INTERNAL"), 1),
    ],
)
async def test_a_refusal_has_its_exit_code_and_one_line(
    scheduler: ScriptedScheduler, status: grpc.Status, expected: int
) -> None:
    """The scheduler's words on standard error, never a traceback."""
    scheduler.script("CancelJob", refuse(status))
    ended = await run("cancel", "j1", "--address", scheduler.address, "--request-timeout", "500ms")
    assert (expected, [], [f"telecine: {status.details}"]) == (ended.code, ended.out, ended.err.splitlines())


async def test_every_violation_is_a_line(scheduler: ScriptedScheduler) -> None:
    """Exit 2; each field with what is wrong with it, once."""
    wrong = {"spec.priority": "must be at most 100", "spec.queue": "must be a name"}
    message = f"the request is not valid: {'; '.join(f'{field}: {text}' for field, text in wrong.items())}"
    status = detailed(grpc.StatusCode.INVALID_ARGUMENT, message, reason="INVALID", violations=wrong)
    scheduler.script("SubmitJob", refuse(status))
    ended = await run("submit", "-", "--address", scheduler.address, text=JOB_FILE)
    assert (2, ["telecine: the request is not valid", *(f"  {field}: {text}" for field, text in wrong.items())]) == (
        ended.code,
        ended.err.splitlines(),
    )


async def test_no_scheduler_exits_4() -> None:
    """The line names the address that was tried."""
    ended = await run("get", "j1", "--address", "127.0.0.1:1", "--request-timeout", "300ms")
    assert (ended.code, len(ended.err.splitlines())) == (4, 1)
    assert "127.0.0.1:1" in ended.err


@pytest.mark.parametrize(
    "args",
    [
        ["get"],
        ["get", "j1", "--address", "nowhere"],
        ["get", "j1", "--request-timeout", "soon"],
        ["transcode", "a.mkv", "b.xyz"],
        ["transcode", "a.mkv", "b.mp4", "--crf", "20", "--bitrate", "1M"],
        ["transcode", "a.mkv", "b.mp4", "--label", "novalue"],
        ["ffmpeg", "--", "-i", "a.mkv"],
        ["unknown"],
    ],
)
async def test_wrong_usage_exits_2(args: list[str]) -> None:
    """Before anything is sent, without a traceback."""
    ended = await run(*args)
    assert (ended.code, ended.out) == (2, [])
    assert "Traceback" not in ended.err
    assert ended.err != ""


async def test_ctrl_c_leaves_the_job_and_says_how_to_go_on(scheduler: ScriptedScheduler) -> None:
    """SIGINT while waiting: exit 130 at once, with the commands that watch and cancel the job."""
    scheduler.script("SubmitJob", accept)
    scheduler.script("WatchJob", stream(job(5, RUNNING, job_id="mine"), hang=True))
    child = await start("submit", "--wait", "-", "--address", scheduler.address)
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(JOB_FILE.encode())
    child.stdin.close()
    async with asyncio.timeout(20):
        while await child.stdout.readline() != b"mine running\n":
            assert not child.stdout.at_eof()
        child.send_signal(signal.SIGINT)
        _, err = await child.communicate()
    command = f"telecine --address {scheduler.address}"
    assert (child.returncode, len(err.splitlines())) == (130, 1)
    assert f"{command} watch mine" in err.decode()
    assert f"{command} cancel mine" in err.decode()


async def test_ctrl_c_before_the_answer_does_not_claim_that_the_job_goes_on(scheduler: ScriptedScheduler) -> None:
    """Nobody knows whether the job was submitted; the hint is to look."""
    asked = asyncio.Event()

    async def hang(request: object, context: Any) -> None:
        asked.set()
        await asyncio.Event().wait()

    scheduler.script("SubmitJob", hang)
    child = await start("submit", "-", "--address", scheduler.address)
    assert child.stdin is not None
    child.stdin.write(JOB_FILE.encode())
    child.stdin.close()
    async with asyncio.timeout(20):
        await asked.wait()
        child.send_signal(signal.SIGINT)
        _, err = await child.communicate()
    assert child.returncode == 130
    assert "may have been submitted" in err.decode()
    assert "get mine" in err.decode()


async def test_waiting_goes_on_over_a_lost_scheduler(scheduler: ScriptedScheduler) -> None:
    """A break of the watch is nothing the user sees."""
    lost = detailed(grpc.StatusCode.UNAVAILABLE, "the scheduler stops", reason="DRAINING")
    scheduler.script("SubmitJob", away(), accept)
    scheduler.script("WatchJob", stream(job(5, RUNNING), then=lost), stream(job(9, SUCCEEDED)))
    ended = await run("submit", "--wait", "-", "--address", scheduler.address, text=JOB_FILE)
    assert (ended.code, ended.err, ended.out) == (0, "", ["mine", "mine queued", "j1 running", "j1 succeeded"])


async def test_a_terminal_gets_a_bar(scheduler: ScriptedScheduler) -> None:
    """On a terminal the progress is drawn, and the files that were made are listed below it."""
    drawn = asyncio.Event()

    async def until_drawn(request: object, context: Any) -> AsyncIterator[service_pb2.WatchJobResponse]:
        progress = job_pb2.Progress(fraction=0.42, phase=job_pb2.Progress.PHASE_ENCODING)
        yield service_pb2.WatchJobResponse(job=job(5, RUNNING, progress=progress))
        await drawn.wait()
        yield service_pb2.WatchJobResponse(job=job(9, SUCCEEDED, result=RESULT))

    scheduler.script("GetJob", found(job(1, QUEUED)))
    scheduler.script("WatchJob", until_drawn)
    ours, theirs = os.openpty()
    child = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "telecine_client.cli", "watch", "j1", "--address", scheduler.address],
        stdout=theirs,
        stderr=theirs,
        env=environment() | {"TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    async with asyncio.timeout(20):
        before = await _screen(ours, until="encoding")
        drawn.set()
        after = await _screen(ours, until="film.mp4  1.5 MB")
        assert await child.wait() == 0
    os.close(ours)
    assert "━" in before
    assert " 42%" in before
    assert "succeeded" in after
    assert "100%" in after


async def _screen(terminal: int, *, until: str) -> str:
    """What is written up to *until*."""
    seen = b""
    while until.encode() not in seen:
        seen += await asyncio.to_thread(os.read, terminal, 4096)
    return seen.decode(errors="replace")


@pytest.mark.parametrize(("options", "expected"), [([], "films"), (["--tenant", "ads"], "ads")])
async def test_an_option_wins_over_the_file(scheduler: ScriptedScheduler, options: list[str], expected: str) -> None:
    """The tenant of the file, unless one was given by hand."""
    scheduler.script("SubmitJob", accept)
    text = '{"tenant": "films", "spec": {"task": {"probe": {"input": "a"}}}}'
    await run("submit", "-", "--address", scheduler.address, *options, text=text)
    assert expected == scheduler.requests[0].tenant
