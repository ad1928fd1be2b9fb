"""A job that takes a few seconds, for tests that break things while it runs."""

from __future__ import annotations

from pathlib import Path

from support.ffmpeg_under_test import make_clip
from telecine.v1 import media_pb2


def slow_source(folder: Path) -> Path:
    """20 s of 640x360: encoding it with `slow_spec` takes several seconds on one core."""
    return make_clip(folder / "long.mp4", seconds=20, size="640x360")


def slow_spec(source: Path, out: Path, name: str = "out.mp4") -> media_pb2.JobSpec:
    """H.264 with a slow preset."""
    return media_pb2.JobSpec(
        inputs={"in": media_pb2.Input(uri=source.as_uri())},
        output=media_pb2.Output(uri=out.as_uri()),
        task=media_pb2.Task(
            transcode=media_pb2.TranscodeTask(
                input="in", path=name, video=media_pb2.Video(codec="h264", preset="slower", crf=20),
                audio=media_pb2.Audio(codec="aac"),
            )
        ),
    )  # fmt: skip
