"""Packages: what FFmpeg's own demuxers and a parser of the test make of the playlists and the segments."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.outcome import Failed, Succeeded

TINY = {"crf": 40, "preset": "ultrafast"}
TWO = [
    {"name": "180p", "video": {"codec": "h264", "heightPx": 180, "crf": 30, "preset": "veryfast"}},
    # Without B-frames: its encoder delays nothing, that of the other one does.
    {"name": "90p", "video": {"codec": "h264", "heightPx": 90, **TINY}},
]


def task(**fields: Any) -> dict[str, Any]:
    """Two renditions in segments of two seconds with a key frame each second."""
    return {
        "packaging": {
            "input": "main", "directory": "p", "renditions": TWO, "gopDuration": "1s", "segmentDuration": "2s", **fields
        }
    }  # fmt: skip


def attributes(line: str) -> dict[str, str]:
    """Of a tag of a playlist."""
    return {name: value.strip('"') for name, value in re.findall(r'([A-Z-]+)=("[^"]*"|[^,]*)', line.partition(":")[2])}


def listed(playlist: Path) -> list[tuple[float, str]]:
    """Durations and names of the segments of a media playlist that is complete."""
    lines = playlist.read_text().splitlines()
    assert ("#EXTM3U", "#EXT-X-ENDLIST") == (lines[0], lines[-1])
    found = [
        (float(line.removeprefix("#EXTINF:").rstrip(",")), name)
        for line, name in pairwise(lines)
        if line.startswith("#EXTINF:")
    ]
    target = int(next(line for line in lines if line.startswith("#EXT-X-TARGETDURATION:")).partition(":")[2])
    assert max(seconds for seconds, _ in found) <= target
    return found


def frames(tools: Any, playlist: Path, *, kind: str = "v", keys: bool = False) -> list[str]:
    """Times of the packets of a track, or of its key frames alone, as FFmpeg's demuxer gives them."""
    argv = [str(tools.toolchain.ffprobe), "-v", "error", "-select_streams", f"{kind}:0"]
    argv += ["-show_entries", "packet=pts_time,flags", "-of", "csv=p=0", str(playlist)]
    ran = subprocess.run(argv, capture_output=True, check=True, timeout=60, text=True, cwd=playlist.parent)
    times = [line.split(",")[:2] for line in ran.stdout.splitlines() if line]
    return sorted((time for time, flags in times if not keys or "K" in flags), key=float)


def decodes(tools: Any, listing: Path) -> None:
    """All of it, without a word."""
    assert "" == tools.ffmpeg("-v", "error", "-i", str(listing), "-map", "0:v?", "-map", "0:a?", "-f", "null", "-")


async def test_hls_is_complete_aligned_and_decodes(studio, clips, tools):
    """29.97 frames a second: segments and GOPs lie on its grid, at the same times in both renditions, and everything in the
    master playlist is true.
    """
    source = clips.film(seconds=5, rate="30000/1001")
    ended = await studio.succeed(task(), {"main": source})
    folder = studio.output / "p"
    first, second = folder / "180p.m3u8", folder / "90p.m3u8"
    assert [2.002, 2.002, 1.001] == [seconds for seconds, _ in listed(first)]
    assert [seconds for seconds, _ in listed(first)] == [seconds for seconds, _ in listed(second)]
    keys = frames(tools, first, keys=True)
    assert [round(number * 1.001, 3) for number in range(5)] == [round(float(time), 3) for time in keys]
    assert keys == frames(tools, second, keys=True)
    assert 150 == len(frames(tools, first))
    assert frames(tools, first) == frames(tools, second)
    for name in ("180p.m3u8", "90p.m3u8", "audio.m3u8", "master.m3u8"):
        decodes(tools, folder / name)
    assert abs(sum(seconds for seconds, _ in listed(folder / "audio.m3u8")) - 5.005) < 0.05
    assert {1} == {artifact.file_count for artifact in ended.artifacts[1:]}


async def test_the_master_says_what_is_true(studio, clips):
    """Bandwidths are the highest and the mean of the segments' own, of picture and sound together."""
    await studio.succeed(task(), {"main": clips.film(seconds=5, rate="30000/1001")})
    folder = studio.output / "p"
    lines = (folder / "master.m3u8").read_text().splitlines()
    variants = [(attributes(line), name) for line, name in pairwise(lines) if "STREAM-INF" in line]
    assert ["180p.m3u8", "90p.m3u8"] == [name for _, name in variants]
    assert ["320x180", "160x90"] == [said["RESOLUTION"] for said, _ in variants]
    assert ["29.970", "29.970"] == [said["FRAME-RATE"] for said, _ in variants]
    assert all(re.fullmatch(r"avc1\.[0-9a-f]{6},mp4a\.40\.2", said["CODECS"]) for said, _ in variants)
    for said, name in variants:
        both = [listed(folder / name), listed(folder / "audio.m3u8")]
        rates = [[8 * (folder / file).stat().st_size / seconds for seconds, file in each] for each in both]
        assert int(said["BANDWIDTH"]) >= max(rates[0]) + max(rates[1]) * 0.9
        assert int(said["BANDWIDTH"]) <= max(rates[0]) + max(rates[1]) + 2
        size = sum((folder / file).stat().st_size for each in both for _, file in each)
        assert abs(int(said["AVERAGE-BANDWIDTH"]) - 8 * size / 5.005) < 0.02 * int(said["AVERAGE-BANDWIDTH"])
    (sound,) = [attributes(line) for line in lines if line.startswith("#EXT-X-MEDIA:")]
    assert ("AUDIO", "audio.m3u8", "1") == (sound["TYPE"], sound["URI"], sound["CHANNELS"])


async def test_dash_lists_the_same_segments(studio, clips, tools):
    """Every segment that the manifest counts is there, and begins when it says; nothing is there that no listing has."""
    await studio.succeed(task(formats=["FORMAT_HLS", "FORMAT_DASH"]), {"main": clips.film(seconds=5)})
    folder = studio.output / "p"
    names = {"master.m3u8", "manifest.mpd", "180p.m3u8", "90p.m3u8", "audio.m3u8"}
    for name, segments in segments_of(folder / "manifest.mpd").items():
        assert [file for _, file in listed(folder / f"{name}.m3u8")] == segments
        names |= {f"init_{name}.mp4", *segments}
    assert names == {path.name for path in folder.iterdir()}
    if "dash" in tools.toolchain.demuxers:
        decodes(tools, folder / "manifest.mpd")


def segments_of(manifest: Path) -> dict[str, list[str]]:
    """By representation, from its template and its timeline."""
    space = {"d": "urn:mpeg:dash:schema:mpd:2011"}
    found = {}
    for one in ElementTree.parse(manifest).getroot().iterfind(".//d:Representation", space):
        template = one.find("d:SegmentTemplate", space)
        assert template is not None
        lengths = [1 + int(each.get("r", "0")) for each in template.iterfind(".//d:S", space)]
        media = str(template.get("media")).replace("$RepresentationID$", str(one.get("id")))
        found[str(one.get("id"))] = [media.replace("$Number%05d$", f"{n:05d}") for n in range(1, 1 + sum(lengths))]
    return found


async def test_a_set_is_one_artifact(studio, clips):
    """Init segments and segments are one, whose checksum is that of the list of its files; listings come after it, what names
    others last.
    """
    ended = await studio.succeed(task(formats=["FORMAT_HLS", "FORMAT_DASH"]), {"main": clips.film()})
    media, *listings = ended.artifacts
    assert ["180p.m3u8", "90p.m3u8", "audio.m3u8", "master.m3u8", "manifest.mpd"] == [
        artifact.path.removeprefix("p/") for artifact in listings
    ]
    files = sorted(path for path in (studio.output / "p").iterdir() if path.suffix in (".mp4", ".m4s"))
    lines = "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  p/{path.name}\n" for path in files)
    assert ("p", len(files), sum(path.stat().st_size for path in files), hashlib.sha256(lines.encode()).hexdigest()) == (
        media.path, media.file_count, media.size_bytes, media.sha256,
    )  # fmt: skip
    assert [(180, 60), (90, 60)] == [
        (each.media.video[0].height_px, each.media.video[0].frame_count) for each in listings[:2]
    ]
    assert (2, 1) == (len(listings[3].media.video), len(listings[3].media.audio))


async def test_every_codec_is_packaged(studio, clips, tools):
    """Renditions of all four, with the same key frames; each is named as players want it."""
    codecs = {"h264": "avc1", "h265": "hvc1", "av1": "av01", "vp9": "vp09"}
    presets = {"h264": "ultrafast", "h265": "ultrafast", "av1": "12", "vp9": "8"}
    renditions = [
        {"name": codec, "video": {"codec": codec, "heightPx": 90, "preset": presets[codec]}} for codec in codecs
    ]
    await studio.succeed(
        task(renditions=renditions, audio={"codec": "opus"}, formats=["FORMAT_HLS", "FORMAT_DASH"]),
        {"main": clips.film(seconds=3, size="160x90")},
    )
    folder = studio.output / "p"
    master = (folder / "master.m3u8").read_text()
    assert list(codecs.values()) == re.findall(r'CODECS="([a-z0-9]+)\.[^"]*,opus"', master)
    assert ["0.000000", "1.000000", "2.000000"] == frames(tools, folder / "h264.m3u8", keys=True)
    for codec in codecs:
        assert frames(tools, folder / "h264.m3u8", keys=True) == frames(tools, folder / f"{codec}.m3u8", keys=True)
    groups = ElementTree.parse(folder / "manifest.mpd").getroot()[0]
    assert [1, 1, 1, 1, 1] == [len(group) for group in groups]


async def one(studio: Any, source: Path, **fields: Any) -> Path:
    """The folder of a package with one small rendition, made of *source* and what *fields* say of the task."""
    inputs = {"main": source, **fields.pop("inputs", {})}
    await studio.succeed(task(**{"renditions": [{"name": "a", "video": {"codec": "h264", **TINY}}], **fields}), inputs)
    return Path(studio.output / "p")


async def test_a_ladder_is_chosen_from_the_source(studio, clips):
    """Of an upright film by its shorter side; the lower rungs, no enlarging, SDR or not."""
    source = clips.make(
        "upright.mp4",
        *("-f", "lavfi", "-i", "testsrc2=size=250x500:rate=10:duration=1", "-c:v", "libx264", "-preset", "ultrafast"),
        *("-pix_fmt", "yuv420p"),
    )
    ended = await studio.succeed({"packaging": {"input": "main", "directory": "p"}}, {"main": source})
    (rendition,) = ended.artifacts[1].media.video
    assert ("p/240p.m3u8", 240, 480) == (ended.artifacts[1].path, rendition.width_px, rendition.height_px)
    assert not (studio.output / "p/audio.m3u8").exists()
    assert "AUDIO" not in (studio.output / "p/master.m3u8").read_text()


async def test_a_variable_rate_becomes_a_constant_one(studio, clips, tools):
    """The usual one above the average, here 24000/1001 for 20, on whose grid segments and GOPs lie."""
    source = clips.make(
        "vfr.mp4",
        *("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=30:duration=3", "-vf", "select='not(mod(n,2))+lt(t,1)'"),
        *("-fps_mode", "vfr", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
    )
    folder = await one(studio, source)
    times = [float(time) for time in frames(tools, folder / "a.m3u8")]
    assert [round(number * 1001 / 24000, 3) for number in range(len(times))] == [round(time, 3) for time in times]
    assert abs(len(times) - 72) <= 2
    assert [0.0, 1.001, 2.002] == [float(time) for time in frames(tools, folder / "a.m3u8", keys=True)]


async def test_sound_that_begins_late_waits(studio, clips, tools):
    """Its silence is made: picture and sound begin together, and what belongs together stays so."""
    source = clips.make(
        "late.mkv",
        *("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=3", "-itsoffset", "1"),
        *(
            "-f",
            "lavfi",
            "-i",
            "sine=frequency=440:sample_rate=48000:duration=2",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
        ),
        *("-pix_fmt", "yuv420p", "-c:a", "aac"),
    )
    folder = await one(studio, source)
    said = tools.ffmpeg("-i", str(folder / "audio.m3u8"), "-af", "silencedetect=n=-50dB:d=0.5", "-f", "null", "-")
    (until,) = re.findall(r"silence_end: ([0-9.]+)", said)
    assert abs(float(until) - 1) < 0.05
    assert abs(float(frames(tools, folder / "audio.m3u8", kind="a")[0])) < 0.05


async def test_loudness_is_measured_and_applied(studio, clips, tools):
    """Both passes, for the sound of all renditions."""
    source = clips.make(
        "quiet.mp4",
        *("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=10:duration=5", "-f", "lavfi"),
        *("-i", "sine=frequency=440:sample_rate=48000:duration=5", "-af", "volume=-20dB", "-c:v", "libx264"),
        *("-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "aac"),
    )
    folder = await one(studio, source, audio={"codec": "aac", "loudness": {}})
    said = tools.ffmpeg("-i", str(folder / "audio.m3u8"), "-af", "loudnorm=print_format=json", "-f", "null", "-")
    assert abs(float(re.findall(r'"input_i" : "([^"]*)"', said)[0]) + 16) < 0.7


async def test_filters_are_in_every_rendition(studio, clips, tools, tmp_path):
    """Crop, watermark and subtitles, deinterlaced before the split."""
    logo = clips.make("white.png", "-f", "lavfi", "-i", "color=white:size=40x40:rate=1:duration=1", "-frames:v", "1")
    source = clips.make(
        "black.mp4",
        *("-f", "lavfi", "-i", "color=black:size=320x180:rate=10:duration=1", "-c:v", "libx264", "-pix_fmt", "yuv420p"),
    )
    text = tmp_path / "text.srt"
    text.write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    filters = {
        "deinterlace": True, "crop": {"leftPx": 0, "topPx": 0, "widthPx": 160, "heightPx": 160},
        "watermark": {"input": "logo", "x": 0.1, "y": 0.1, "width": 0.2}, "burnSubtitles": "text",
    }  # fmt: skip
    renditions = [{"name": f"{high}p", "video": {"codec": "h264", "heightPx": high, "crf": 10}} for high in (160, 80)]
    folder = await one(studio, source, filters=filters, renditions=renditions, inputs={"logo": logo, "text": text})
    for high in (160, 80):
        said = json.loads(probed(tools, folder / f"{high}p.m3u8"))["streams"][0]
        assert (high, high) == (said["width"], said["height"])
        for where, least in (("iw/5:ih/5:0:0", 180), ("iw:ih/2:0:ih/2", 60)):
            measured = f"crop={where},signalstats,metadata=print:key=lavfi.signalstats.YMAX:file=-"
            argv = [str(tools.toolchain.ffmpeg), "-v", "error", "-i", str(folder / f"{high}p.m3u8"), "-vf", measured]
            ran = subprocess.run([*argv, "-f", "null", "-"], capture_output=True, check=True, timeout=60, text=True)
            assert least < float(re.findall(r"YMAX=([0-9.]+)", ran.stdout)[-1])


def probed(tools: Any, path: Path) -> bytes:
    """What ffprobe says of the streams."""
    argv = [str(tools.toolchain.ffprobe), "-v", "error", "-show_streams", "-of", "json", str(path)]
    return subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout


async def test_progress_never_goes_back(studio, clips):
    """Over all renditions it is one, and ends at 1."""
    await studio.succeed(task(), {"main": clips.film(seconds=5)})
    fractions = [snapshot.fraction for snapshot in studio.snapshots if snapshot.fraction is not None]
    assert fractions == sorted(fractions)
    assert 1.0 == fractions[-1]
    assert {Phase.ENCODING, Phase.VERIFYING, Phase.PUBLISHING} <= {snapshot.phase for snapshot in studio.snapshots}


@pytest.mark.parametrize(
    ("policy", "reason"), [("DAMAGE_POLICY_UNSPECIFIED", "INPUT_TRUNCATED"), ("DAMAGE_POLICY_WARN", "")]
)
async def test_a_source_that_ends_early_is_packaged_where_that_is_asked_for(studio, clips, tools, policy, reason):
    """Renditions then end together, earlier than was planned; else the job fails for good and nothing is left."""
    film = clips.film(size="160x90", seconds=4, rate="10")
    half = clips.folder / "half.mp4"
    half.write_bytes(film.read_bytes()[: film.stat().st_size * 6 // 10])
    renditions = [
        {"name": name, "video": {"codec": "h264", "heightPx": high, **TINY}} for name, high in (("a", 90), ("b", 46))
    ]
    ended = await studio.run(task(renditions=renditions), {"main": half}, damagePolicy=policy)
    if reason:
        assert isinstance(ended, Failed), ended
        assert (reason, []) == (ended.failure.reason, studio.left())
        return
    assert isinstance(ended, Succeeded), ended
    assert "INPUT_TRUNCATED" in {warning.reason for warning in ended.warnings}
    folder = studio.output / "p"
    assert 10 < len(frames(tools, folder / "a.m3u8")) < 39
    assert frames(tools, folder / "a.m3u8", keys=True) == frames(tools, folder / "b.m3u8", keys=True)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
async def test_sound_that_is_longer_than_the_pictures_is_whole(studio, clips, tools, container):
    """Whatever the container says of each."""
    source = clips.make(
        f"long_sound.{container}",
        *("-f", "lavfi", "-i", "testsrc2=size=64x36:rate=10:duration=2", "-f", "lavfi"),
        *("-i", "sine=sample_rate=48000:duration=4", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
        *("-c:a", "aac"),
    )
    folder = await one(studio, source)
    assert abs(sum(seconds for seconds, _ in listed(folder / "audio.m3u8")) - 4) < 0.15
    assert abs(sum(seconds for seconds, _ in listed(folder / "a.m3u8")) - 2) <= 0.1
    decodes(tools, folder / "audio.m3u8")


async def test_the_edges_of_a_long_one_are_decoded(studio, clips):
    """With every FFmpeg, of which some cannot seek in it; nothing of that is published."""
    source = clips.film(size="64x36", seconds=25, rate="5")
    folder = await one(studio, source, gopDuration="2s", segmentDuration="4s")
    assert abs(sum(seconds for seconds, _ in listed(folder / "a.m3u8")) - 25) < 0.01
    assert not list(folder.glob("_*"))


def says_four_seconds(clips: Any) -> Path:
    """A source of eight seconds."""
    film = clips.film(size="64x36", seconds=8, rate="10")
    right = clips.make("eight.mkv", "-i", str(film), "-c", "copy")
    content = bytearray(right.read_bytes())
    at = content.index(b"\x44\x89\x88") + 3
    content[at : at + 8] = struct.pack(">d", 4000.0)
    wrong = Path(clips.folder / "says_four.mkv")
    wrong.write_bytes(content)
    return wrong


async def test_a_source_that_is_longer_than_it_says_is_not_cut(studio, clips):
    """Not without a word: the job fails for good with both lengths, or warns where that is asked for."""
    source = says_four_seconds(clips)
    renditions = [{"name": "a", "video": {"codec": "h264", **TINY}}]
    ended = await studio.run(task(renditions=renditions), {"main": source})
    assert isinstance(ended, Failed), ended
    assert "INPUT_INVALID" == ended.failure.reason
    assert "it goes on at 5.00 s, and says that it lasts 4.00 s" in ended.failure.message
    warned = await studio.run(task(renditions=renditions), {"main": source}, damagePolicy="DAMAGE_POLICY_WARN")
    assert isinstance(warned, Succeeded), warned
    assert ["INPUT_DAMAGED"] == [warning.reason for warning in warned.warnings]
    assert "was cut: it goes on at 5.00 s" in warned.warnings[0].message


async def test_sound_in_a_transport_stream_is_packaged(studio, clips):
    """Though its length is found by its last packets, which is less than it has."""
    film = clips.film(size="64x36", seconds=4, rate="10")
    folder = await one(studio, clips.make("plain.ts", "-i", str(film), "-c:v", "copy", "-c:a", "aac", "-b:a", "48k"))
    assert abs(sum(seconds for seconds, _ in listed(folder / "audio.m3u8")) - 4) < 0.1


async def test_sound_that_jumps_far_is_not_filled(studio, clips):
    """It would be silence in memory: the job fails with the time at which the sound goes on."""
    film = clips.film(size="64x36", seconds=2, rate="10")
    jump = "setts=ts=if(gt(N\\,40)\\,TS+600/TB\\,TS)"
    counted_in_ms = clips.make("two.mkv", "-i", str(film), "-c", "copy")
    source = clips.make("jump.mkv", "-i", str(counted_in_ms), "-c", "copy", "-bsf:a", jump)
    ended = await studio.run(task(renditions=[{"name": "a", "video": {"codec": "h264", **TINY}}]), {"main": source})
    assert isinstance(ended, Failed), ended
    assert ("INPUT_TRUNCATED", []) == (ended.failure.reason, studio.left())
    assert re.search(r"its sound goes on at 60\d\.\d+ s", ended.failure.message)
