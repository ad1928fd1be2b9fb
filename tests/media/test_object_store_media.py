"""Whole attempts whose inputs and outputs are in an object store: real FFmpeg, a real S3 server."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from support.s3_server import S3, s3_server, stores_in
from telecine.v1 import media_pb2
from telecine_worker.attempt import Permission
from telecine_worker.failure import FailureKind
from telecine_worker.outcome import Abandoned, Failed, StopReason, Succeeded

TASK = {"transcode": {"input": "main", "path": "a/o.mp4", "video": {"codec": "h264", "preset": "ultrafast"}}}


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    with s3_server() as made:
        yield made


@pytest.fixture
def s3(server: Any, clips: Any) -> S3:
    """A bucket with in/film.mp4 in it."""
    host, port, client = server
    made = S3(host=host, port=port, client=client)
    client.create_bucket(Bucket=made.bucket)
    made.put("in/film.mp4", clips.film(size="160x90", seconds=1).read_bytes())
    return made


@pytest.fixture
def studio(studio: Any, s3: S3) -> Iterator[Any]:
    """A studio that reads and writes in the bucket; nothing is left on its own disk."""
    with stores_in(s3) as stores:
        studio.stores = stores
        yield studio
    assert [] == studio.left()
    assert [] == [path for path in studio.output.parent.iterdir() if path != studio.output]


def spec(s3: S3, **output: Any) -> media_pb2.JobSpec:
    """From the bucket to the bucket."""
    data = {
        "inputs": {"main": {"uri": s3.uri("in/film.mp4")}},
        "output": {"uri": s3.uri("out"), **output},
        "task": TASK,
    }
    return json_format.ParseDict(data, media_pb2.JobSpec())


async def test_a_film_goes_from_bucket_to_bucket(studio, s3, tools, tmp_path_factory):
    """Every frame, with a result that says where it is and what it is; nothing staged is left."""
    ended = await studio.attempt(spec(s3)).run()
    assert isinstance(ended, Succeeded), ended
    [artifact] = ended.artifacts
    content = s3.get("out/a/o.mp4")
    assert (s3.uri("out/a/o.mp4"), "a/o.mp4") == (artifact.uri, artifact.path)
    assert (len(content), hashlib.sha256(content).hexdigest()) == (artifact.size_bytes, artifact.sha256)
    assert "video/mp4" == s3.head("out/a/o.mp4")["ContentType"]
    assert ["in/film.mp4", "out/a/o.mp4"] == s3.listed()
    result = tmp_path_factory.mktemp("result") / "o.mp4"
    result.write_bytes(content)
    assert "30" == tools.video(result)["nb_read_packets"]
    assert [("s3", len(s3.get("in/film.mp4")))] == studio.opened
    assert (len(s3.get("in/film.mp4")), len(content)) == (ended.input_size_bytes, ended.output_size_bytes)


async def test_nothing_is_seen_before_the_permission(studio, s3):
    """When it asks, everything is staged in the store; the answer no leaves nothing behind."""
    seen: list[str] = []

    async def refuse() -> Permission:
        seen.extend(s3.listed())
        return Permission(allowed=False, refusal=StopReason.LEASE_LOST)

    ended = await studio.attempt(spec(s3), refuse).run()
    assert isinstance(ended, Abandoned)
    assert [f"out/.telecine/{studio.staging_name(studio.token)}/out-0.mp4"] == [key for key in seen if "in/" not in key]
    assert ["in/film.mp4"] == s3.listed()


async def test_a_permission_that_is_over_is_asked_for_again(studio, s3):
    """The second one counts."""
    asked: list[float] = []

    async def late() -> Permission:
        asked.append(1)
        return Permission(
            allowed=True, deadline=time.clock_gettime(time.CLOCK_BOOTTIME) + (0 if len(asked) == 1 else 60)
        )

    ended = await studio.attempt(spec(s3), late).run()
    assert isinstance(ended, Succeeded)
    assert 2 == len(asked)


async def test_fail_keeps_what_is_there(studio, s3):
    """Also where it is the job's own input, which not even REPLACE replaces."""
    s3.put("out/a/o.mp4", b"foreign")
    ended = await studio.attempt(spec(s3, ifExists="IF_EXISTS_FAIL")).run()
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, "OUTPUT_EXISTS") == (ended.failure.kind, ended.failure.reason)
    assert (b"foreign", ["in/film.mp4", "out/a/o.mp4"]) == (s3.get("out/a/o.mp4"), s3.listed())
    s3.put("out/a/o.mp4", s3.get("in/film.mp4"))
    own = spec(s3)
    own.inputs["main"].uri = s3.uri("out/a/o.mp4")
    ended = await studio.attempt(own).run()
    assert isinstance(ended, Failed)
    assert "would replace input main" in ended.failure.message


async def test_an_attempt_that_fails_removes_what_older_ones_staged(studio, s3):
    """It never opened its output."""
    s3.put(f"out/.telecine/{studio.staging_name(1)}/out-0.mp4", b"x")
    wanted = spec(s3)
    wanted.inputs["main"].uri = s3.uri("in/none.mp4")
    ended = await studio.attempt(wanted).run()
    assert isinstance(ended, Failed)
    assert "INPUT_NOT_FOUND" == ended.failure.reason
    assert ["in/film.mp4"] == s3.listed()


async def test_files_below_a_root_go_to_a_bucket_and_back(studio, s3, clips, tmp_path):
    """Each side by itself."""
    wanted = spec(s3)
    wanted.inputs["main"].uri = clips.film(size="160x90", seconds=1).as_uri()
    assert isinstance(await studio.attempt(wanted).run(), Succeeded)
    back = spec(s3, layout="LAYOUT_PER_ATTEMPT")
    back.inputs["main"].uri = s3.uri("out/a/o.mp4")
    back.output.uri = studio.output.as_uri()
    ended = await studio.attempt(back).run()
    assert isinstance(ended, Succeeded)
    made = Path(ended.artifacts[0].uri.removeprefix("file://"))
    assert made.exists()
    made.unlink()
    made.parent.rmdir()
    made.parent.parent.rmdir()
