"""A worker as a process, with an object store: what it offers, what it loads, and what it never says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from support.ffmpeg_under_test import make_clip, make_noise
from support.s3_server import S3, SECRET
from support.scripted_scheduler import ScriptedScheduler
from support.worker_bench import lease
from support.worker_process import Start, ended
from telecine.v1 import lease_service_pb2 as pb
from telecine.v1 import media_pb2

# Sends more than a part of a file, and then nothing more.
STUCK = """
import asyncio
from telecine_worker.storage import object_upload
chunks = object_upload.Upload._chunks
async def stuck(self):
    sent = 0
    async for chunk in chunks(self):
        yield chunk
        sent += len(chunk)
        if sent > object_upload.LEAST_PART_BYTES:
            await asyncio.Event().wait()
object_upload.Upload._chunks = stuck
"""


@pytest.fixture
def s3(store_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3:
    """A bucket with a film, and the environment of a worker that may use it."""
    host, port, client = store_server
    made = S3(host=host, port=port, client=client)
    client.create_bucket(Bucket=made.bucket)
    made.put("in/film.mp4", make_clip(tmp_path / "film.mp4", seconds=1, size="64x64").read_bytes())
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


def loaded(pid: int) -> bool:
    """Whether the library for object stores is in its memory."""
    return "_obstore" in Path(f"/proc/{pid}/maps").read_text()


async def test_a_worker_with_store_roots(scheduler: ScriptedScheduler, start: Start, s3: S3, tmp_path: Path) -> None:
    """Its Hello offers the kind of store; a job goes from bucket to bucket; credentials are in no log, and in no outcome."""
    async with start("", "--store-roots", f"{s3.uri('in')},{s3.uri('out')}", "--log-level", "debug") as process:
        stream = await scheduler.welcomed()
        assert {"storage/s3"} == {label for label in stream.hello.capabilities if label.startswith("storage/")}
        spec = media_pb2.JobSpec(inputs={"main": media_pb2.Input(uri=s3.uri("in/film.mp4"))})
        spec.output.uri = s3.uri("out")
        spec.task.transcode.input, spec.task.transcode.path = "main", "film.mp4"
        spec.task.transcode.video.codec = "copy"
        stream.grant(lease(), spec=spec.SerializeToString())
        stream.decide((await stream.publish_request()).lease, pb.PublishDecision.DECISION_ALLOWED)
        outcome = await stream.outcome()
        assert loaded(process.pid)
        assert [s3.uri("out/film.mp4")] == [each.uri for each in outcome.succeeded.artifacts]
        process.terminate()
        code, said = await ended(process)
    assert (0, ["in/film.mp4", "out/film.mp4"]) == (code, s3.listed())
    assert SECRET not in said + str(outcome)


async def test_without_store_roots_nothing_is_reached(scheduler: ScriptedScheduler, start: Start, s3: S3) -> None:
    """Whatever credentials the environment has: no label, and a job that comes all the same is refused for good."""
    async with start() as process:
        stream = await scheduler.welcomed()
        assert [] == [label for label in stream.hello.capabilities if label.startswith("storage/")]
        spec = media_pb2.JobSpec(inputs={"main": media_pb2.Input(uri=s3.uri("in/film.mp4"))})
        spec.task.probe.input = "main"
        stream.grant(lease(), spec=spec.SerializeToString())
        outcome = await stream.outcome()
        assert "PATH_NOT_ALLOWED" == outcome.failed.reason
        assert not loaded(process.pid)


async def test_a_wrong_store_root_is_refused_at_the_start(start: Start) -> None:
    """With words that say what would be right."""
    async with start("", "--store-roots", "s3:/bucket") as process:
        code, said = await ended(process)
    assert 2 == code
    assert "TELECINE_STORE_ROOTS: 's3:/bucket' is no store root; s3://BUCKET/PREFIX" in " ".join(said.split())


async def test_store_settings_that_cannot_be_are_refused_at_the_start(start: Start, monkeypatch) -> None:
    """Before any job fails of them: the kind of store and the variables are named, what they hold is not."""
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "hunter2")
    async with start("", "--store-roots", "s3://bucket/in") as process:
        code, said = await ended(process)
    assert (2, True, False) == (code, "AWS_SKIP_SIGNATURE" in said and "s3://bucket" in said, "hunter2" in said)


async def test_what_a_killed_worker_left_is_removed(scheduler: ScriptedScheduler, start: Start, tmp_path: Path) -> None:
    """Files on their way to a store, and what was kept of inputs: the next life begins without them."""
    for name in ("outputs/.telecine/t~job~1~1", "cache"):
        (tmp_path / "work" / name).mkdir(parents=True)
        (tmp_path / "work" / name / "file").write_bytes(b"x")
    async with start():
        await scheduler.welcomed()
        left = [path.name for name in ("outputs", "cache") for path in (tmp_path / "work" / name).iterdir()]
    assert [] == left


async def test_a_worker_that_is_killed_while_it_uploads(
    scheduler: ScriptedScheduler, start: Start, s3: S3, tmp_path: Path
) -> None:
    """Nothing of it can be seen, then or later; the next attempt publishes the whole file. The dead one's parts are what the
    bucket's rule for incomplete uploads is for: nobody else knows them.
    """
    film = make_noise(tmp_path / "film.mkv", seconds=1, size="800x600")
    assert film.stat().st_size > 10 << 20
    spec = media_pb2.JobSpec(inputs={"main": media_pb2.Input(uri=film.as_uri())})
    spec.output.uri = s3.uri("out")
    spec.task.transcode.input, spec.task.transcode.path = "main", "film.mkv"
    spec.task.transcode.video.codec = "copy"
    async with start(STUCK, "--store-roots", s3.uri()) as process:
        stream = await scheduler.welcomed()
        stream.grant(lease(token=1), spec=spec.SerializeToString())
        async with asyncio.timeout(20):
            while not await asyncio.to_thread(parts, s3):
                await asyncio.sleep(0.02)
        process.kill()
        await process.wait()
    left = s3.unfinished()
    assert ([True], ["in/film.mp4"]) == ([key.startswith("out/.telecine/a~job~") for key in left], s3.listed())
    async with start("", "--store-roots", s3.uri()):
        stream = await scheduler.welcomed()
        stream.grant(lease(token=2), spec=spec.SerializeToString())
        stream.decide((await stream.publish_request()).lease, pb.PublishDecision.DECISION_ALLOWED)
        assert [s3.uri("out/film.mkv")] == [each.uri for each in (await stream.outcome()).succeeded.artifacts]
    assert (["in/film.mp4", "out/film.mkv"], left) == (s3.listed(), s3.unfinished())
    assert film.stat().st_size == pytest.approx(s3.head("out/film.mkv")["ContentLength"], abs=10_000)


def parts(s3: S3) -> int:
    """How many of the uploads that are under way are in the store."""
    uploads = s3.client.list_multipart_uploads(Bucket=s3.bucket).get("Uploads", [])
    return sum(
        len(s3.client.list_parts(Bucket=s3.bucket, Key=each["Key"], UploadId=each["UploadId"]).get("Parts", []))
        for each in uploads
    )
