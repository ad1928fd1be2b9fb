"""Raw arguments on real FFmpeg."""

from __future__ import annotations

import re
import struct
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

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


SIZES = {
    "scale=80:-2": (80, 46),
    "scale=-4:60": (108, 60),
    "scale=trunc(oh*a/2)*2:60": (106, 60),
    "scale='if(gt(a,1),200,-2)':'if(gt(a,1),-2,200)'": (200, 112),
    "scale=100:100:force_original_aspect_ratio=increase": (178, 100),
    "scale=iw*51:2": (8160, 2),
    "pad=iw*2:0:(ow-iw)/2": (320, 90),
}


async def test_sizes_that_depend_on_the_picture_are_what_ffmpeg_makes_of_them(studio, clips):
    """The bounds that are written into them change none that is allowed."""
    outputs = [f"{number}.png" for number in range(len(SIZES))]
    args = ["-i", "main"]
    for graph, output in zip(SIZES, outputs, strict=True):
        args += ["-vf", graph, "-frames:v", "1", output]
    await studio.succeed(raw(*args, outputs=outputs), {"main": clips.film(size="160x90", seconds=1)})
    found = [png_size(studio.output / output) for output in outputs]
    assert SIZES == dict(zip(SIZES, found, strict=True))


@pytest.mark.parametrize(
    "graph",
    [
        "scale=8192:-16",
        "scale=-1:8192,scale=8192:-1",
        "scale=iw*128:ih*2",
        "scale=oh*128:ih",
        "scale=8192:4000:force_original_aspect_ratio=increase",
        "pad=iw*128:ih*2",
    ],
)
async def test_a_size_bomb_is_refused_before_a_picture_is_made(studio, clips, graph):
    """The picture is narrow and high; each of these would make 35 million pixels of it, or a side of more than 8192."""
    tower = clips.make("tower.mkv", "-f", "lavfi", "-i", "color=size=64x4096:rate=5:duration=0.4", "-c:v", "mpeg4")
    begun = time.monotonic()
    ended = await studio.run(raw("-i", "main", "-vf", graph, "o.mkv", outputs=["o.mkv"]), {"main": tower})
    assert isinstance(ended, Failed), ended
    assert (FailureKind.PERMANENT, "OPTION_INVALID") == (ended.failure.kind, ended.failure.reason)
    assert "Error when evaluating the expression 'if(" in ended.failure.message
    assert ended.usage.peak_memory_bytes < 200_000_000
    assert time.monotonic() - begun < 5


async def test_what_is_copied_from_between_key_frames_is_as_it_should_be(studio, clips):
    """Its first pictures look at others before it, which a decoder complains about; its source has no fault."""
    source = clips.make(
        "open.ts",
        *("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=2", "-c:v", "libx264", "-preset", "veryfast"),
        *("-x264-params", "open-gop=1:keyint=12:bframes=3", "-pix_fmt", "yuv420p"),
    )
    task = raw("-ss", "1", "-i", "main", "-c", "copy", "o.mp4", outputs=["o.mp4"])
    assert () == (await studio.succeed(task, {"main": source}, damagePolicy="DAMAGE_POLICY_FAIL")).warnings


async def test_a_leap_of_times_is_filled_to_an_end(studio, clips, tmp_path):
    """Two pictures 20,000 s apart in a film that says it lasts a second: the gap is filled for 80 s, then it is a failure."""
    leap = clips.make(
        "leap.mkv",
        *("-f", "lavfi", "-i", "color=size=16x16:rate=1:duration=2", "-vf", "setpts=N*20000/TB"),
        *("-fps_mode", "passthrough", "-c:v", "mjpeg"),
    )
    data = leap.read_bytes()
    at = data.index(b"\x44\x89\x88") + 3
    (tmp_path / "main.mkv").write_bytes(data[:at] + struct.pack(">d", 1000) + data[at + 8 :])
    args = ("-i", "main", "-vf", "fps=60", "-c:v", "mpeg4", "o.mkv")
    ended = await studio.run(raw(*args, outputs=["o.mkv"]), {"main": tmp_path / "main.mkv"})
    assert isinstance(ended, Failed), ended
    assert (FailureKind.PERMANENT, "INPUT_INVALID") == (ended.failure.kind, ended.failure.reason)
    assert "it goes on at 80.00 s, and says that it lasts 1.00 s" in ended.failure.message
    assert [] == studio.left()


@pytest.fixture
def subtitled(clips, tmp_path) -> Path:
    """A picture, a tone, subtitles, and a font that is no font."""
    (tmp_path / "words.srt").write_text("1\n00:00:00,000 --> 00:00:00,500\nhello\n")
    (tmp_path / "font.ttf").write_bytes(b"\0\1\0\0")
    made: Path = clips.make(
        "subtitled.mkv",
        *("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10:duration=1", "-f", "lavfi", "-i", "sine=duration=1"),
        *("-i", str(tmp_path / "words.srt"), "-map", "0", "-map", "1", "-map", "2", "-c:v", "mpeg4", "-c:a", "aac"),
        *("-c:s", "srt", "-attach", str(tmp_path / "font.ttf"), "-metadata:s:t:0", "mimetype=font/ttf"),
    )
    return made


async def test_all_that_is_mapped_is_there(studio, subtitled, tools):
    """All streams but attached files, whose names are metadata; subtitles by themselves; and as text."""
    args = (
        *("-i", "main", "-map", "0", "-c", "copy", "all.mkv", "-map", "0", "-map", "-0:a", "-c", "copy", "silent.mkv"),
        *("-map", "0:v", "-map", "0:s", "-c:v", "libx264", "-c:s", "mov_text", "words.mp4"),
        *("-map", "0:s", "words.mkv", "-map", "0:2", "words.vtt"),
    )
    wanted = {
        "all.mkv": ["mpeg4", "aac", "subrip"], "silent.mkv": ["mpeg4", "subrip"], "words.mp4": ["h264", "mov_text"],
        "words.mkv": ["ass"], "words.vtt": ["webvtt"],
    }  # fmt: skip
    await studio.succeed(raw(*args, outputs=list(wanted)), {"main": subtitled})
    found = {name: [each["codec_name"] for each in tools.streams(studio.output / name)] for name in wanted}
    assert wanted == found


async def test_what_a_container_does_not_take_is_refused_in_words_about_it(studio, subtitled):
    """MP4 takes subtitles of one kind, which has to be named: that the font was not understood is not the cause."""
    ended = await studio.run(raw("-i", "main", "-map", "0", "o.mp4", outputs=["o.mp4"]), {"main": subtitled})
    assert isinstance(ended, Failed), ended
    assert (FailureKind.PERMANENT, "OPTION_INVALID") == (ended.failure.kind, ended.failure.reason)
    assert "Please choose an encoder manually" in ended.failure.message


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


async def test_a_moving_webp_is_checked_by_any_ffmpeg(studio, clips):
    """FFmpeg before 8 makes one, and cannot read it."""
    ended = await studio.succeed(raw("-i", "main", "-t", "0.5", "o.webp", outputs=["o.webp"]), {"main": clips.film()})
    media = ended.artifacts[0].media
    assert media is not None
    assert (320, 180) == (media.video[0].width_px, media.video[0].height_px)
