"""Sources of every shape, made by lavfi, each transcoded as most films are, and judged by probing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

PICTURES = "testsrc2=size=160x90:rate=25:duration=1"
TONE = "sine=frequency=440:sample_rate=48000:duration=1"
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
VIDEO = {"codec": "h264", "preset": "ultrafast"}
AUDIO = {"codec": "aac"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """How FFmpeg makes it, *extension* last; and what must come out: *picture* is width, height and frames, None for no video;
    *sound* is channels and rate. *task* has further fields of the task.
    """

    name: str
    arguments: tuple[str, ...]
    picture: tuple[int, int, int] | None
    sound: tuple[int, int] | None = (1, 48000)
    extension: str = "mkv"
    language: str = ""
    task: tuple[tuple[str, Any], ...] = ()


def lavfi(*graphs: str) -> tuple[str, ...]:
    """Inputs."""
    return tuple(word for graph in graphs for word in ("-f", "lavfi", "-i", graph))


SIX = "aevalsrc='0.1*sin(440*t)|0.1*sin(550*t)|0|0|0|0':c={}:s=48000:d=1"
SOURCES = (
    Source(name="29.97", arguments=(*lavfi(PICTURES.replace("25", "30000/1001"), TONE), *X264), picture=(160, 90, 30)),
    Source(
        name="variable",
        arguments=(*lavfi(PICTURES.replace("duration=1", "duration=3"), TONE), "-vf", "select='lt(mod(n,9),5)'", "-fps_mode",
                   "vfr", *X264),
        picture=(160, 90, 43), extension="mp4",
    ),
    Source(
        name="variable-made-constant",
        arguments=(*lavfi(PICTURES.replace("duration=1", "duration=3")), "-vf", "select='lt(mod(n,9),5)'", "-fps_mode", "vfr",
                   *X264),
        picture=(160, 90, 29), sound=None, extension="mp4",
        task=(("video", {**VIDEO, "frameRate": {"numerator": 10, "denominator": 1}}),),
    ),
    Source(
        name="odd", arguments=(*lavfi(PICTURES.replace("160x90", "161x91"), TONE), "-c:v", "ffv1", "-pix_fmt", "yuv444p"),
        picture=(160, 90, 25),
    ),
    Source(
        name="anamorphic", arguments=(*lavfi(PICTURES.replace("160x90", "144x96") + ",setsar=64/45", TONE), *X264),
        picture=(204, 96, 25),
    ),
    Source(
        name="interlaced",
        arguments=(*lavfi("testsrc2=size=160x96:rate=50:duration=1,interlace", TONE), *X264, "-flags", "+ildct+ilme"),
        picture=(160, 96, 25), task=(("filters", {"deinterlace": True}),),
    ),
    Source(
        name="long-gop", arguments=(*lavfi(PICTURES, TONE), *X264, "-g", "1000"), picture=(160, 90, 15),
        task=(("trim", {"start": "0.4s"}),),
    ),
    Source(
        name="open-gop",
        arguments=(*lavfi(PICTURES.replace("duration=1", "duration=2"), TONE), "-c:v", "libx264", "-pix_fmt", "yuv420p",
                   "-x264-params", "open-gop=1:keyint=12:bframes=3"),
        picture=(160, 90, 20), extension="mp4", task=(("trim", {"start": "0.6s", "end": "1.4s"}),),
    ),
    Source(name="silent", arguments=(*lavfi(PICTURES), *X264), picture=(160, 90, 25), sound=None),
    Source(name="sound-only", arguments=lavfi(TONE), picture=None, extension="m4a"),
    Source(
        name="cover", picture=None, extension="mp3",
        arguments=(*lavfi(TONE, "color=red:size=64x64"), "-frames:v", "1", "-c:v", "mjpeg", "-c:a", "libmp3lame",
                   "-disposition:v", "attached_pic"),
    ),
    Source(
        name="two-sounds", language="deu",
        arguments=(*lavfi(PICTURES, TONE, TONE), "-map", "0", "-map", "1", "-map", "2", *X264,
                   "-metadata:s:a:0", "language=deu", "-metadata:s:a:1", "language=eng"),
        picture=(160, 90, 25),
    ),
    Source(name="six-channels", arguments=(*lavfi(PICTURES, SIX.format("5.1")), *X264, "-c:a", "ac3"), picture=(160, 90, 25),
           sound=(6, 48000)),
    Source(name="six-at-the-side", arguments=(*lavfi(PICTURES, SIX.format("5.1(side)")), *X264, "-c:a", "flac"),
           picture=(160, 90, 25), sound=(6, 48000)),
    Source(
        name="six-made-two", arguments=(*lavfi(PICTURES, SIX.format("5.1")), *X264, "-c:a", "flac"), picture=(160, 90, 25),
        sound=(2, 44100), task=(("audio", {**AUDIO, "channelCount": 2, "sampleRateHz": 44100}),),
    ),
    Source(
        name="begins-late", arguments=(*lavfi(PICTURES, TONE), *X264, "-output_ts_offset", "10"), picture=(160, 90, 25),
        extension="ts",
    ),
    Source(
        name="full-range", arguments=(*lavfi(PICTURES, TONE), "-c:v", "mjpeg", "-pix_fmt", "yuvj420p"), picture=(160, 90, 25),
        extension="mov",
    ),
    Source(name="rgb-with-alpha", arguments=(*lavfi(PICTURES + ",format=rgba"), "-c:v", "png"), picture=(160, 90, 25),
           sound=None, extension="mov"),
    Source(name="gray", arguments=(*lavfi(PICTURES + ",format=gray"), "-c:v", "ffv1"), picture=(160, 90, 25), sound=None),
    Source(
        name="sound-is-longer", arguments=(*lavfi(PICTURES, TONE.replace("duration=1", "duration=3")), *X264),
        picture=(160, 90, 25), task=(("audio", None),), sound=None,
    ),
    Source(
        name="sound-goes-on", arguments=(*lavfi(PICTURES, TONE.replace("duration=1", "duration=3")), *X264),
        picture=(160, 90, 25),
    ),
)  # fmt: skip


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
async def test_a_source_of_any_shape(studio, clips, tools, source):
    """Every picture once, upright and square, at its size; the sound with its channels; as long as it was, without warnings."""
    made_from = clips.make(f"of-{source.name}.{source.extension}", *source.arguments)
    fields = {"video": VIDEO if source.picture else None, "audio": AUDIO, **dict(source.task)}
    task = {"input": "main", "path": "o.mp4", **{name: value for name, value in fields.items() if value is not None}}
    ended = await studio.succeed({"transcode": task}, {"main": made_from})
    assert () == ended.warnings
    streams = tools.streams(studio.output / "o.mp4")
    assert [source.picture is not None, source.sound is not None] == [
        any(stream["codec_type"] == kind for stream in streams) for kind in ("video", "audio")
    ]
    if source.picture is not None:
        check_picture(tools.video(studio.output / "o.mp4"), source)
    if source.sound is not None:
        sound = tools.audio(studio.output / "o.mp4")
        assert source.sound == (sound["channels"], int(sound["sample_rate"]))
        assert (source.language or "und") == sound.get("tags", {}).get("language", "und")
        assert source.sound[0] != 6 or "5.1" == sound["channel_layout"]


def check_picture(video: dict[str, Any], source: Source) -> None:
    """What every transcode has to be."""
    assert source.picture is not None
    wide, high, frames = source.picture
    assert (wide, high, "yuv420p") == (video["width"], video["height"], video["pix_fmt"])
    assert abs(frames - int(video["nb_read_packets"])) <= (1 if source.name.startswith("variable-made") else 0)
    assert video.get("sample_aspect_ratio", "1:1") in ("1:1", "N/A")
    assert [] == [each for each in video.get("side_data_list", []) if "rotation" in each]
    assert video.get("color_range", "tv") == "tv"


async def test_copies_of_the_container_say_nothing_of_the_file(studio, clips, tools):
    """Titles and chapters of a source do not get into what is made of it."""
    film = clips.make(
        "titled.mkv", *lavfi(PICTURES), *X264, "-metadata", "title=secret", "-metadata:s:v:0", "title=secret"
    )
    await studio.succeed({"transcode": {"input": "main", "path": "o.mp4", "video": VIDEO}}, {"main": film})
    made: Path = studio.output / "o.mp4"
    assert b"secret" not in made.read_bytes()
    assert tools.video(made)["nb_read_packets"] == "25"
