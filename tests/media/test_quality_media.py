"""How close a copy is to its original, on real FFmpeg: the right pictures are compared, whatever else differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from telecine.v1 import media_pb2
from telecine_worker.failure import FailureKind
from telecine_worker.outcome import Failed, Succeeded


def task(*metrics: str) -> dict[str, Any]:
    """A QualityTask."""
    return {"quality": {"reference": "r", "distorted": "d", "metrics": list(metrics)}}


async def measured(studio: Any, reference: Path, distorted: Path, *metrics: str) -> dict[str, float]:
    """The measurements."""
    spec = studio.spec(task(*metrics), {"r": reference, "d": distorted})
    spec.ClearField("output")
    ended = await studio.attempt(spec).run()
    assert not isinstance(ended, Failed), ended
    assert () == ended.artifacts
    return dict(ended.measurements)


@pytest.fixture
def film(clips) -> Path:
    """Sixty moving pictures, 30 a second."""
    return clips.make(
        "quality.mp4",
        *("-f", "lavfi", "-i", "testsrc2=s=160x120:r=30:d=2", "-f", "lavfi", "-i", "sine=440:d=2"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-qp", "5", "-pix_fmt", "yuv420p", "-c:a", "aac"),
    )


async def test_what_is_the_same_is_as_close_as_can_be(studio, film):
    """One; a hundred decibels, which stand for no difference at all."""
    found = await measured(studio, film, film, "psnr", "ssim")
    assert (1.0, 100.0) == (found["quality.ssim"], found["quality.psnr_db"])
    assert abs(found["quality.duration_seconds"] - 2) < 0.05


async def test_worse_is_further_away(studio, clips, film):
    """By both metrics, in the order of how much was taken away."""
    found = []
    for crf in (20, 35, 50):
        copy = clips.make(f"quality-{crf}.mp4", "-i", str(film), "-c:v", "libx264", "-crf", str(crf))
        values = await measured(studio, film, copy, "ssim", "psnr")
        found.append((values["quality.ssim"], values["quality.psnr_db"]))
    assert sorted(found, reverse=True) == found
    assert (0.9 < found[0][0] < 1, 25 < found[0][1] < 60) == (True, True)
    assert found[2][0] < 0.9


@pytest.mark.parametrize(
    ("name", "arguments", "least"),
    [
        ("rounded.mkv", ("-c", "copy"), 1.0),
        ("later.mkv", ("-c:v", "ffv1", "-output_ts_offset", "5", "-an"), 1.0),
        ("smaller.mp4", ("-vf", "scale=80:60", "-c:v", "libx264", "-qp", "2"), 0.85),
        ("faster.mp4", ("-vf", "fps=60", "-c:v", "libx264", "-qp", "2"), 0.99),
        ("shorter.mp4", ("-t", "1", "-c:v", "libx264", "-qp", "2"), 0.99),
        ("turned.mkv", ("-vf", "transpose=1,transpose=2", "-c:v", "ffv1"), 1.0),
    ],
)
async def test_pictures_are_compared_that_belong_together(studio, clips, film, name, arguments, least):
    """Times that a container has rounded, a later start, another size, rate or length do not count against a copy."""
    copy = clips.make(f"quality-{name}", "-i", str(film), *arguments)
    found = await measured(studio, film, copy, "ssim")
    assert least <= found["quality.ssim"]
    if name == "shorter.mp4":
        assert abs(found["quality.duration_seconds"] - 1) < 0.1


async def test_a_copy_that_lags_is_found_out(studio, clips, film):
    """A quarter of a second late is another picture."""
    late = clips.make(
        "quality-late.mp4", "-i", str(film), "-vf", "tpad=start=6:start_mode=clone", "-c:v", "libx264", "-qp", "2"
    )
    assert (await measured(studio, film, late, "ssim"))["quality.ssim"] < 0.95


async def test_vmaf_where_it_is_there(studio, clips, film, tools):
    """Near a hundred for the same; without the library the option is refused by name."""
    if "libvmaf" in tools.toolchain.filters:
        worse = clips.make("quality-45.mp4", "-i", str(film), "-c:v", "libx264", "-crf", "45")
        assert 95 < (await measured(studio, film, film, "vmaf", "psnr"))["quality.vmaf"] <= 100
        assert (await measured(studio, film, worse, "vmaf"))["quality.vmaf"] < 80
        return
    spec = studio.spec(task("vmaf"), {"r": film, "d": film})
    spec.ClearField("output")
    ended = await studio.attempt(spec).run()
    assert isinstance(ended, Failed)
    assert ("UNSUPPORTED_OPTION", True) == (ended.failure.reason, "metrics vmaf" in ended.failure.message)


async def test_what_has_no_pictures_cannot_be_compared(studio, clips, film):
    """It is named."""
    sound = clips.make("quality-sound.m4a", "-f", "lavfi", "-i", "sine=440:d=1", "-c:a", "aac")
    spec = studio.spec(task("ssim"), {"r": film, "d": sound})
    spec.ClearField("output")
    ended = await studio.attempt(spec).run()
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, "INPUT_MISSING_STREAM") == (ended.failure.kind, ended.failure.reason)
    assert "input d has no video" in ended.failure.message


async def test_it_is_said_for_how_long_they_were_compared(studio, clips, film, tmp_path):
    """Of the pictures: a sound that goes on is none, and what a file lacks was not compared: a failure or a warning."""
    longer = clips.make(
        "quality-sound.mp4",
        "-i",
        str(film),
        "-f",
        "lavfi",
        "-i",
        "sine=440:d=4",
        *("-map", "0:v", "-map", "1:a", "-c:v", "copy"),
    )
    assert 2.0 == (await measured(studio, longer, longer, "ssim"))["quality.duration_seconds"]
    whole = clips.make("quality-fast.mp4", "-i", str(film), *("-c", "copy", "-movflags", "+faststart"))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    spec = studio.spec(task("ssim"), {"r": film, "d": cut})
    spec.ClearField("output")
    ended = await studio.attempt(spec).run()
    assert isinstance(ended, Failed)
    assert "INPUT_TRUNCATED" == ended.failure.reason
    spec.damage_policy = media_pb2.DAMAGE_POLICY_WARN
    ended = await studio.attempt(spec).run()
    assert isinstance(ended, Succeeded), ended
    assert ("INPUT_TRUNCATED", "d") in {(each.reason, each.input_name) for each in ended.warnings}
    assert 0.3 < ended.measurements["quality.duration_seconds"] < 1.6
