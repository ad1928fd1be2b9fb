"""Jobs through real processes: what was asked for is what is there."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from support.ffmpeg_under_test import frames, make_clip, probe, ssim
from support.processes import Live, ffmpeg_children
from telecine.v1 import media_pb2
from telecine_client import AsyncClient, FailureKind, InvalidRequest, Job, JobState, Phase

H264 = media_pb2.Video(codec="h264", crf=18, preset="veryfast")
AAC = media_pb2.Audio(codec="aac")


def spec(live: Live, folder: str, **task: Any) -> media_pb2.JobSpec:
    return media_pb2.JobSpec(
        inputs={"in": media_pb2.Input(uri=live.source.as_uri())},
        output=media_pb2.Output(uri=(live.media / folder).as_uri()),
        task=media_pb2.Task(**task),
    )


def transcode(live: Live, folder: str, **changes: Any) -> media_pb2.JobSpec:
    return spec(live, folder, transcode=media_pb2.TranscodeTask(**{"input": "in", "path": "out.mp4", **changes}))


async def done(client: AsyncClient, what: media_pb2.JobSpec) -> Job:
    job = await client.submit(what)
    async with asyncio.timeout(90):
        return await client.wait(job.job_id)


def leftovers(live: Live) -> list[Path]:
    return [path for path in live.media.rglob("*") if ".telecine" in path.parts]


async def test_a_transcode_has_every_frame_and_looks_like_its_source(live: Live, client: AsyncClient) -> None:
    """The exact frame count, SSIM at least 0.95, and a result that says what is there."""
    job = await done(client, transcode(live, "plain", video=H264, audio=AAC))

    made = live.media / "plain" / "out.mp4"
    assert (JobState.SUCCEEDED, 1) == (job.state, job.attempt_count)
    assert (frames(live.source), True) == (frames(made), ssim(made, live.source) >= 0.95)
    assert job.result
    [artifact] = job.result.artifacts
    assert (made.as_uri(), made.stat().st_size) == (artifact.uri, artifact.size_bytes)
    assert hashlib.sha256(made.read_bytes()).hexdigest() == artifact.sha256
    assert [] == leftovers(live)
    [attempt] = job.attempts
    assert (live.source.stat().st_size, artifact.size_bytes) == (attempt.input_size_bytes, attempt.output_size_bytes)
    assert attempt.cpu_duration
    assert attempt.peak_memory_bytes
    assert set(Phase) - {Phase.ANALYZING, Phase.UNKNOWN} == attempt.phases.keys()
    assert attempt.start_time
    assert attempt.end_time
    # The worker begins when it has said yes, the attempt when the store has heard it.
    took = attempt.end_time - attempt.start_time + timedelta(seconds=10)
    assert timedelta(0) < sum(attempt.phases.values(), timedelta()) <= took


async def test_a_two_pass_transcode(live: Live, client: AsyncClient) -> None:
    """Both passes run, the bitrate is met within a third, every frame is there."""
    video = media_pb2.Video(codec="h264", bitrate_bps=400_000, two_pass=True, preset="veryfast")
    job = await done(client, transcode(live, "twopass", video=video))

    made = live.media / "twopass" / "out.mp4"
    rate = int(probe(made)["format"]["bit_rate"])
    assert (JobState.SUCCEEDED, frames(live.source)) == (job.state, frames(made))
    assert 266_000 < rate < 534_000
    assert ssim(made, live.source) >= 0.95


async def test_raw_arguments(live: Live, client: AsyncClient) -> None:
    """FFmpeg's own arguments, with inputs by name and outputs by path."""
    task = media_pb2.FfmpegTask(
        args=["-i", "in", "-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-c:a", "aac", "raw.mp4"],
        outputs=["raw.mp4"],
    )
    job = await done(client, spec(live, "raw", ffmpeg=task))

    made = live.media / "raw" / "raw.mp4"
    assert (JobState.SUCCEEDED, frames(live.source)) == (job.state, frames(made))
    assert ssim(made, live.source) >= 0.95


async def test_a_watch_shows_live_progress(live: Live, client: AsyncClient) -> None:
    """Fractions rise, phases come in order, and the last snapshot is the end."""
    long = make_clip(live.media / "long.mp4", seconds=12, size="640x360")
    what = transcode(live, "watched", video=media_pb2.Video(codec="h264", preset="slow"))
    what.inputs["in"].uri = long.as_uri()
    job = await client.submit(what)

    async with asyncio.timeout(60):
        seen = [each async for each in client.watch(job.job_id)]

    fractions = [each.progress.fraction for each in seen if each.progress and each.progress.fraction is not None]
    assert (JobState.SUCCEEDED, sorted(fractions), 1.0) == (seen[-1].state, fractions, fractions[-1])
    assert [True] == list({any(0 < fraction < 1 for fraction in fractions)})
    revisions = [each.revision for each in seen]
    assert sorted(set(revisions)) == revisions


async def test_submitted_through_one_scheduler_watched_through_another(live: Live, client: AsyncClient) -> None:
    """No revision goes back, and the end arrives."""
    async with AsyncClient(live.second.ready["grpc"]) as other:
        job = await other.submit(transcode(live, "elsewhere", video=H264))
        async with asyncio.timeout(60):
            here, there = await asyncio.gather(_watch(client, job.job_id), _watch(other, job.job_id))

    for seen in (here, there):
        revisions = [each.revision for each in seen]
        assert (JobState.SUCCEEDED, sorted(set(revisions))) == (seen[-1].state, revisions)


async def _watch(client: AsyncClient, job_id: str) -> list[Job]:
    return [each async for each in client.watch(job_id)]


async def test_a_cancel_reaches_ffmpeg(live: Live, client: AsyncClient) -> None:
    """The process ends, the job is CANCELLED, nothing is published, and the slot is free again."""
    long = make_clip(live.media / "tocancel.mp4", seconds=20, size="640x360")
    what = transcode(live, "cancelled", video=media_pb2.Video(codec="h264", preset="veryslow"))
    what.inputs["in"].uri = long.as_uri()
    job = await client.submit(what)
    async with asyncio.timeout(60):
        async for each in client.watch(job.job_id):
            if each.progress and each.progress.frame_count:
                break
        assert ffmpeg_children(job.job_id)

        answer = await client.cancel(job.job_id, reason="enough")
        ended = await client.wait(job.job_id)

    assert JobState.CANCELLING is answer.state
    assert (JobState.CANCELLED, "enough", None) == (ended.state, ended.cancel_reason, ended.result)
    assert {} == ffmpeg_children(job.job_id)
    assert [] == [path for path in (live.media / "cancelled").rglob("*") if path.is_file()]
    assert JobState.SUCCEEDED is (await done(client, transcode(live, "after", video=H264))).state


def _uri(name: str) -> Any:
    def change(live: Live, what: media_pb2.JobSpec) -> None:
        what.inputs["in"].uri = (live.media / name).as_uri()

    return change


def _outside(live: Live, what: media_pb2.JobSpec) -> None:
    what.inputs["in"].uri = "file:///etc/passwd"


def _outside_output(live: Live, what: media_pb2.JobSpec) -> None:
    what.output.uri = live.system.folder.as_uri()


def _checksum(live: Live, what: media_pb2.JobSpec) -> None:
    what.inputs["in"].sha256 = "0" * 64


@pytest.mark.parametrize(
    ("name", "change", "reason"),
    [
        ("missing", _uri("none.mp4"), "INPUT_NOT_FOUND"),
        ("text", _uri("text.mp4"), "INPUT_INVALID"),
        ("empty", _uri("empty.mp4"), "INPUT_INVALID"),
        ("link", _uri("link.mp4"), "PATH_NOT_ALLOWED"),
        ("outside", _outside, "PATH_NOT_ALLOWED"),
        ("outside output", _outside_output, "PATH_NOT_ALLOWED"),
        ("checksum", _checksum, "INPUT_CHECKSUM_MISMATCH"),
    ],
)
async def test_bad_inputs_fail_for_good_and_say_why(
    live: Live, client: AsyncClient, name: str, change: Any, reason: str
) -> None:
    """Kind PERMANENT after one attempt, with a reason and words; nothing is left behind."""
    (live.media / "text.mp4").write_text("this is no film\n" * 50)
    (live.media / "empty.mp4").touch()
    if not (live.media / "link.mp4").is_symlink():
        (live.media / "link.mp4").symlink_to("/etc/passwd")
    what = transcode(live, f"bad-{name}", video=H264)
    change(live, what)

    job = await done(client, what)

    assert (JobState.FAILED, 1) == (job.state, job.attempt_count)
    assert job.failure
    assert (FailureKind.PERMANENT, reason) == (job.failure.kind, job.failure.reason)
    assert [] == leftovers(live)


@pytest.mark.parametrize(
    ("args", "token"),
    [
        (["-i", "in", "-f", "lavfi", "out.mp4"], "-f"),
        (["-i", "in", "-vf", "movie=/etc/passwd", "out.mp4"], "movie"),
        (["-i", "in", "-c:v", "libx264", "-x264-params", "stats=/tmp/x", "out.mp4"], "-x264-params"),
        (["-i", "in", "out.mp4", "evil.mp4"], "evil.mp4"),
    ],
)
async def test_refused_arguments_are_named(live: Live, client: AsyncClient, args: list[str], token: str) -> None:
    """The worker's allow-list says which token it was."""
    job = await done(client, spec(live, "refused", ffmpeg=media_pb2.FfmpegTask(args=args, outputs=["out.mp4"])))

    assert job.failure
    assert (FailureKind.PERMANENT, "ARGUMENT_NOT_ALLOWED", True) == (
        job.failure.kind, job.failure.reason, token in job.failure.message,
    )  # fmt: skip


async def test_what_can_be_seen_is_refused_at_submit(live: Live, client: AsyncClient) -> None:
    """A path that leaves its location, and a format that nobody writes, never become jobs."""
    with pytest.raises(InvalidRequest, match=r"path"):
        await client.submit(transcode(live, "escape", path="../out.mp4", video=H264))
    with pytest.raises(InvalidRequest, match=r"\.bmp is none of"):
        await client.submit(spec(live, "preview", preview=media_pb2.PreviewTask(input="in", path="a.bmp")))


async def test_the_same_id_twice_is_one_job(live: Live, client: AsyncClient) -> None:
    """Sent twice, run once."""
    what = transcode(live, "once", video=H264)
    first = await client.submit(what, job_id="once")
    again = await client.submit(what, job_id="once")
    ended = await client.wait("once")

    assert first.create_time == again.create_time
    assert (JobState.SUCCEEDED, 1) == (ended.state, ended.attempt_count)
