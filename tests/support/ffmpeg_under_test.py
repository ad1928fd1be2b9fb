"""The FFmpeg that TELECINE_TEST_FFMPEG names, and what tests use it for: making sources, judging results."""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from telecine_worker.ffmpeg.command import environment
from telecine_worker.ffmpeg.toolchain import Toolchain, find
from telecine_worker.sandbox.confinement import NONE, Confinement, Limits
from telecine_worker.sandbox.selection import SandboxRefused, Wish, choose

_SSIM = re.compile(r"SSIM .*All:([0-9.]+)")


@cache
def toolchain_under_test() -> Toolchain:
    """ "bundled", "system", or a path of ffmpeg with ffprobe beside it; unset: what a worker would find."""
    wanted = os.environ.get("TELECINE_TEST_FFMPEG", "")
    if wanted == "bundled":
        return find(search_path="")
    if wanted == "system":
        return find(ffmpeg=Path("/usr/bin/ffmpeg"), ffprobe=Path("/usr/bin/ffprobe"))
    return find(ffmpeg=Path(wanted)) if wanted else find()


@cache
def confinement_under_test() -> Confinement:
    """Of the mode that TELECINE_TEST_SANDBOX names; unset: what a worker would choose here, and none where nothing holds."""
    wish = Wish(os.environ.get("TELECINE_TEST_SANDBOX", "auto"))
    try:
        return confinement(wish)
    except SandboxRefused:
        return NONE


@cache
def confinement(wish: Wish) -> Confinement:
    """For the toolchain under test. Raises SandboxRefused."""
    tools = toolchain_under_test()
    return choose(wish, programs=(tools.ffmpeg, tools.ffprobe), environment=environment("test"), limits=Limits())


def ffmpeg(*arguments: str) -> str:
    """Run it; what it said on standard error."""
    argv = [str(toolchain_under_test().ffmpeg), "-nostdin", "-hide_banner", "-y", *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stderr


def make_clip(path: Path, *, seconds: float, size: str = "320x180", rate: int = 30, audio: bool = True) -> Path:
    """A moving test picture with a tone, H.264 and AAC in MP4."""
    tone = ["-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"] if audio else []
    sound = ["-c:a", "aac"] if audio else []
    picture = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}"]
    ffmpeg(
        *picture,
        *tone,
        "-c:v",
        "libx264",
        "-preset",
        "veryfast",
        "-crf",
        "12",
        "-pix_fmt",
        "yuv420p",
        *sound,
        str(path),
    )
    return path


def make_noise(path: Path, *, seconds: float, size: str) -> Path:
    """A film of many bytes, soon made: pictures of noise, Motion JPEG."""
    source = f"testsrc2=size={size}:rate=25:duration={seconds},noise=alls=100:allf=t+u"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "mjpeg", "-q:v", "1", "-pix_fmt", "yuvj444p", str(path))
    return path


def probe(path: Path) -> dict[str, Any]:
    """ffprobe's JSON: format, and streams by type, packets counted."""
    argv = [
        str(toolchain_under_test().ffprobe), "-v", "error", "-count_packets", "-show_streams", "-show_format", "-of", "json",
        str(path),
    ]  # fmt: skip
    found = json.loads(subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout)
    return {"format": found["format"]} | {stream["codec_type"]: stream for stream in found["streams"]}


def frames(path: Path) -> int:
    """How many video packets there are."""
    return int(probe(path)["video"]["nb_read_packets"])


def ssim(one: Path, other: Path, size: str = "320:180") -> float:
    """Structural similarity of two videos, brought to one size; 1 is equal.

    Both sides start at 0 in the same time base and the shorter one ends it, or the comparison would lie.
    """
    even = f"settb=AVTB,setpts=PTS-STARTPTS,scale={size}:flags=bicubic"
    graph = f"[0:v]{even}[a];[1:v]{even}[b];[a][b]ssim=shortest=1"
    said = ffmpeg("-i", str(one), "-i", str(other), "-lavfi", graph, "-f", "null", "-")
    found = _SSIM.search(said)
    assert found, said[-500:]
    return float(found.group(1))
