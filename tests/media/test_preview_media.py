"""Moving previews on real FFmpeg: the right parts, so many pictures, in each format."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest

from telecine_worker.failure import FailureKind
from telecine_worker.outcome import Failed


def task(path: str, **fields: Any) -> dict[str, Any]:
    """A PreviewTask from the JSON names of its fields."""
    return {"preview": {"input": "main", "path": path, **fields}}


@pytest.fixture
def steps(clips) -> Path:
    """Ten seconds, five pictures in each; the n-th second is of one grey, a little lighter than the one before."""
    return clips.make(
        "preview-steps.mp4",
        *("-f", "lavfi", "-i", "color=black:s=96x64:r=5:d=10,geq=lum='20+20*floor(N/5)':cb=128:cr=128"),
        *("-c:v", "libx264", "-qp", "2", "-pix_fmt", "yuv420p", "-g", "7"),
    )


def shown(tools: Any, path: Path) -> list[int]:
    """Which second of `steps` each picture is of."""
    command = [str(tools.toolchain.ffmpeg), "-v", "error", "-i", str(path)]
    command += ["-vf", "crop=16:16,scale=1:1,format=gray", "-fps_mode", "passthrough", "-f", "rawvideo", "-"]
    pixels = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    return [round((each * 219 / 255 + 16 - 20) / 20) for each in pixels]


@pytest.mark.parametrize("extension", ["gif", "mp4"])
async def test_the_middle_of_each_part_is_shown(studio, steps, tools, extension):
    """Five parts of two seconds, of each the second fifth of a second on both sides of its middle."""
    ended = await studio.succeed(
        task(f"p.{extension}", duration="2s", clipCount=5, frameRate={"numerator": 5, "denominator": 1}),
        {"main": steps},
    )
    found = shown(tools, studio.output / f"p.{extension}")
    assert [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] == found
    (artifact,) = ended.artifacts
    stream = artifact.media.video[0]
    assert (96, 64, 2.0) == (stream.width_px, stream.height_px, artifact.media.duration.total_seconds())
    assert [f"p.{extension}"] == studio.left()


@pytest.mark.parametrize(
    ("extension", "media_type"), [("gif", "image/gif"), ("mp4", "video/mp4"), ("webp", "image/webp")]
)
async def test_defaults(studio, clips, tools, extension, media_type):
    """Three seconds from the middle, at ten pictures a second and 320 px wide; without sound."""
    film = clips.film(size="480x270", seconds=4)
    ended = await studio.succeed(task(f"p.{extension}"), {"main": film})
    (artifact,) = ended.artifacts
    assert media_type == artifact.media_type
    stream = artifact.media.video[0]
    assert (320, 180, ()) == (stream.width_px, stream.height_px, artifact.media.audio)
    assert abs(artifact.media.duration.total_seconds() - 3) <= 0.05
    if extension != "webp":
        assert "30" == tools.video(studio.output / f"p.{extension}")["nb_read_packets"]
        fit = "trim=start=0.5,setpts=PTS-STARTPTS,fps=10,scale=320:180"
        assert tools.ssim(studio.output / f"p.{extension}", film, fit) > (0.6 if extension == "gif" else 0.9)


async def test_a_webp_has_all_its_pictures(studio, clips):
    """In its chunks: each with a tenth of a second, for ever again; by every build, whether it can read them or not."""
    await studio.succeed(task("p.webp", duration="1s"), {"main": clips.film()})
    data = (studio.output / "p.webp").read_bytes()
    at, lengths, loops = 12, [], None
    while at < len(data):
        name, size = struct.unpack("<4sI", data[at : at + 8])
        if name == b"ANIM":
            loops = struct.unpack("<H", data[at + 12 : at + 14])[0]
        if name == b"ANMF":
            lengths.append(int.from_bytes(data[at + 20 : at + 23], "little"))
        at += 8 + size + size % 2
    assert (10, {100}, 0) == (len(lengths), set(lengths), loops)


@pytest.mark.parametrize("extension", ["gif", "mp4", "webp"])
async def test_many_clips_are_taken_a_few_at_a_time(studio, steps, tools, extension):
    """Twenty of half a second each: three runs, and one that joins them."""
    ended = await studio.succeed(
        task(f"p.{extension}", duration="4s", clipCount=20, frameRate={"numerator": 5, "denominator": 1}),
        {"main": steps},
    )
    assert abs(ended.artifacts[0].media.duration.total_seconds() - 4) <= 0.05
    if extension != "webp":
        assert [number // 2 for number in range(20)] == shown(tools, studio.output / f"p.{extension}")
    assert [f"p.{extension}"] == studio.left()


@pytest.mark.parametrize("extension", ["gif", "mp4", "webp"])
async def test_short_and_still_films(studio, clips, tools, extension):
    """A film that is shorter than its preview is shown once; one whose pictures are all alike has its length, too."""
    film = clips.make(
        "preview-short.mkv",
        "-f",
        "lavfi",
        "-i",
        "color=red:s=64x49:r=30:d=0.5",
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv444p",
    )
    ended = await studio.succeed(task(f"p.{extension}", clipCount=60), {"main": film})
    stream = ended.artifacts[0].media.video[0]
    assert (64, 48) == (stream.width_px, stream.height_px)
    duration = ended.artifacts[0].media.duration
    assert duration is None or abs(duration.total_seconds() - 0.5) <= 0.1


@pytest.mark.parametrize(
    ("fields", "reason", "words"),
    [
        ({"path": "p.avi"}, "UNSUPPORTED_CONTAINER", "gif, webp, mp4"),
        ({"path": "p.gif", "frameRate": {"numerator": 60, "denominator": 1}}, "OPTION_INVALID", "at most 50"),
        (
            {"path": "p.gif", "duration": "60s", "widthPx": 1920, "frameRate": {"numerator": 50, "denominator": 1}},
            "OPTION_INVALID",
            "too much for a gif: at most",
        ),
    ],
)
async def test_what_cannot_be_is_refused_in_words(studio, clips, fields, reason, words):
    """For good, with what would be right; nothing is left."""
    film = clips.make("preview-hd.mkv", "-f", "lavfi", "-i", "color=red:s=1920x1080:r=1:d=61", "-c:v", "mpeg4")
    ended = await studio.run(task(**fields), {"main": film})
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, reason) == (ended.failure.kind, ended.failure.reason)
    assert words in ended.failure.message
    assert [] == studio.left()


async def test_what_has_no_length_or_no_pictures_is_refused(studio, clips):
    """A picture, and sound."""
    still = clips.make("preview-still.png", "-f", "lavfi", "-i", "testsrc=s=64x48", "-frames:v", "1")
    sound = clips.make("preview-sound.wav", "-f", "lavfi", "-i", "sine=440:d=1")
    for source, reason in ((still, "INPUT_INVALID"), (sound, "INPUT_MISSING_STREAM")):
        ended = await studio.run(task("p.gif"), {"main": source})
        assert isinstance(ended, Failed)
        assert reason == ended.failure.reason


@pytest.mark.parametrize("extension", ["gif", "mp4", "webp"])
async def test_a_film_that_ends_early_never_passes(studio, steps, clips, tools, tmp_path, extension):
    """Its header promises ten seconds: where damage is to be a warning what there is of it is shown, else nothing."""
    whole = clips.make("preview-fast.mp4", "-i", str(steps), "-c", "copy", "-movflags", "+faststart")
    cut = half(whole, tmp_path)
    wanted = task(f"p.{extension}", clipCount=5, duration="1s", frameRate={"numerator": 5, "denominator": 1})
    for policy in ("DAMAGE_POLICY_FAIL", "DAMAGE_POLICY_UNSPECIFIED"):
        ended = await studio.run(wanted, {"main": cut}, damage_policy=policy)
        assert isinstance(ended, Failed), ended
        assert "INPUT_TRUNCATED" == ended.failure.reason
        assert [] == studio.left()
    ended = await studio.succeed(wanted, {"main": cut}, damage_policy="DAMAGE_POLICY_WARN")
    assert ("INPUT_TRUNCATED", "main") in {(each.reason, each.input_name) for each in ended.warnings}
    if extension != "webp":
        found = shown(tools, studio.output / f"p.{extension}")
        assert (5, 1, True) == (len(found), found[0], found[-1] == found[-2] < 7)


async def test_clips_that_lie_apart_are_read_by_themselves(studio, clips, tools, tmp_path):
    """Forty seconds, four of each grey, are not read as a whole for two clips of it; they are where nothing comes of one."""
    slow = clips.make(
        "preview-slow.mp4",
        *("-f", "lavfi", "-i", "color=black:s=96x64:r=5:d=40,geq=lum='20+20*floor(N/20)':cb=128:cr=128"),
        *("-c:v", "libx264", "-qp", "2", "-pix_fmt", "yuv420p", "-g", "30", "-movflags", "+faststart"),
    )
    wanted = task("p.gif", duration="0.8s", clipCount=2, frameRate={"numerator": 5, "denominator": 1})
    await studio.succeed(wanted, {"main": slow})
    assert [2, 2, 7, 7] == shown(tools, studio.output / "p.gif")
    await studio.succeed(wanted, {"main": half(slow, tmp_path)}, damage_policy="DAMAGE_POLICY_WARN")
    found = shown(tools, studio.output / "p.gif")
    assert ([2, 2], True) == (found[:2], 2 < found[2] == found[3] < 6)


def half(film: Path, folder: Path) -> Path:
    """The first half of the pictures of *film*, which says at its front that it has all of them."""
    data = film.read_bytes()
    path = folder / "half.mp4"
    path.write_bytes(data[: (data.index(b"mdat") + len(data)) // 2])
    return path
