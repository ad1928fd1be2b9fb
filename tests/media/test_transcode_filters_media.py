"""What is done to the pictures of a transcode, judged by the pixels of the result."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from support.picture_probe import mean_color
from telecine_worker.failure import FailureKind
from telecine_worker.outcome import Failed

VIDEO = {"codec": "h264", "preset": "ultrafast", "crf": 8}
BLOCKS = "\u2588" * 12
SUBTITLES = f"1\n00:00:00,500 --> 00:00:01,500\n{BLOCKS}\n"
VTT = f"WEBVTT\n\n00:00.500 --> 00:01.500\n{BLOCKS}\n"


def transcode(**fields: Any) -> dict[str, Any]:
    """A transcode of the input "main" to o.mp4."""
    return {"transcode": {"input": "main", "path": "o.mp4", "video": VIDEO, **fields}}


def gray(clips: Any, *, seconds: int = 2) -> Path:
    """Gray pictures of 320x180, ten a second."""
    source = f"color=gray:size=320x180:rate=10:duration={seconds}"
    path: Path = clips.make(
        f"gray-{seconds}.mp4", "-f", "lavfi", "-i", source, "-c:v", "libx264", "-pix_fmt", "yuv420p"
    )
    return path


def image(clips: Any, extension: str) -> Path:
    """64x32, red, transparent on the right where the format can be."""
    keep = {"jpg": (), "png": ("-pix_fmt", "rgba"), "webp": ("-c:v", "libwebp", "-pix_fmt", "yuva420p")}[extension]
    graph = "color=red:size=64x32,format=rgba,geq=r=255:g=0:b=0:a='255*lt(X,32)'"
    path: Path = clips.make(f"mark.{extension}", "-f", "lavfi", "-i", graph, "-frames:v", "1", *keep)
    return path


def near(expected: tuple[int, int, int], actual: tuple[int, int, int], by: int = 12) -> bool:
    """Whether two colours look alike."""
    return all(abs(one - other) <= by for one, other in zip(expected, actual, strict=True))


async def test_interlaced_sources_become_whole_pictures(studio, clips, tools):
    """Fields of 50 moments become 25 pictures that are closer to those of the source than the combed ones are, and are no
    fields any more, where the source says what it is; where only its pictures do (Matroska without a word), if asked.
    Anamorphic pixels become square.
    """
    moving = "testsrc2=size=144x96:rate=50:duration=1,gblur=sigma=3,scroll=horizontal=0.03"
    fields = f"{moving},interlace=scan=tff:lowpass=0,setsar=64/45"
    coded = ("-c:v", "libx264", "-qp", "4", "-x264-params", "tff=1", "-pix_fmt", "yuv420p")
    # FFmpeg 5 else says that the other field is the first.
    first = () if tools.toolchain.ffmpeg_version.number >= (6, 0) else ("-top", "1")
    film = clips.make("fields.mp4", "-f", "lavfi", "-i", fields, *coded, *first)
    silent = clips.make("fields.mkv", "-i", str(film), "-c", "copy", "-field_order", "progressive")
    progressive = clips.make(
        "whole.mkv", "-f", "lavfi", "-i", moving, "-vf", "select='not(mod(n,2))'", "-r", "25", "-c:v", "ffv1"
    )
    combed = tools.ssim(film, progressive, "null")
    for source, filters in ((film, {}), (silent, {"deinterlace": True})):
        ended = await studio.succeed(transcode(filters=filters), {"main": source})
        made = ended.artifacts[0].media.video[0]
        packets = tools.video(studio.output / "o.mp4")["nb_read_packets"]
        assert (204, 96, "25", False) == (made.width_px, made.height_px, packets, made.is_interlaced)
        scaled = "scale=204:96:flags=bicubic"
        assert tools.ssim(studio.output / "o.mp4", progressive, scaled) > combed + 0.02


async def test_a_crop_is_of_the_picture_as_shown(studio, clips, tools):
    """Of a film that is stored lying and anamorphic: the rectangle is where a viewer sees it, to the pixel."""
    # Shown 180x320 after turning; at the top green, below blue, and a red square at 20,40.
    upright = "color=blue:size=180x320:rate=10:duration=1,drawbox=0:0:180:100:green:fill,drawbox=20:40:32:24:red:fill"
    drawn = upright.replace(":fill", ":t=fill")
    lying = clips.make(
        "lying.mkv",
        "-f",
        "lavfi",
        "-i",
        f"{drawn},transpose=clock",
        "-c:v",
        "libx264",
        "-qp",
        "4",
        "-pix_fmt",
        "yuv420p",
    )
    flag = ("-display_rotation", "90") if tools.toolchain.ffmpeg_version.number >= (6, 0) else ()
    tag = () if flag else ("-metadata:s:v:0", "rotate=90")
    film = clips.make("turned-box.mp4", *flag, "-i", str(lying), "-c", "copy", *tag)
    crop = {"leftPx": 20, "topPx": 40, "widthPx": 32, "heightPx": 24}
    await studio.succeed(transcode(filters={"crop": crop}), {"main": film})
    video = tools.video(studio.output / "o.mp4")
    assert (32, 24, "10") == (video["width"], video["height"], video["nb_read_packets"])
    for corner in ((1, 1, 2, 2), (29, 21, 2, 2), (14, 10, 4, 4)):
        assert near((254, 0, 0), mean_color(tools.toolchain, studio.output / "o.mp4", frame=3, rectangle=corner), 24)


@pytest.mark.parametrize("extension", ["png", "webp", "jpg"])
async def test_a_watermark_is_where_and_how_it_was_asked_for(studio, clips, tools, extension):
    """Its middle at 3/4 and 1/4, a quarter as wide as the frame, half transparent, on every picture; what is transparent in the
    image stays so.
    """
    mark = {"input": "logo", "x": 0.75, "y": 0.25, "width": 0.25, "opacity": 0.5}
    await studio.succeed(transcode(filters={"watermark": mark}), {"main": gray(clips), "logo": image(clips, extension)})
    made = studio.output / "o.mp4"
    assert "20" == tools.video(made)["nb_read_packets"]
    for frame in (0, 19):
        # The image has 80x40 px, from 200,25 to 280,65.
        left = mean_color(tools.toolchain, made, frame=frame, rectangle=(204, 29, 30, 30))
        right = mean_color(tools.toolchain, made, frame=frame, rectangle=(246, 29, 30, 30))
        beside = mean_color(tools.toolchain, made, frame=frame, rectangle=(284, 25, 20, 40))
        assert near((191, 64, 64), left), left
        assert near((191, 64, 64) if extension == "jpg" else (128, 128, 128), right), right
        assert near((128, 128, 128), beside), beside


async def test_a_watermark_keeps_its_size_and_stands_in_the_middle(studio, clips, tools):
    """Where nothing is said; of the frame as it is encoded, so that it is as sharp as it can be. Ten bits stay ten."""
    video = {"codec": "h265", "preset": "ultrafast", "crf": 8, "widthPx": 160, "pixelFormat": "yuv420p10le"}
    inputs = {"main": gray(clips), "logo": image(clips, "png")}
    ended = await studio.succeed(transcode(video=video, filters={"watermark": {"input": "logo"}}), inputs)
    assert "yuv420p10le" == ended.artifacts[0].media.video[0].pixel_format
    made = studio.output / "o.mp4"
    assert near((254, 0, 0), mean_color(tools.toolchain, made, frame=5, rectangle=(50, 31, 28, 28)))
    assert near((128, 128, 128), mean_color(tools.toolchain, made, frame=5, rectangle=(40, 31, 6, 28)))
    assert near((128, 128, 128), mean_color(tools.toolchain, made, frame=5, rectangle=(84, 31, 20, 28)))


@pytest.mark.parametrize("size", [{"width": 0.25}, {}])
async def test_a_watermark_that_says_it_lies_is_turned_and_not_squeezed(studio, clips, tmp_path, tools, size):
    """A JPEG whose EXIF turns it clockwise, as cameras write it: stored blue on the left and red on the right."""
    drawn = "color=red:size=64x32,drawbox=0:0:32:32:blue:t=fill"
    stored = clips.make("stored.jpg", "-f", "lavfi", "-i", drawn, "-frames:v", "1").read_bytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">HHHIHH4x", 1, 0x112, 3, 1, 6, 0)
    lying = tmp_path / "lying.jpg"
    lying.write_bytes(stored[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + stored[2:])
    inputs = {"main": gray(clips), "logo": lying}
    await studio.succeed(transcode(filters={"watermark": {"input": "logo", **size}}), inputs)
    wide = 80 if size else 32
    for upper, color in ((True, (0, 0, 254)), (False, (254, 0, 0))):
        place = (160 - wide // 2 + 4, 90 - wide + 4 if upper else 94, wide - 8, wide - 8)
        assert near(color, mean_color(tools.toolchain, studio.output / "o.mp4", frame=3, rectangle=place), 16)


@pytest.mark.parametrize(("name", "text"), [("words.srt", SUBTITLES), ("words.vtt", VTT), ("words.ass", "")])
async def test_subtitles_are_burnt_in_while_they_are_due(studio, clips, tools, tmp_path, name, text):
    """White blocks from 0.5 s to 1.5 s of the source, before and after it none; and so, too, where the start is cut off."""
    words = tmp_path / name
    if text:
        words.write_text(text)
    else:
        (tmp_path / "words.srt").write_text(SUBTITLES)
        tools.ffmpeg("-i", str(tmp_path / "words.srt"), str(words))
    inputs = {"main": gray(clips), "words": words}
    for trim, due in ({}, range(5, 15)), ({"start": "0.3s"}, range(2, 12)):
        await studio.succeed(transcode(filters={"burnSubtitles": "words"}, trim=trim), inputs)
        made = studio.output / "o.mp4"
        assert str(20 if not trim else 17) == tools.video(made)["nb_read_packets"]
        shown = [is_bright(tools, made, frame) for frame in (due[0] - 1, due[0], due[-1], due[-1] + 1)]
        assert [False, True, True, False] == shown
    assert ["o.mp4"] == studio.left()


def is_bright(tools: Any, path: Path, frame: int) -> bool:
    """Whether there is text at the bottom of the gray picture."""
    return min(mean_color(tools.toolchain, path, frame=frame, rectangle=(130, 165, 60, 4))) > 180


async def test_all_filters_at_once_in_two_passes_with_loudness(studio, clips, tools, tmp_path):
    """Crop, watermark, subtitles, a new rate, two passes and loudness in one task."""
    words = tmp_path / "words.srt"
    words.write_text(SUBTITLES)
    task = transcode(
        video={"codec": "h264", "bitrateBps": 400000, "twoPass": True, "heightPx": 90, "preset": "ultrafast",
               "frameRate": {"numerator": 15, "denominator": 1}},
        audio={"codec": "aac", "loudness": {"integratedLufs": -20}},
        filters={
            "deinterlace": True, "crop": {"leftPx": 40, "topPx": 20, "widthPx": 240, "heightPx": 140},
            "watermark": {"input": "logo", "x": 0.5, "y": 0.5, "width": 0.25}, "burnSubtitles": "words",
        },
    )  # fmt: skip
    ended = await studio.succeed(task, {"main": clips.film(), "logo": image(clips, "png"), "words": words})
    video = tools.video(studio.output / "o.mp4")
    assert (154, 90, "30") == (video["width"], video["height"], video["nb_read_packets"])
    # Left of the middle, where the image is not transparent.
    assert near(
        (254, 0, 0), mean_color(tools.toolchain, studio.output / "o.mp4", frame=20, rectangle=(60, 38, 14, 14)), 30
    )
    assert -20 == ended.measurements["loudness.target_integrated_lufs"]
    assert ["o.mp4"] == studio.left()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("playlist.srt", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n", ""),
        ("script.ass", b"ffconcat version 1.0\nfile /etc/passwd\n", ""),
        ("latin.srt", SUBTITLES.replace(BLOCKS, "Gr\xfc\xdfe").encode("latin-1"), "INPUT"),
        ("film.srt", None, "OPTION_INVALID"),
        ("large.srt", SUBTITLES.encode() + b"\n" * 10_000_001, "INPUT_OVER_LIMIT"),
    ],
)
async def test_what_is_no_subtitles_is_never_opened_by_the_filter(studio, clips, tmp_path, name, content, reason):
    """A playlist or a script that calls itself subtitles is refused, and so are a film, too much, and what is not UTF-8."""
    words = tmp_path / name
    words.write_bytes(clips.film().read_bytes() if content is None else content)
    ended = await studio.run(transcode(filters={"burnSubtitles": "words"}), {"main": gray(clips), "words": words})
    assert isinstance(ended, Failed)
    assert FailureKind.PERMANENT is ended.failure.kind
    assert ended.failure.reason.startswith(reason or "INPUT_")
    assert "root:" not in ended.failure.message + ended.failure.log_tail
    assert [] == studio.left()
