"""A package that is not what was planned is found, whatever exit code its making had."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from telecine.v1 import media_pb2
from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg.probe import probe
from telecine_worker.ffmpeg.run import Surroundings
from telecine_worker.ffmpeg.stop_order import StopOrder, Stopped
from telecine_worker.package_verification import PackageVerification
from telecine_worker.storage.locations import Location
from telecine_worker.storage.staging import Staging
from telecine_worker.storage.threads import Threads
from telecine_worker.tasks import packaging
from telecine_worker.tasks.plan import Plan

TASK: dict[str, Any] = {
    "input": "main", "directory": "p", "gopDuration": "1s", "segmentDuration": "1s",
    "renditions": [
        {"name": name, "video": {"codec": "h264", "heightPx": high, "preset": "ultrafast"}}
        for name, high in (("a", 90), ("b", 46))
    ],
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A package of two renditions with sound as FFmpeg's muxer leaves it, 2.5 s in three segments each."""

    folder: Path
    plan: Plan
    staging: Staging
    threads: Threads
    around: Surroundings

    async def check(self, *, frames: int | None = 25, whole: bool = False) -> list[str]:
        """Verify it: the names of the files, in the order of their publication."""
        assert self.plan.package is not None
        verification = PackageVerification(
            self.plan.package, self.around, self.staging, self.threads, whole=whole, on_usage=lambda _: None
        )
        return [expected.file_name for expected, _ in await verification.check(encoded_frames=frames)]


@pytest.fixture
async def bench(clips: Any, toolchain: Any, tmp_path: Path) -> Any:
    """One that may be damaged."""
    source = clips.film(size="160x90", seconds=2.5, rate="10")
    around = Surroundings(toolchain=toolchain, marker="package", stop=StopOrder())
    with source.open("rb") as file:
        info = (await probe(around, file.fileno(), name="main")).info
    task = json_format.ParseDict(TASK, media_pb2.PackagingTask())
    plan = packaging.plan(task, {"main": info}, toolchain.encoders)
    folder = tmp_path / "staged"
    muxed = clips.folder / "muxed"
    if not muxed.exists():
        muxed.mkdir()
        argv = [str(toolchain.ffmpeg), "-v", "error", "-y", *plan.steps[0].filled({"main": f"file:{source}"}, {})]
        subprocess.run(argv, cwd=muxed, check=True, timeout=60)
    shutil.copytree(muxed, folder)
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    staging = Staging(location=Location(root=tmp_path, parts=()), output_fd=os.dup(fd), folder_fd=fd, name="t~j~1~1")
    threads = Threads(1)
    yield Bench(folder=folder, plan=plan, staging=staging, threads=threads, around=around)
    threads.close()
    os.close(staging.output_fd)
    os.close(fd)


async def test_a_right_one_passes(bench):
    """Files are named after their renditions; what nobody lists is not among them."""
    (bench.folder / "pass-0.log").write_text("left by somebody")
    found = await bench.check(whole=True)
    listings = ["a.m3u8", "b.m3u8", "audio.m3u8", "master.m3u8"]
    assert listings == found[-4:]
    segments = [f"{name}_{number:05d}.m4s" for name in "ab" for number in (1, 2, 3)]
    assert {*segments, "init_a.mp4", "init_b.mp4", "init_audio.mp4"} <= set(found)
    assert not {"pass-0.log", "package.mpd", "_probed.mp4"} & set(found)


def change(path: Path, at: int, data: bytes) -> None:
    """Bytes in the middle of a file."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def box(path: Path, name: bytes) -> int:
    """Where the content of a box begins."""
    return path.read_bytes().index(name) + 4


def drop(folder: Path) -> None:
    (folder / "_0_00002.m4s").unlink()


def cut(folder: Path) -> None:
    os.truncate(folder / "_0_00002.m4s", 500)


def shift(folder: Path) -> None:
    path = folder / "_1_00003.m4s"
    change(path, box(path, b"tfdt") + 4, struct.pack(">Q", 10**6))


def lose_key(folder: Path) -> None:
    path = folder / "_1_00002.m4s"
    at = box(path, b"trun")
    flags = struct.unpack(">I", path.read_bytes()[at : at + 4])[0]
    assert flags & 5 == 5
    change(path, at + 12, struct.pack(">I", 0x01010000))


def repeat_time(folder: Path) -> None:
    """The default duration of a sample is 0."""
    path = folder / "_1_00002.m4s"
    change(path, box(path, b"tfhd") + 8, struct.pack(">I", 0))


def corrupt(folder: Path) -> None:
    path = folder / "_0_00002.m4s"
    change(path, box(path, b"mdat") + 200, bytes(range(256)))


def other_init(folder: Path) -> None:
    shutil.copy(folder / "_init_1.mp4", folder / "_init_0.mp4")


def no_init(folder: Path) -> None:
    (folder / "_init_2.mp4").unlink()


def empty_init(folder: Path) -> None:
    (folder / "_init_2.mp4").write_bytes(b"")


def no_sound(folder: Path) -> None:
    for path in folder.glob("_2_*"):
        path.unlink()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (drop, "2 segments, of which the last has number 3"),
        (cut, r"a_00002\.m4s is damaged: the box at byte"),
        (shift, "segment 3 begins at"),
        (lose_key, "segment 2 has key frames at"),
        (repeat_time, r"b_00002\.m4s is damaged: its decoding times do not grow"),
        (corrupt, "does not decode"),
        (other_init, "width is|does not decode|its height"),
        (empty_init, r"init_audio\.mp4 is damaged: it has 0 boxes moov"),
        (no_sound, "it has no segments"),
    ],
)
async def test_harm_is_found(bench, harm: Callable[[Path], None], said):
    """Segments that miss, end early, have wrong times or wrong content; named by the file that players would ask for."""
    harm(bench.folder)
    with pytest.raises(AttemptFailed, match=said) as error:
        await bench.check()
    failure = error.value.failure
    assert (FailureKind.UNKNOWN, "VERIFICATION_FAILED") == (failure.kind, failure.reason)


@pytest.mark.parametrize(("field", "value", "said"), [
    ("codec", "hevc", "video codec is h264, planned was hevc"), ("height_px", 92, "height is 90, planned was 92"),
    ("pixel_format", "yuv420p10le", "pixel format is yuv420p,"),
])  # fmt: skip
async def test_what_the_segments_hold_is_what_was_planned(bench, field, value, said):
    """Of each rendition, as ffprobe sees its beginning."""
    package = bench.plan.package
    first = package.tracks[0]
    stream = replace(first.stream, video=replace(first.stream.video, **{field: value}))
    other = replace(package, tracks=(replace(first, stream=stream), *package.tracks[1:]))
    with pytest.raises(AttemptFailed, match=said):
        await replace(bench, plan=replace(bench.plan, package=other)).check()


async def test_a_file_that_was_not_written_is_missed(bench):
    """As any other output is: it may be gone because the whole folder is."""
    no_init(bench.folder)
    with pytest.raises(AttemptFailed, match="init_audio"):
        await bench.check()


async def test_an_order_to_stop_ends_it(bench):
    """At the next file."""
    bench.around.stop.give(timedelta(0))
    with pytest.raises(Stopped):
        await bench.check()
