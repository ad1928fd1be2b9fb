"""Real FFmpeg: the toolchain under test, sources made by lavfi, and attempts that run as in the worker."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from google.protobuf import json_format

from support.fetching import destinations, intake
from support.ffmpeg_under_test import confinement_under_test, toolchain_under_test
from telecine.v1 import media_pb2
from telecine_worker import convert
from telecine_worker.attempt import Assignment, Attempt, Permission
from telecine_worker.ffmpeg.progress import Snapshot
from telecine_worker.ffmpeg.toolchain import Toolchain
from telecine_worker.outcome import Ended, Succeeded
from telecine_worker.storage.object_store import ObjectStores
from telecine_worker.storage.threads import Threads

SSIM = re.compile(r"SSIM .*All:([0-9.]+)")


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    """What TELECINE_TEST_FFMPEG names, confined as a worker would confine it."""
    return replace(toolchain_under_test(), confinement=confinement_under_test())


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """FFmpeg for the tests' own use: making sources and judging results, apart from the code under test."""

    toolchain: Toolchain

    def ffmpeg(self, *arguments: str) -> str:
        """Run it; what it said on standard error."""
        argv = [str(self.toolchain.ffmpeg), "-nostdin", "-hide_banner", "-y", *arguments]
        ran = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        assert 0 == ran.returncode, ran.stderr.decode(errors="replace")[-2000:]
        return ran.stderr.decode(errors="replace")

    def streams(self, path: Path, *options: str) -> list[dict[str, Any]]:
        """What ffprobe says of the streams, packets counted."""
        argv = [str(self.toolchain.ffprobe), "-v", "error", "-count_packets", "-show_streams", "-of", "json", *options]
        ran = subprocess.run([*argv, str(path)], capture_output=True, check=True, timeout=60)
        streams: list[dict[str, Any]] = json.loads(ran.stdout)["streams"]
        return streams

    def video(self, path: Path) -> dict[str, Any]:
        """The first video stream."""
        return next(stream for stream in self.streams(path) if stream["codec_type"] == "video")

    def audio(self, path: Path) -> dict[str, Any]:
        """The first audio stream."""
        return next(stream for stream in self.streams(path) if stream["codec_type"] == "audio")

    def ssim(self, path: Path, source: Path, prepare: str = "null") -> float:
        """Of the pictures of *path* against those of *source* after the filters *prepare*, the n-th against the n-th.

        Times are numbered anew: those of Matroska are whole milliseconds, which would pair neighbours.
        """
        clock = "settb=AVTB,setpts=N*40000"
        graph = f"[0:v]{clock}[a];[1:v]{prepare},{clock},format=yuv420p[b];[a][b]ssim=shortest=1"
        said = self.ffmpeg("-i", str(path), "-i", str(source), "-lavfi", graph, "-f", "null", "-")
        match = SSIM.search(said)
        assert match is not None, said
        return float(match[1])


@pytest.fixture(scope="session")
def tools(toolchain: Toolchain) -> Tools:
    """See Tools."""
    return Tools(toolchain=toolchain)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clips:
    """Sources, each made once."""

    tools: Tools
    folder: Path

    def make(self, name: str, *arguments: str) -> Path:
        """The clip *name*, made by FFmpeg with *arguments* when it is not there yet. Tests may use one name for several."""
        path = self.folder / hashlib.sha256("\0".join(arguments).encode()).hexdigest()[:16] / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            self.tools.ffmpeg(*arguments, str(path))
        return path

    def film(self, *, size: str = "320x180", seconds: float = 2, rate: str = "30") -> Path:
        """Moving pictures with a tone, nearly lossless: seconds x rate frames exactly."""
        sine = f"sine=frequency=440:sample_rate=48000:duration={seconds}"
        name = f"film-{size}-{seconds}-{rate.replace('/', '_')}.mp4"
        return self.make(
            name,
            *("-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={seconds}", "-f", "lavfi", "-i", sine),
            *("-c:v", "libx264", "-preset", "veryfast", "-crf", "8", "-pix_fmt", "yuv420p", "-g", "24"),
            *("-c:a", "aac", "-b:a", "128k", "-movflags", "+faststart"),
        )


@pytest.fixture(scope="session")
def clips(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Clips:
    """See Clips."""
    return Clips(tools=tools, folder=tmp_path_factory.mktemp("clips"))


async def always() -> Permission:
    """The scheduler says yes, for a minute."""
    return Permission(allowed=True, deadline=time.clock_gettime(time.CLOCK_BOOTTIME) + 60)


@dataclass(slots=True, kw_only=True)
class Studio:
    """A place where attempts run: inputs are read anywhere below *roots*, outputs go to *output*."""

    toolchain: Toolchain
    roots: list[Path]
    output: Path
    threads: Threads
    snapshots: list[Snapshot] = field(default_factory=list)
    # Schemes and sizes of inputs.
    opened: list[tuple[str, int]] = field(default_factory=list)
    stores: ObjectStores = field(default_factory=ObjectStores)
    token: int = 1
    tenant: str = "t"
    # Processes are found by it: those of tests that run beside these are not ours.
    job_id: str = f"job-{os.getpid()}"

    def staging_name(self, token: int) -> str:
        """Of the attempt with *token*; also the marker of its processes."""
        return f"{self.tenant}~{self.job_id}~1~{token}"

    def spec(self, task: dict[str, Any], inputs: dict[str, Path], **rest: Any) -> media_pb2.JobSpec:
        """A spec from the JSON names of its fields."""
        data = {
            "inputs": {name: {"uri": path.as_uri()} for name, path in inputs.items()},
            "output": {"uri": self.output.as_uri()},
            "task": task,
            **rest,
        }
        return json_format.ParseDict(data, media_pb2.JobSpec())

    def attempt(
        self, spec: media_pb2.JobSpec, ask_to_publish: Callable[[], Awaitable[Permission]] = always, **rest: Any
    ) -> Attempt:
        """An attempt that has not begun; each has the next token. *rest* goes into its Assignment."""
        self.token += 1
        return Attempt(
            Assignment(
                tenant=self.tenant,
                job_id=self.job_id,
                token=self.token,
                attempt=1,
                generation=1,
                spec=spec,
                staging_name=self.staging_name(self.token),
                **rest,
            ),
            toolchain=self.toolchain,
            destinations=destinations(self.roots, self.output.parent, self.stores),
            intake=intake(self.roots, self.output.parent, stores=self.stores),
            threads=self.threads,
            ask_to_publish=ask_to_publish,
            on_progress=self.snapshots.append,
            on_input=lambda scheme, size_bytes: self.opened.append((scheme, size_bytes)),
            check_success=convert.check_size,
            log=structlog.get_logger(),
        )

    async def run(self, task: dict[str, Any], inputs: dict[str, Path], **rest: Any) -> Ended:
        """Run an attempt to its end."""
        async with asyncio.timeout(60):
            return await self.attempt(self.spec(task, inputs, **rest)).run()

    async def succeed(self, task: dict[str, Any], inputs: dict[str, Path], **rest: Any) -> Succeeded:
        """Run an attempt that has to succeed."""
        ended = await self.run(task, inputs, **rest)
        assert isinstance(ended, Succeeded), ended
        return ended

    def left(self) -> list[str]:
        """Everything below the output, relative."""
        found: Sequence[Path] = sorted(self.output.rglob("*"))
        return [str(path.relative_to(self.output)) for path in found]


@pytest.fixture
def studio(toolchain: Toolchain, clips: Clips, tmp_path: Path) -> Iterator[Studio]:
    """A studio that reads the clips and the test's own folder."""
    threads = Threads(4)
    yield Studio(toolchain=toolchain, roots=[clips.folder, tmp_path], output=tmp_path / "out", threads=threads)
    threads.close()
