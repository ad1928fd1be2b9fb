"""Stills that are not what was planned do not pass: wrong size, no picture, one too few, one that does not decode."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg.expected import Expected, ExpectedVideo
from telecine_worker.ffmpeg.run import Surroundings
from telecine_worker.ffmpeg.stop_order import StopOrder
from telecine_worker.ffmpeg.verify_pictures import check_picture, decode_pictures

Check = Callable[[], Any]


@pytest.fixture
def stills(tools, tmp_path) -> Path:
    """Three of them, out-1.png to out-3.png."""
    pattern = str(tmp_path / "out-%d.png")
    tools.ffmpeg("-f", "lavfi", "-i", "testsrc=s=60x40", "-frames:v", "3", pattern)
    return tmp_path


def expected(number: int) -> Expected:
    """The plan for a still."""
    video = ExpectedVideo(codec="png", width_px=60, height_px=40, pixel_format="rgb24")
    return Expected(
        path=f"t/{number}.png",
        file_name=f"out-{number}.png",
        media_type="image/png",
        formats=("png_pipe",),
        video=video,
    )


async def decode(toolchain: Any, folder: Path, count: int = 3, pattern: str = "out-%d.png") -> None:
    """All of the planned ones."""
    around = Surroundings(toolchain=toolchain, marker=f"stills-{os.getpid()}", stop=StopOrder())
    planned = [expected(number) for number in range(1, count + 1)]
    await decode_pictures(around, planned, pattern, cwd=str(folder), on_block=lambda _: None, on_usage=lambda _: None)


def check(path: Path, wanted: Expected) -> Any:
    """Its header against the plan."""
    fd = os.open(path, os.O_RDONLY)
    try:
        return check_picture(fd, wanted)
    finally:
        os.close(fd)


async def test_what_was_planned_passes(toolchain, stills):
    """And is described as what it is."""
    await decode(toolchain, stills)
    info = check(stills / "out-2.png", expected(2))
    assert ("png_pipe", "png", 60, 40) == (
        info.format,
        info.video[0].codec,
        info.video[0].width_px,
        info.video[0].height_px,
    )


@pytest.mark.parametrize("count", [2, 4])
async def test_another_number_of_stills_is_refused(toolchain, stills, count):
    """More files than planned, or fewer."""
    with pytest.raises(AttemptFailed, match=f"3 pictures decode, planned were {count}") as failed:
        await decode(toolchain, stills, count)
    assert (FailureKind.UNKNOWN, "VERIFICATION_FAILED") == (failed.value.failure.kind, failed.value.failure.reason)


@pytest.mark.parametrize("place", [0.5, 0.98])
async def test_a_still_that_does_not_decode_is_refused(toolchain, stills, place):
    """Though its header is whole, and whatever the code FFmpeg ends with."""
    content = (stills / "out-2.png").read_bytes()
    (stills / "out-2.png").write_bytes(content[: int(len(content) * place)])
    with pytest.raises(AttemptFailed, match="does not decode") as failed:
        await decode(toolchain, stills)
    assert "VERIFICATION_FAILED" == failed.value.failure.reason


async def test_a_still_that_ffmpeg_only_complains_about_is_refused(toolchain, tools, tmp_path):
    """It ends with code 0 on half a JPEG."""
    tools.ffmpeg(
        "-f", "lavfi", "-i", "testsrc=s=320x240", "-frames:v", "1", "-update", "1", str(tmp_path / "out-1.jpg")
    )
    content = (tmp_path / "out-1.jpg").read_bytes()
    (tmp_path / "out-1.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(AttemptFailed, match="does not decode") as failed:
        await decode(toolchain, tmp_path, 1, "out-%d.jpg")
    assert "VERIFICATION_FAILED" == failed.value.failure.reason


@pytest.mark.parametrize(("content", "said"), [(b"no picture", "no header"), (None, "60x40 px, planned was 60x41")])
def test_a_header_that_is_not_the_planned_one_is_refused(stills, content, said):
    """No picture at all, or one of another size."""
    path, wanted = stills / "out-1.png", expected(1)
    if content is None:
        wanted = Expected(
            path=wanted.path,
            file_name=wanted.file_name,
            media_type=wanted.media_type,
            formats=wanted.formats,
            video=ExpectedVideo(codec="png", width_px=60, height_px=41),
        )
    else:
        path.write_bytes(content)
    with pytest.raises(AttemptFailed, match=said):
        check(path, wanted)
