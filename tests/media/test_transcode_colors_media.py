"""Colours of a transcode: HDR to SDR, HDR that is kept, and the tags of both."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from telecine_worker.failure import FailureKind
from telecine_worker.outcome import Failed

_HDR10 = (
    "transfer=smpte2084:hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    ":max-cll=1000,400"
)
_TAGS = ("color_primaries", "color_transfer", "color_space")


def hdr(clips: Any, name: str) -> Path:
    """A second of "hdr10" or "hlg" in ten bits."""
    transfer = _HDR10 if name == "hdr10" else "transfer=arib-std-b67"
    colors = f"log-level=error:colorprim=bt2020:colormatrix=bt2020nc:range=limited:{transfer}"
    path: Path = clips.make(
        f"{name}.mp4", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=10:duration=1", "-pix_fmt", "yuv420p10le",
        "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", colors,
    )  # fmt: skip
    return path


def tags(tools: Any, path: Path) -> tuple[str, ...]:
    """What the video says of its colours."""
    video = tools.video(path)
    return tuple(str(video.get(name, "")) for name in _TAGS)


def side_data(tools: Any, path: Path) -> set[str]:
    """What the first picture, and the stream, say besides."""
    argv = [str(tools.toolchain.ffprobe), "-v", "error", "-show_frames", "-show_streams", "-read_intervals", "%+#1"]
    found = json.loads(subprocess.run([*argv, "-of", "json", str(path)], capture_output=True, check=True).stdout)
    return {
        each["side_data_type"]
        for part in (*found["frames"], *found["streams"])
        for each in part.get("side_data_list", [])
    }


@pytest.mark.parametrize("name", ["hdr10", "hlg"])
async def test_hdr_becomes_sdr(studio, clips, tools, name):
    """Eight bits of BT.709 in limited range, with nothing left of what HDR says of its light; as bright as was meant."""
    if "zscale" not in tools.toolchain.filters:
        pytest.skip("this FFmpeg has no zscale")
    film = hdr(clips, name)
    video = {"codec": "h264", "preset": "ultrafast", "toneMapToSdr": True}
    ended = await studio.succeed({"transcode": {"input": "main", "path": "o.mp4", "video": video}}, {"main": film})
    made = studio.output / "o.mp4"
    assert ("bt709", "bt709", "bt709") == tags(tools, made)
    assert ("yuv420p", "tv") == (tools.video(made)["pix_fmt"], tools.video(made)["color_range"])
    assert not {each for each in side_data(tools, made) if "light" in each.lower() or "mastering" in each.lower()}
    assert "10" == tools.video(made)["nb_read_packets"]
    assert ("smpte2084" if name == "hdr10" else "arib-std-b67") == ended.inputs["main"].video[0].color_transfer


async def test_sdr_stays_as_it_is_though_tone_mapping_is_asked_for(studio, clips, tools):
    """The same pictures as without, and the same tags."""
    tagged = "setparams=colorspace=smpte170m:color_primaries=smpte170m:color_trc=smpte170m"
    source = f"testsrc2=size=160x90:rate=10:duration=1,format=yuv420p,{tagged}"
    # FFmpeg 5 takes the tags from its options, 9 from the pictures.
    options = ("-colorspace", "smpte170m", "-color_primaries", "smpte170m", "-color_trc", "smpte170m")
    film = clips.make("sdr.mp4", "-f", "lavfi", "-i", source, "-c:v", "libx264", *options)
    video = {"codec": "h264", "preset": "ultrafast", "toneMapToSdr": True, "crf": 4}
    await studio.succeed({"transcode": {"input": "main", "path": "o.mp4", "video": video}}, {"main": film})
    assert ("smpte170m", "smpte170m", "smpte170m") == tags(tools, studio.output / "o.mp4")
    assert tools.ssim(studio.output / "o.mp4", film) > 0.99


@pytest.mark.parametrize(
    ("name", "codec", "extension", "preset"),
    [("hdr10", "h265", "mp4", "ultrafast"), ("hdr10", "vp9", "webm", "8"), ("hlg", "av1", "mkv", "12")],
)
async def test_hdr_is_kept_where_nobody_asks_for_sdr(studio, clips, tools, name, codec, extension, preset):
    """In ten bits, with its tags: in eight it would show steps in every sky."""
    film = hdr(clips, name)
    task = {"input": "main", "path": f"o.{extension}", "video": {"codec": codec, "preset": preset}}
    await studio.succeed({"transcode": task}, {"main": film})
    made = studio.output / f"o.{extension}"
    assert tags(tools, film) == tags(tools, made)
    assert "yuv420p10le" == tools.video(made)["pix_fmt"]


async def test_hdr_in_h264_is_a_decision_of_the_caller(studio, clips, tools):
    """Refused with what would be right; made in ten bits where they are asked for."""
    film = hdr(clips, "hdr10")
    task: dict[str, Any] = {"input": "main", "path": "o.mp4", "video": {"codec": "h264", "preset": "ultrafast"}}
    ended = await studio.run({"transcode": task}, {"main": film})
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, "OPTION_INVALID") == (ended.failure.kind, ended.failure.reason)
    assert "tone_map_to_sdr" in ended.failure.message
    task["video"]["pixelFormat"] = "yuv420p10le"
    await studio.succeed({"transcode": task}, {"main": film})
    assert ("bt2020", "smpte2084", "bt2020nc") == tags(tools, studio.output / "o.mp4")


@pytest.mark.parametrize(
    ("codec", "lines", "matrix", "luma"), [("png", 720, "bt709", 144), ("ffv1", 180, "smpte170m", 127)]
)
async def test_rgb_becomes_what_players_of_its_size_expect(studio, clips, tools, codec, lines, matrix, luma):
    """By the matrix of high definition from 720 lines on, and the result says which it has."""
    color = f"color=0x20C040:size=320x{lines}:rate=5:duration=0.4,format=gbrp"
    film = clips.make("green.mkv", "-f", "lavfi", "-i", color, "-c:v", codec)
    video = {"codec": "h264", "preset": "ultrafast", "crf": 4}
    await studio.succeed({"transcode": {"input": "main", "path": "o.mp4", "video": video}}, {"main": film})
    assert matrix == tools.video(studio.output / "o.mp4")["color_space"]
    argv = [str(tools.toolchain.ffmpeg), "-v", "error", "-i", str(studio.output / "o.mp4"), "-frames:v", "1"]
    pixels = subprocess.run([*argv, "-f", "rawvideo", "-"], capture_output=True, check=True, timeout=60).stdout
    assert abs(luma - pixels[len(pixels) // 3]) <= 1
