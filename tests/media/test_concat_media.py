"""Several inputs one after the other on real FFmpeg: every picture and sample of each is there, in order, and nothing else."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from telecine.v1 import media_pb2
from telecine_worker.failure import FailureKind
from telecine_worker.ffmpeg.media_info import MediaInfo, VideoStream
from telecine_worker.outcome import Failed, Succeeded
from telecine_worker.tasks import concat
from telecine_worker.tasks.plan import filled

H264 = {"codec": "h264", "preset": "ultrafast", "crf": 10}


def task(path: str, *clips: str | tuple[str, dict[str, str]], **fields: Any) -> dict[str, Any]:
    """A ConcatTask: each clip an input's name, or that and its trim."""
    listed = [{"input": each} if isinstance(each, str) else {"input": each[0], "trim": each[1]} for each in clips]
    return {"concat": {"clips": listed, "path": path, **fields}}


def grey(clips: Any, name: str, luma: int, *, seconds: float = 1, rate: str = "25", size: str = "96x64", tone: int = 0):
    """A film of one grey, with a tone of *tone* Hz or silent without one."""
    picture = ("-f", "lavfi", "-i", f"color=black:s={size}:r={rate}:d={seconds},geq=lum={luma}:cb=128:cr=128")
    sound = ("-f", "lavfi", "-i", f"sine={tone}:r=48000:d={seconds}") if tone else ()
    coded = ("-c:v", "libx264", "-preset", "ultrafast", "-qp", "5", "-pix_fmt", "yuv420p", "-c:a", "aac", "-ac", "2")
    return clips.make(f"concat-{name}", *picture, *sound, *coded)


def lumas(tools: Any, path: Path) -> list[int]:
    """Of the middle of each picture."""
    command = [str(tools.toolchain.ffmpeg), "-v", "error", "-i", str(path)]
    command += ["-vf", "crop=2:2,scale=1:1,format=gray", "-fps_mode", "passthrough", "-f", "rawvideo", "-"]
    pixels = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    return [round(each * 219 / 255 + 16) for each in pixels]


def loud(tools: Any, path: Path, parts: int) -> list[bool]:
    """Whether there is sound in each of so many equal parts, edges aside."""
    command = [str(tools.toolchain.ffmpeg), "-v", "error", "-i", str(path), "-map", "0:a"]
    command += ["-ac", "1", "-f", "u8", "-"]
    samples = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    size = len(samples) // parts
    middles = [samples[size * part + size // 4 : size * part + size * 3 // 4] for part in range(parts)]
    return [max(middle) - min(middle) > 10 for middle in middles]


def around(wanted: list[int], found: list[int]) -> bool:
    """Within what encoding costs."""
    return len(wanted) == len(found) and all(abs(one - two) <= 3 for one, two in zip(wanted, found, strict=True))


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ts"])
async def test_clips_that_match_are_copied(studio, clips, tools, extension):
    """Every picture of each, in order; the sound follows, without a packet that overlaps another."""
    dark = grey(clips, "dark.mp4", 50, tone=440)
    light = grey(clips, "light.mp4", 200, seconds=0.6, tone=880)
    path = f"all.{extension}"
    ended = await studio.succeed(task(path, "a", "b", "a"), {"a": dark, "b": light})
    assert around([50] * 25 + [200] * 15 + [50] * 25, lumas(tools, studio.output / path))
    assert abs(ended.artifacts[0].media.duration.total_seconds() - 2.6) < 0.05
    command = [
        str(tools.toolchain.ffprobe),
        "-v",
        "error",
        "-select_streams",
        "a",
        "-show_entries",
        "packet=dts,duration",
    ]
    said = subprocess.run(
        [*command, "-of", "csv=p=0", str(studio.output / path)], capture_output=True, check=True, text=True
    ).stdout
    times = [int(line.split(",")[0]) for line in said.split() if "N/A" not in line]
    # The last packet of a clip may be short, and no two begin together, or go back.
    second = {"mp4": 48000, "mkv": 1000, "ts": 90000}[extension]
    assert min(two - one for one, two in itertools.pairwise(times)) >= 0.002 * second


async def test_clips_that_are_stored_turned_are_copied_so(studio, clips, tools):
    """Into a container that keeps it by every version."""
    film = grey(clips, "dark.mp4", 50, tone=440)
    is_old = tools.toolchain.ffmpeg_version.number < (6, 0)
    turn = (() if is_old else ("-display_rotation", "90"), ("-metadata:s:v:0", "rotate=90") if is_old else ())
    turned = clips.make("concat-turned.mp4", *turn[0], "-i", str(film), "-c", "copy", *turn[1])
    ended = await studio.succeed(task("all.mp4", "a", "a"), {"a": turned})
    media = ended.artifacts[0].media.video[0]
    assert (64, 96) == (media.width_px, media.height_px)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"size": "64x64"}, "coded_width_px of its video is 64 instead of 96"),
        ({}, "it has no sound"),
        ({"rate": "50", "tone": 440, "size": "128x64"}, "coded_width_px"),
    ],
)
async def test_clips_that_do_not_match_are_not_copied(studio, clips, other, words):
    """The refusal says what differs, and what would do."""
    one = grey(clips, "dark.mp4", 50, tone=440)
    two = grey(clips, f"other-{'-'.join(map(str, other.values()))}.mp4", 50, **other)
    ended = await studio.run(task("all.mp4", "a", "b"), {"a": one, "b": two})
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, "OPTION_INVALID") == (ended.failure.kind, ended.failure.reason)
    assert "clips[1] (input b) does not match clips[0] (input a): " in ended.failure.message
    assert words in ended.failure.message
    assert "with video or audio set, all would be encoded alike" in ended.failure.message
    assert [] == studio.left()


async def test_other_settings_of_the_encoder_are_seen(studio, clips, tools):
    """The same codec, size and rate are not enough: what a decoder has to know beforehand must be the same."""
    one = grey(clips, "dark.mp4", 50, tone=440)
    same = clips.make(
        "concat-dark-main.mp4", "-i", str(one), "-c:v", "libx264", "-profile:v", "high", "-bf", "2", "-c:a", "copy"
    )
    ended = await studio.run(task("all.mp4", "a", "b"), {"a": one, "b": same})
    assert isinstance(ended, Failed)
    assert "its video was encoded with other settings" in ended.failure.message


async def test_a_trim_is_not_copied(studio, clips):
    """It could only begin at a key frame."""
    one = grey(clips, "dark.mp4", 50, tone=440)
    ended = await studio.run(task("all.mp4", ("a", {"start": "0.5s"})), {"a": one})
    assert isinstance(ended, Failed)
    assert ("OPTION_INVALID", True) == (ended.failure.reason, "clips[0].trim" in ended.failure.message)


async def test_pictures_that_an_edit_list_hides_are_not_copied(studio, clips):
    """Cut between key frames, a film keeps those from the key frame on."""
    one = clips.make("concat-edited.mp4", "-ss", "0.52", "-i", str(grey(clips, "dark.mp4", 50, tone=440)), "-c", "copy")
    ended = await studio.run(task("all.mp4", "a", "a"), {"a": one})
    assert isinstance(ended, Failed)
    assert "clips[0] (input a) has 13 pictures that its edit list hides" in ended.failure.message
    assert "with video or audio set, all would be encoded alike" in ended.failure.message


@pytest.mark.parametrize("policy", ["DAMAGE_POLICY_FAIL", "DAMAGE_POLICY_WARN"])
async def test_a_damaged_clip_is_not_copied(studio, clips, tmp_path, policy):
    """The refusal names it, and what would do."""
    film = clips.film(seconds=2)
    content = bytearray(film.read_bytes())
    for at in range(len(content) // 3, len(content) // 3 + 400):
        content[at] ^= 0x5A
    (tmp_path / "flipped.mp4").write_bytes(content)
    inputs = {"a": film, "b": tmp_path / "flipped.mp4"}
    ended = await studio.run(task("all.mp4", "a", "b"), inputs, damage_policy=policy)
    assert isinstance(ended, Failed)
    assert "INPUT_DAMAGED" == ended.failure.reason
    assert "input b is damaged: " in ended.failure.message
    assert "with video or audio set, all would be encoded alike" in ended.failure.message


@pytest.mark.parametrize(
    ("path", "video", "audio"),
    [
        ("all.mp4", {"codec": "h264", "preset": "ultrafast", "crf": 10}, {"codec": "aac"}),
        ("all.mkv", {"codec": "h265", "preset": "ultrafast", "crf": 10}, {"codec": "flac"}),
        ("all.webm", {"codec": "vp9", "preset": "8", "bitrateBps": "600000", "twoPass": True}, {"codec": "opus"}),
        (
            "all.mov",
            {"codec": "h264", "preset": "ultrafast", "bitrateBps": "400000", "twoPass": True},
            {"codec": "pcm_s16le"},
        ),
        ("all.ts", {"codec": "h264", "preset": "ultrafast", "crf": 10}, {"codec": "ac3"}),
        ("all.mp4", {"codec": "av1", "preset": "13", "crf": 20}, {"codec": "aac"}),
    ],
)
async def test_clips_of_all_kinds_are_encoded_alike(studio, clips, tools, path, video, audio):
    """Other size, rate, shape, without sound, trimmed: at the rate and in the size of the first one, each as long as it is."""
    sources = {
        "a": grey(clips, "dark.mp4", 50, tone=440),
        "b": grey(clips, "mute.mp4", 200, rate="30000/1001", size="64x96"),
        "c": clips.make("concat-thin.mkv", "-i", str(grey(clips, "mid.mp4", 120, rate="10", tone=880)), "-c", "copy"),
    }
    wanted = task(path, "a", "b", ("c", {"start": "0.2s", "end": "0.8s"}), "a", video=video, audio=audio)
    ended = await studio.succeed(wanted, sources)
    assert around([50] * 25 + [200] * 25 + [120] * 15 + [50] * 25, lumas(tools, studio.output / path))
    media = ended.artifacts[0].media
    assert (96, 64) == (media.video[0].width_px, media.video[0].height_px)
    assert abs(media.duration.total_seconds() - 3.6) < 0.15
    found = loud(tools, studio.output / path, 18)
    assert [True] * 4 + [False] * 4 == found[:4] + found[6:10]
    assert all(found[11:13] + found[14:17])
    assert [path] == studio.left()


async def test_one_colour_looks_the_same_in_all_clips(studio, clips, tools):
    """RGB of high and YUV of standard definition, by the matrix of the first, which the result says; in a preview, too."""
    green = "color=0x20C040:size={}:rate=5:duration=0.4,format={}"
    large = clips.make("large.mkv", "-f", "lavfi", "-i", green.format("320x720", "gbrp"), "-c:v", "ffv1")
    small = clips.make("small.mkv", "-f", "lavfi", "-i", green.format("320x180", "yuv420p"), "-c:v", "ffv1")
    await studio.succeed(task("o.mp4", "a", "b", video={**H264, "crf": 4}), {"a": large, "b": small})
    await studio.succeed({"preview": {"input": "a", "path": "p.mp4"}}, {"a": large})
    for name in ("o.mp4", "p.mp4"):
        command = [str(tools.toolchain.ffmpeg), "-v", "error", "-i", str(studio.output / name), "-vf", "crop=2:2"]
        stored = subprocess.run([*command, "-f", "rawvideo", "-"], capture_output=True, check=True, timeout=30).stdout
        # Of six bytes the first four are luma.
        assert {True} == {abs(luma - 144) <= 2 for luma in stored[::6]}
        assert "bt709" == tools.video(studio.output / name)["color_space"]


async def test_many_clips_are_done_a_few_at_a_time(studio, clips, tools):
    """Nineteen of two inputs, three runs: pictures and samples as if it were one; made as loud as asked for."""
    sources = {
        "a": grey(clips, "dark.mp4", 50, tone=440),
        "b": grey(clips, "mute.mp4", 200, rate="30000/1001", size="64x96"),
    }
    listed = [(name, {"start": "0.4s", "end": "0.6s"}) for name in "ab" * 9 + "a"]
    audio = {"codec": "flac", "loudness": {"integratedLufs": -20}}
    rate = {"numerator": 30000, "denominator": 1001}
    wanted = task("many.mkv", *listed, video={**H264, "frameRate": rate}, audio=audio)
    ended = await studio.succeed(wanted, sources)
    assert around(([50] * 6 + [200] * 6) * 9 + [50] * 6, lumas(tools, studio.output / "many.mkv"))
    assert abs(ended.artifacts[0].media.duration.total_seconds() - 19 * 6 * 1.001 / 30) < 0.02
    command = [str(tools.toolchain.ffmpeg), "-v", "error", "-i", str(studio.output / "many.mkv"), "-f", "s16le", "-"]
    samples = len(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout) // 4
    # loudnorm works at 192 kHz.
    assert abs(samples - 19 * 6 * 1.001 / 30 * 48000) <= 48


async def test_sound_alone_and_pictures_alone(studio, clips, tools):
    """As the task asks; what has no sound is silent for as long as it is."""
    sources = {
        "a": grey(clips, "dark.mp4", 50, tone=440),
        "b": grey(clips, "mute.mp4", 200, rate="30000/1001", size="64x96"),
    }
    ended = await studio.succeed(task("s.m4a", "a", "b", audio={"codec": "aac"}), sources)
    assert ("audio/mp4", True) == (ended.artifacts[0].media_type, not ended.artifacts[0].media.video)
    assert [True, False] == loud(tools, studio.output / "s.m4a", 2)
    ended = await studio.succeed(task("p.mp4", "a", "b", video=H264), sources)
    assert not ended.artifacts[0].media.audio
    assert 50 == len(lumas(tools, studio.output / "p.mp4"))


async def test_sound_that_ends_early_is_followed_by_silence(studio, clips, tools):
    """Of one clip alone as well as between two: each has as many samples as its pictures take."""
    film = clips.make(
        "concat-dark-early.mkv",
        "-i",
        str(grey(clips, "dark.mp4", 50, tone=440)),
        "-af",
        "atrim=end=0.4",
        "-c:v",
        "copy",
    )
    for names in ("a", "aa"):
        await studio.succeed(task("e.mkv", *names, video=H264, audio={"codec": "flac"}), {"a": film})
        command = [str(tools.toolchain.ffmpeg), "-v", "error", "-i", str(studio.output / "e.mkv"), "-f", "s16le", "-"]
        samples = len(subprocess.run(command, capture_output=True, check=True, timeout=30).stdout) // 4
        assert len(names) * 48000 == samples
        assert [True, False] * len(names) == loud(tools, studio.output / "e.mkv", 2 * len(names))


async def test_shapes_are_kept_and_bars_are_black(studio, clips, tools):
    """A film on its side between bars, in the size asked for; rotation and wide pixels are seen as they are shown."""
    wide = grey(clips, "bright.mp4", 200)
    tall = clips.make(
        "concat-anamorphic.mkv", "-i", str(grey(clips, "tall.mp4", 200, size="64x96")), "-c", "copy", "-aspect", "1:2"
    )
    ended = await studio.succeed(
        task("all.mp4", "a", "b", video={**H264, "widthPx": 96, "heightPx": 48}), {"a": wide, "b": tall}
    )
    media = ended.artifacts[0].media.video[0]
    assert (96, 48) == (media.width_px, media.height_px)
    command = [str(tools.toolchain.ffmpeg), "-v", "error", "-i", str(studio.output / "all.mp4")]
    command += ["-vf", "format=gray,crop=96:1:0:24", "-fps_mode", "passthrough", "-f", "rawvideo", "-"]
    rows = subprocess.run(command, capture_output=True, check=True, timeout=30).stdout
    widths = [sum(1 for each in rows[at : at + 96] if each > 100) for at in range(0, len(rows), 96)]
    assert {72} == {round(each / 4) * 4 for each in widths[:25]}
    assert {24} == {round(each / 4) * 4 for each in widths[25:]}


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile {}\n", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"]
)
async def test_a_list_in_the_place_of_a_clip_is_refused(studio, clips, tmp_path, text):
    """Whatever it calls itself, and although the clips are read through a list: it is none of the formats that clips have."""
    film = grey(clips, "dark.mp4", 50, tone=440)
    (tmp_path / "list.mp4").write_text(text.format(film))
    for fields in ({}, {"video": H264}):
        ended = await studio.run(task("all.mp4", "a", "b", **fields), {"a": film, "b": tmp_path / "list.mp4"})
        assert isinstance(ended, Failed)
        assert FailureKind.PERMANENT == ended.failure.kind
        assert ended.failure.reason in ("INPUT_NOT_ALLOWED", "INPUT_INVALID")
        assert [] == studio.left()


@pytest.mark.parametrize(
    ("wanted", "reason", "words"),
    [
        (task("a.mp4", "a", video={"codec": "copy"}), "OPTION_INVALID", "leave out video and audio"),
        (task("a.webm", "a", video=H264), "CODEC_NOT_IN_CONTAINER", "webm"),
        (task("a.mp4", "a", ("a", {"start": "5s"}), video=H264), "TRIM_OUT_OF_RANGE", "clips[1]: trim.start"),
        (task("a.avi", "a"), "UNSUPPORTED_CONTAINER", "mp4"),
        (task("a.webm", "a"), "CODEC_NOT_IN_CONTAINER", "h264"),
    ],
)
async def test_what_cannot_be_is_refused_in_words(studio, clips, wanted, reason, words):
    """For good, with what would be right; nothing is left."""
    ended = await studio.run(wanted, {"a": grey(clips, "dark.mp4", 50, tone=440)})
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, reason) == (ended.failure.kind, ended.failure.reason)
    assert words in ended.failure.message
    assert [] == studio.left()


async def test_clips_without_pictures_are_refused_where_there_are_to_be_some(studio, clips):
    """Named by number and input."""
    sound = clips.make("concat-only-sound.m4a", "-f", "lavfi", "-i", "sine=440:d=1", "-c:a", "aac")
    film = grey(clips, "dark.mp4", 50, tone=440)
    ended = await studio.run(task("a.mp4", "a", "b", video=H264), {"a": film, "b": sound})
    assert isinstance(ended, Failed)
    assert ("INPUT_MISSING_STREAM", True) == (ended.failure.reason, "clips[1] (input b)" in ended.failure.message)


@pytest.mark.parametrize(
    "text", ["ffconcat version 1.0\nfile {}\n", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{}\n#EXT-X-ENDLIST\n"]
)
def test_a_file_that_became_a_list_is_not_followed(tools, clips, tmp_path, text):
    """What is in a list of ours is held to the formats of inputs by FFmpeg itself, whatever it was when it was probed: a film
    that lies beside it is not read.
    """
    film = grey(clips, "dark.mp4", 50, tone=440)
    shutil.copy(film, tmp_path / "beside.mp4")
    (tmp_path / "became.mp4").write_text(text.format("beside.mp4"))
    video = VideoStream(index=0, codec="h264", width_px=96, height_px=64, coded_width_px=96, coded_height_px=64)
    info = MediaInfo(format="mov,mp4,m4a,3gp,3g2,mj2", size_bytes=1, duration=timedelta(seconds=1), video=(video,))
    wanted = json_format.ParseDict(task("all.mp4", "a", "b")["concat"], media_pb2.ConcatTask())
    plan = concat.plan(wanted, {"a": info, "b": info}, frozenset())
    urls = {"a": f"file:{film}", "b": f"file:{tmp_path / 'became.mp4'}"}
    (script,) = plan.scripts
    lines = ["".join(filled(each, urls, {}) for each in line) for line in script.lines]
    (tmp_path / script.file_name).write_text("\n".join(lines))
    command = [str(tools.toolchain.ffmpeg), "-nostdin", *plan.steps[0].filled(urls, {})]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=30, check=False)
    assert ran.returncode != 0
    assert f"Impossible to open 'file:{tmp_path / 'became.mp4'}'" in ran.stderr


@pytest.mark.parametrize(
    ("extension", "fields"),
    [("mp4", {}), ("ts", {}), ("mkv", {}), ("mp4", {"video": H264}), ("ts", {"video": H264})],
)
async def test_a_clip_that_ends_early_never_passes(studio, clips, tmp_path, extension, fields):
    """Half of a file says it is whole: it is no part of a result. To be encoded, it is where all damage is to be a warning."""
    film = clips.make(
        f"concat-whole.{extension}", "-i", str(clips.film(seconds=4)), "-c", "copy", "-movflags", "+faststart"
    )
    cut = tmp_path / f"cut.{extension}"
    cut.write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    # MPEG-TS does not say how long it is, and whoever records it stops anywhere: that is damage like any other.
    tolerant = {"DAMAGE_POLICY_WARN", *(["DAMAGE_POLICY_UNSPECIFIED"] if extension == "ts" else [])}
    for policy in ("DAMAGE_POLICY_FAIL", "DAMAGE_POLICY_UNSPECIFIED", "DAMAGE_POLICY_WARN"):
        wanted = task(f"all.{extension}", "a", "b", **fields)
        ended = await studio.run(wanted, {"a": film, "b": cut}, damage_policy=policy)
        if fields and policy in tolerant:
            assert isinstance(ended, Succeeded), ended
            assert "b" in {warning.input_name for warning in ended.warnings}
            continue
        assert isinstance(ended, Failed), ended
        assert ended.failure.reason in ("INPUT_TRUNCATED", "INPUT_DAMAGED", "VERIFICATION_FAILED")
        assert [] == studio.left()
