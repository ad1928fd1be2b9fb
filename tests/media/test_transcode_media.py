"""Transcodes on real FFmpeg, judged by probing and by comparing pictures, not by exit codes."""

from __future__ import annotations

from typing import Any

import pytest


def transcode(path: str, **fields: Any) -> dict[str, Any]:
    """A transcode of the input "main"."""
    return {"transcode": {"input": "main", "path": path, **fields}}


async def test_h264_keeps_every_frame_and_looks_like_its_source(studio, clips, tools):
    """All 60 frames of the source are there, halved in size, with an SSIM of at least 0.95; nothing else is left."""
    film = clips.film()
    ended = await studio.succeed(
        transcode("a/small.mp4", video={"codec": "h264", "heightPx": 90}, audio={"codec": "aac"}), {"main": film}
    )
    result = studio.output / "a/small.mp4"
    video = tools.video(result)
    assert ("h264", 160, 90, "60") == (video["codec_name"], video["width"], video["height"], video["nb_read_packets"])
    assert tools.ssim(result, film, "scale=160:90:flags=bicubic") >= 0.95
    assert ["a", "a/small.mp4"] == studio.left()
    artifact = ended.artifacts[0]
    assert (artifact.path, artifact.uri, artifact.size_bytes) == ("a/small.mp4", result.as_uri(), result.stat().st_size)
    fractions = [s.fraction for s in studio.snapshots if s.fraction is not None]
    assert fractions == sorted(fractions)
    assert 1.0 == fractions[-1]
    assert ended.usage.cpu.total_seconds() > 0


@pytest.mark.parametrize(
    ("codec", "name", "preset", "extension"),
    [("h265", "hevc", "ultrafast", "mp4"), ("vp9", "vp9", "8", "webm"), ("av1", "av1", "12", "mkv")],
)
async def test_every_codec_keeps_every_frame(studio, clips, tools, codec, name, preset, extension):
    """60 frames in, 60 frames out, and the pictures are those of the source."""
    film = clips.film(size="160x90")
    await studio.succeed(
        transcode(f"o.{extension}", video={"codec": codec, "preset": preset, "crf": 24}), {"main": film}
    )
    video = tools.video(studio.output / f"o.{extension}")
    assert (name, "60") == (video["codec_name"], video["nb_read_packets"])
    assert tools.ssim(studio.output / f"o.{extension}", film) >= 0.93


@pytest.mark.parametrize(
    ("codec", "name", "extension", "fields"),
    [
        ("aac", "aac", "m4a", {}),
        ("opus", "opus", "opus", {}),
        ("opus", "opus", "ogg", {"bitrateBps": 48000, "channelCount": 1}),
        ("mp3", "mp3", "mp3", {"sampleRateHz": 44100}),
        ("flac", "flac", "flac", {}),
        ("ac3", "ac3", "mkv", {"bitrateBps": 100000}),
        ("pcm_s16le", "pcm_s16le", "wav", {"sampleRateHz": 22050}),
        ("copy", "aac", "mkv", {}),
    ],
)
async def test_every_sound_codec(studio, clips, tools, codec, name, extension, fields):
    """Sound alone goes into its container, as long as it was, at the rate that was asked for."""
    ended = await studio.succeed(transcode(f"o.{extension}", audio={"codec": codec, **fields}), {"main": clips.film()})
    audio = tools.audio(studio.output / f"o.{extension}")
    assert name == audio["codec_name"]
    assert int(audio["sample_rate"]) == fields.get("sampleRateHz", 48000)
    assert abs(ended.artifacts[0].media.duration.total_seconds() - 2) < 0.1
    assert ended.artifacts[0].media_type.startswith("audio/")


@pytest.mark.parametrize(
    ("channels", "codec", "extension"),
    [
        (6, "aac", "m4a"),
        (8, "aac", "m4a"),
        (6, "opus", "mkv"),
        (8, "opus", "opus"),
        (6, "ac3", "mkv"),
        (8, "flac", "flac"),
    ],
)
async def test_many_channels_keep_their_number(studio, clips, tools, channels, codec, extension):
    """Surround sound stays surround sound."""
    expression = "|".join(f"sin({220 * (channel + 1)}*2*PI*t)/9" for channel in range(channels))
    layout = {6: "5.1", 8: "7.1"}[channels]
    source = clips.make(f"c{channels}.wav", "-f", "lavfi", "-i", f"aevalsrc='{expression}':c={layout}:s=48000:d=1")
    await studio.succeed(transcode(f"o.{extension}", audio={"codec": codec}), {"main": source})
    assert channels == tools.audio(studio.output / f"o.{extension}")["channels"]


@pytest.mark.parametrize("codec", ["h264", "h265", "vp9"])
async def test_two_passes_meet_the_bitrate(studio, clips, tools, codec):
    """Both passes run, every frame is there, and the bitrate is met within a quarter; no statistics stay behind."""
    film = clips.film(seconds=4)
    video = {"codec": codec, "bitrateBps": 300000, "twoPass": True, "preset": "8" if codec == "vp9" else "veryfast"}
    ended = await studio.succeed(transcode("o.mp4", video=video), {"main": film})
    assert "120" == tools.video(studio.output / "o.mp4")["nb_read_packets"]
    assert abs(ended.artifacts[0].media.bitrate_bps - 300000) < 75000
    assert ["o.mp4"] == studio.left()
    phases = [snapshot.phase.value for snapshot in studio.snapshots]
    assert [
        *("fetching", "probing", "analyzing", "encoding", "verifying", "uploading", "publishing"),
    ] == sorted(set(phases), key=phases.index)
    assert tools.ssim(studio.output / "o.mp4", film) >= 0.9


async def test_copying_changes_nothing(studio, clips, tools):
    """Copied into another container every packet is there, and pictures are the same to the bit."""
    film = clips.film()
    await studio.succeed(transcode("o.mkv", video={"codec": "copy"}, audio={"codec": "copy"}), {"main": film})
    assert "60" == tools.video(studio.output / "o.mkv")["nb_read_packets"]
    assert 1.0 == tools.ssim(studio.output / "o.mkv", film)


@pytest.mark.parametrize(
    ("start", "end", "first", "count"), [("0.5s", "1.5s", 15, 30), ("1s", None, 30, 30), (None, "0.7s", 0, 21)]
)
async def test_a_trim_is_exact_to_the_frame(studio, clips, tools, start, end, first, count):
    """The wanted frames and no other ones, between key frames as well."""
    trim = {key: value for key, value in (("start", start), ("end", end)) if value}
    film = clips.film()
    await studio.succeed(
        transcode("o.mp4", video={"codec": "h264", "crf": 12}, audio={"codec": "aac"}, trim=trim), {"main": film}
    )
    assert str(count) == tools.video(studio.output / "o.mp4")["nb_read_packets"]
    wanted = f"select='between(n,{first},{first + count - 1})'"
    off_by_one = f"select='between(n,{first + 1},{first + count})'"
    assert tools.ssim(studio.output / "o.mp4", film, wanted) >= 0.97
    assert tools.ssim(studio.output / "o.mp4", film, off_by_one) < 0.97


async def test_a_trim_at_a_fractional_rate_is_exact(studio, clips, tools):
    """At 30000/1001 frames per second, from the time of frame 10 to that of frame 40: thirty frames, the tenth first."""
    film = clips.film(rate="30000/1001")
    trim = {"start": "0.333666667s", "end": "1.334666667s"}
    await studio.succeed(transcode("o.mp4", video={"codec": "h264", "crf": 12}, trim=trim), {"main": film})
    assert "30" == tools.video(studio.output / "o.mp4")["nb_read_packets"]
    assert tools.ssim(studio.output / "o.mp4", film, "select='between(n,10,39)'") >= 0.97


@pytest.mark.parametrize("extension", ["mp4", "mov", "mkv", "ts"])
async def test_an_odd_size_becomes_even(studio, clips, tools, extension):
    """321x241 becomes 320x240 in every container."""
    odd = clips.make(
        "odd.mkv",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=321x241:rate=25:duration=1",
        "-c:v",
        "ffv1",
        "-pix_fmt",
        "yuv444p",
    )
    await studio.succeed(transcode(f"o.{extension}", video={"codec": "h264"}), {"main": odd})
    video = tools.video(studio.output / f"o.{extension}")
    assert (320, 240, "25") == (video["width"], video["height"], video["nb_read_packets"])


async def test_a_rotated_source_stands_upright(studio, clips, tools):
    """Rotation is applied to the pixels: the result is upright and carries none."""
    film = clips.film()
    flag = ("-display_rotation", "90") if tools.toolchain.ffmpeg_version.number >= (6, 0) else ()
    tag = () if flag else ("-metadata:s:v:0", "rotate=270")
    turned = clips.make("turned.mp4", *flag, "-i", str(film), "-c", "copy", *tag)
    ended = await studio.succeed(transcode("o.mp4", video={"codec": "h264", "widthPx": 90}), {"main": turned})
    source, made = ended.inputs["main"].video[0], ended.artifacts[0].media.video[0]
    assert (180, 320) == (source.width_px, source.height_px)
    assert (90, 160, 0) == (made.width_px, made.height_px, made.rotation_degrees)


async def test_a_changed_frame_rate_is_constant(studio, clips, tools):
    """30 frames a second become 12: two seconds hold 24 frames."""
    video = {"codec": "h264", "frameRate": {"numerator": 12, "denominator": 1}, "gopDuration": "0.5s"}
    await studio.succeed(transcode("o.mp4", video=video), {"main": clips.film()})
    found = tools.video(studio.output / "o.mp4")
    assert ("24", "12/1") == (found["nb_read_packets"], found["avg_frame_rate"])


@pytest.mark.parametrize("container", ["mp4", "mkv"])
async def test_a_changed_frame_rate_leaves_the_sound_whole(studio, clips, tools, container):
    """The number of pictures is bounded, and the sound is longer than they are."""
    source = clips.make(
        f"longer_sound.{container}",
        *("-f", "lavfi", "-i", "testsrc2=size=64x36:rate=10:duration=1", "-f", "lavfi", "-i", "sine=duration=4"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"),
    )
    video = {"codec": "h264", "preset": "ultrafast", "frameRate": {"numerator": 5, "denominator": 1}}
    await studio.succeed(transcode("o.mp4", video=video, audio={"codec": "aac"}), {"main": source})
    assert abs(float(tools.audio(studio.output / "o.mp4")["duration"]) - 4) < 0.15


async def test_a_variable_frame_rate_keeps_its_frames(studio, clips, tools):
    """100 frames at uneven times stay 100 frames."""
    uneven = clips.make(
        "uneven.mp4",
        *("-f", "lavfi", "-i", "testsrc2=size=64x64:rate=30:duration=6", "-vf", "select='lt(mod(n,9),5)'"),
        *("-fps_mode", "vfr", "-c:v", "libx264", "-pix_fmt", "yuv420p"),
    )
    await studio.succeed(transcode("o.mp4", video={"codec": "h264"}), {"main": uneven})
    assert "100" == tools.video(studio.output / "o.mp4")["nb_read_packets"]


async def test_the_options_of_video_reach_the_encoder(studio, clips):
    """Ten bits, a profile, a cap and anamorphic pixels made square."""
    wide = clips.make(
        "wide.mkv",
        *(
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=144x160:rate=25:duration=1,setsar=2/1",
            "-c:v",
            "ffv1",
            "-pix_fmt",
            "yuv420p",
        ),
    )
    video = {
        "codec": "h265",
        "pixelFormat": "yuv420p10le",
        "profile": "main10",
        "preset": "ultrafast",
        "crf": 30,
        "maxBitrateBps": 500000,
    }
    ended = await studio.succeed(transcode("o.mp4", video=video), {"main": wide})
    found = ended.artifacts[0].media.video[0]
    assert (288, 160, "yuv420p10le") == (found.coded_width_px, found.coded_height_px, found.pixel_format)


async def test_a_long_file_is_decoded_at_both_ends(studio, clips, tools):
    """More than twenty seconds: verification reads the first and the last ten, and all is well."""
    film = clips.film(size="64x64", seconds=30, rate="10")
    await studio.succeed(transcode("o.mp4", video={"codec": "h264"}, audio={"codec": "aac"}), {"main": film})
    assert "300" == tools.video(studio.output / "o.mp4")["nb_read_packets"]


async def test_a_silent_film_stays_silent(studio, clips):
    """Audio is asked of a source without any: the picture is made all the same."""
    silent = clips.make("silent.mp4", "-i", str(clips.film()), "-an", "-c", "copy")
    ended = await studio.succeed(transcode("o.mp4", video={"codec": "h264"}, audio={"codec": "aac"}), {"main": silent})
    assert () == ended.artifacts[0].media.audio


@pytest.mark.parametrize("codec", ["vp9", "av1"])
async def test_capped_quality(studio, clips, tools, codec):
    """Constant quality with a peak bitrate runs in the codecs whose encoders do it in their own ways."""
    video = {"codec": codec, "crf": 40, "maxBitrateBps": 400000, "preset": "8"}
    await studio.succeed(transcode("o.webm", video=video), {"main": clips.film(size="160x90")})
    assert "60" == tools.video(studio.output / "o.webm")["nb_read_packets"]
