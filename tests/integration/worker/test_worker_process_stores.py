"""A worker as a process, with an object store: what it offers, what it loads, and what it never says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.ffmpeg_under_test import make_clip
from support.s3_server import S3, SECRET, s3_server
from support.scripted_scheduler import ScriptedScheduler
from support.worker_bench import lease
from support.worker_process import Start, ended
from telecine.v1 import lease_service_pb2 as pb
from telecine.v1 import media_pb2


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with s3_server() as made:
        yield made


@pytest.fixture
def s3(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3:
    """A bucket with a film, and the environment of a worker that may use it."""
    host, port, client = server
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
