"""Jobs for the stand-in, and for the real FFmpeg."""

from __future__ import annotations

from pathlib import Path

from chaos.rig.stand_in import MARK, Behaviour
from telecine.v1 import media_pb2


def stand_in_spec(
    source: Path, out: Path, name: str, *, seconds: float, behaviour: Behaviour = Behaviour.COPY
) -> media_pb2.JobSpec:
    """Runs for *seconds*, then *out*/*name* (an .mp4) is a copy of *source* that says which attempt wrote it."""
    return _spec(source, out, name, ["-g", behaviour.value, "-t", f"{seconds:.3f}"])


def real_spec(source: Path, out: Path, name: str) -> media_pb2.JobSpec:
    """Encoded by the real FFmpeg; short."""
    return _spec(source, out, name, ["-c:v", "libx264", "-preset", "medium", "-c:a", "aac"])


def probe_spec(source: Path) -> media_pb2.JobSpec:
    """By the real ffprobe; has a result and no file, and so publishes nothing."""
    return media_pb2.JobSpec(
        inputs={"in": media_pb2.Input(uri=source.as_uri())},
        task=media_pb2.Task(probe=media_pb2.ProbeTask(input="in")),
    )


def _spec(source: Path, out: Path, name: str, options: list[str]) -> media_pb2.JobSpec:
    task = media_pb2.FfmpegTask(args=["-i", "in", *options, name], outputs=[name])
    return media_pb2.JobSpec(
        inputs={"in": media_pb2.Input(uri=source.as_uri())},
        output=media_pb2.Output(uri=out.as_uri()),
        task=media_pb2.Task(ffmpeg=task),
    )


def token_of(attempt: str) -> int:
    """Of an attempt as its processes' environment has it: tenant~job~generation~token."""
    return int(attempt.rpartition("~")[2])


def job_id_of(attempt: str) -> str:
    """Likewise."""
    return attempt.split("~")[1]


def written_by(path: Path) -> int | None:
    """The token of the attempt that wrote *path*; None where it was not a stand-in."""
    _, mark, rest = path.read_bytes().rpartition(MARK)
    return token_of(rest.split()[0].decode()) if mark else None
