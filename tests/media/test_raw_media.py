"""Raw arguments on real FFmpeg."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path
from typing import Any

from telecine_scheduler.rpc.requirements import DEFAULT_AUDIO_ENCODERS, DEFAULT_VIDEO_ENCODERS
from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg import arguments
from telecine_worker.ffmpeg.filters import FILTERS
from telecine_worker.ffmpeg.options import FLAGS, GRAPHS, OUTPUT_OPTIONS
from telecine_worker.outcome import Failed
from telecine_worker.tasks.raw import FILE_TYPES


def raw(*args: str, outputs: list[str]) -> dict[str, Any]:
    """A task with FFmpeg's own arguments."""
    return {"ffmpeg": {"args": list(args), "outputs": outputs}}


def png_size(path: Path) -> tuple[int, int]:
    """From the header: the bundled ffprobe has no decoder for PNG."""
    wide, high = struct.unpack(">II", path.read_bytes()[16:24])
    return wide, high


async def test_raw_arguments_keep_every_frame(studio, clips, tools):
    """The caller's arguments run as written: 60 frames, half the size, an SSIM of at least 0.95."""
    film = clips.film()
    args = ("-i", "main", "-vf", "scale=160:-2", "-c:v", "libx264", "-crf", "20", "-c:a", "aac", "small.mp4")
    await studio.succeed(raw(*args, outputs=["small.mp4"]), {"main": film})
    video = tools.video(studio.output / "small.mp4")
    assert (160, 90, "60") == (video["width"], video["height"], video["nb_read_packets"])
    assert tools.ssim(studio.output / "small.mp4", film, "scale=160:90:flags=bicubic") >= 0.95
    assert ["small.mp4"] == studio.left()


async def test_several_inputs_and_outputs(studio, clips, tools):
    """The picture of one input with the sound of another; a still, an animation and a sound file beside it."""
    film, other = clips.film(), clips.film(size="160x90", seconds=1)
    args = (
        *("-ss", "0.5", "-t", "1", "-i", "a", "-i", "b"),
        *("-map", "0:v", "-map", "1:a", "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "libopus", "mix.mkv"),
        *("-map", "0:v:0", "-frames:v", "1", "still.png"),
        *("-map", "0:v:0", "-frames:v", "1", "-q:v", "3", "still.jpg"),
        *("-map", "0:v:0", "-vf", "fps=5,scale=80:-1", "moving.gif"),
        *("-map", "1:a", "-af", "volume=-6dB", "-c:a", "libmp3lame", "-b:a", "64k", "sound.mp3"),
    )
    names = ["sound.mp3", "mix.mkv", "still.png", "still.jpg", "moving.gif"]
    ended = await studio.succeed(raw(*args, outputs=names), {"a": film, "b": other})
    assert [artifact.path for artifact in ended.artifacts] == names
    assert "30" == tools.video(studio.output / "mix.mkv")["nb_read_packets"]
    assert (320, 180) == png_size(studio.output / "still.png")
    assert "5" == tools.video(studio.output / "moving.gif")["nb_read_packets"]
    assert "mp3" == tools.audio(studio.output / "sound.mp3")["codec_name"]


async def test_a_size_from_an_expression_is_bounded(studio, clips):
    """iw*100 does not make a picture of 16,000 pixels: the bound of 8192 is written into the expression."""
    film = clips.film(size="160x90", seconds=1)
    args = ("-i", "main", "-vf", "scale=w=iw*100:h=2", "-frames:v", "1", "wide.png")
    await studio.succeed(raw(*args, outputs=["wide.png"]), {"main": film})
    assert (8192, 2) == png_size(studio.output / "wide.png")


async def test_what_ffmpeg_refuses_is_permanent_in_its_own_words(studio, clips):
    """An odd size with 4:2:0 fails for good, and the message quotes FFmpeg."""
    args = ("-i", "main", "-vf", "scale=161:91", "-c:v", "libx264", "-pix_fmt", "yuv420p", "odd.mp4")
    ended = await studio.run(raw(*args, outputs=["odd.mp4"]), {"main": clips.film()})
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, "OPTION_INVALID") == (ended.failure.kind, ended.failure.reason)
    assert "not divisible by 2" in ended.failure.message
    assert "not divisible by 2" in ended.failure.log_tail
    assert [] == studio.left()


def test_what_ffmpeg_chooses_by_itself_is_what_the_scheduler_asks_for(clips, tools, tmp_path):
    """Of every kind of file that holds pictures or sound: the libraries, and that nothing else is one."""
    for extension, file_type in FILE_TYPES.items():
        if not file_type.decodable:
            continue
        arguments = ("-i", str(clips.film(size="64x64", seconds=1)), "-t", "0.1", *file_type.muxer)
        said = tools.ffmpeg(*arguments, str(tmp_path / f"o.{extension}"))
        found = {each.removesuffix("_anim") for each in re.findall(r"-> \w+ \((lib[\w-]+)\)", said)} - {"libtheora"}
        wanted = {encoders.get(extension) for encoders in (DEFAULT_VIDEO_ENCODERS, DEFAULT_AUDIO_ENCODERS)} - {None}
        assert (extension, wanted) == (extension, found)


def options_of(tools: Any) -> set[str]:
    """Every option that this FFmpeg has: its own, and those of its libraries and components."""
    argv = [str(tools.toolchain.ffmpeg), "-hide_banner", "-h", "full"]
    said = subprocess.run(argv, capture_output=True, check=True, text=True, timeout=60).stdout
    return set(re.findall(r"^ {0,4}(-[A-Za-z][\w-]*)", said, re.MULTILINE))


def test_every_option_that_is_not_listed_is_refused(tools):
    """Of thousands, whatever they do: with a value and without, for all streams and one, before the input and after."""
    listed = {*OUTPUT_OPTIONS, *GRAPHS, *FLAGS, "-map", "-i", "-filter"}
    names = options_of(tools) - listed
    assert 1000 < len(names)
    assert {"-dump_attachment", "-progress", "-attach", "-filter_complex", "-enable_drefs", "-f", "-bsf"} <= names
    passed = [
        tokens
        for name in sorted(names)
        for tokens in (
            ["-i", "main", name, "1", "out.mp4"], ["-i", "main", name, "out.mp4"], ["-i", "main", f"{name}:v", "1", "out.mp4"],
            [name, "1", "-i", "main", "out.mp4"], ["-i", "main", f"-/{name[1:]}", "main", "out.mp4"],
        )
        if allowed(tokens)
    ]  # fmt: skip
    assert [] == passed


def test_every_filter_that_is_not_listed_is_refused(tools):
    """Whether it reads files, listens, loads libraries or only costs more than it should."""
    names = tools.toolchain.filters - FILTERS.keys()
    assert 200 < len(names)
    assert [] == [
        name for name in sorted(names) for kind in ("-vf", "-af") if allowed(["-i", "main", kind, name, "out.mp4"])
    ]


def allowed(tokens: list[str]) -> bool:
    """Whether raw arguments pass."""
    try:
        arguments.parse(tokens, ("out.mp4",))
    except AttemptFailed as error:
        assert "ARGUMENT_NOT_ALLOWED" == error.failure.reason
        return False
    return True
