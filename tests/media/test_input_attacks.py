"""Inputs that try to make FFmpeg read other files, call hosts or use up the machine (the reference's list, 5.9, 1 to 7
and 19).
"""

from __future__ import annotations

import asyncio
import struct
import time
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from telecine_worker.failure import FailureKind
from telecine_worker.outcome import Failed

TASKS: dict[str, dict[str, Any]] = {
    "transcode": {
        "transcode": {"input": "main", "path": "o.mkv", "video": {"codec": "h264"}, "audio": {"codec": "aac"}},
    },
    "copy": {"transcode": {"input": "main", "path": "o.mkv", "video": {"codec": "copy"}}},
    "raw": {"ffmpeg": {"args": ["-i", "main", "-c", "copy", "o.mkv"], "outputs": ["o.mkv"]}},
}


@dataclass(slots=True)
class Listener:
    """Counts who calls."""

    port: int = 0
    hits: list[str] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hits.append((await reader.readline()).decode(errors="replace"))
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    """A TCP listener on 127.0.0.1."""
    made = Listener()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()


def hls(body: str) -> str:
    """A playlist."""
    return f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n{body}\n#EXT-X-ENDLIST\n"


ATTACKS = {
    "1 hls over http": hls("#EXTINF:1,\nhttp://127.0.0.1:{port}/x.ts"),
    "2 hls of another file": hls("#EXTINF:1,\nfile://{other}"),
    "2 hls beside": hls("#EXTINF:1,\nother.mp4"),
    "3 hls key": hls('#EXT-X-KEY:METHOD=AES-128,URI="http://127.0.0.1:{port}/k"\n#EXTINF:1,\nfile://{other}'),
    "4 ffconcat beside": "ffconcat version 1.0\nfile other.mp4\n",
    "5 ffconcat absolute": "ffconcat version 1.0\nfile {other}\n",
    "5 ffconcat http": "ffconcat version 1.0\nfile http://127.0.0.1:{port}/x\n",
    "6 dash": """<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"
        mediaPresentationDuration="PT1S" profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet
        mimeType="video/mp4"><Representation id="1" bandwidth="1"><BaseURL>http://127.0.0.1:{port}/</BaseURL>
        <SegmentList duration="1"><SegmentURL media="x.mp4"/></SegmentList></Representation></AdaptationSet></Period></MPD>""",
    "7 sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video {port} RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "metadata script": ";FFMETADATA1\ntitle=x\n",
    "playlist of pictures": "#EXTM3U\n#EXT-X-IMAGES-ONLY\nfile://{other}\n",
}


@pytest.mark.parametrize("extension", ["mp4", "m3u8", "txt"])
@pytest.mark.parametrize("attack", ATTACKS)
async def test_an_input_that_names_others_is_refused(studio, clips, tmp_path, listener, attack, extension):
    """For good, in seconds, whatever its name; nobody is called and no other file gets into the output."""
    other = tmp_path / "other.mp4"
    other.write_bytes(clips.film(size="64x64", seconds=1).read_bytes())
    path = tmp_path / f"in.{extension}"
    path.write_text(ATTACKS[attack].replace("{port}", str(listener.port)).replace("{other}", str(other)))
    task = TASKS["raw" if extension == "txt" else "transcode"]
    begun = time.monotonic()
    ended = await studio.run(task, {"main": path})
    assert isinstance(ended, Failed), ended
    assert ended.failure.kind == FailureKind.PERMANENT
    assert ended.failure.reason in ("INPUT_NOT_ALLOWED", "INPUT_INVALID")
    assert time.monotonic() - begun < 5
    assert [] == listener.hits
    assert [] == studio.left()


async def test_the_listener_would_notice(toolchain, listener, tmp_path):
    """The control: without our whitelists FFmpeg calls it."""
    playlist = tmp_path / "in.m3u8"
    playlist.write_text(hls(f"#EXTINF:1,\nhttp://127.0.0.1:{listener.port}/x.ts"))
    argv = ("-v", "quiet", "-protocol_whitelist", "file,http,tcp", "-i", str(playlist), "-f", "null", "-")
    process = await asyncio.create_subprocess_exec(str(toolchain.ffmpeg), "-nostdin", *argv)
    await asyncio.wait_for(process.wait(), 20)
    assert len(listener.hits) >= 1


def png(wide: int, high: int) -> bytes:
    """A black picture of one bit a pixel."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = zlib.compress(b"\0" * ((wide + 7) // 8 + 1) * high, 1)
    header = struct.pack(">IIBBBBB", wide, high, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("task", ["transcode", "raw"])
async def test_a_picture_bomb_is_refused(studio, tmp_path, task):
    """225 megapixels in a small file: a permanent failure in seconds, with little memory."""
    (tmp_path / "bomb.png").write_bytes(png(15000, 15000))
    run = {
        "transcode": TASKS["transcode"],
        "raw": {"ffmpeg": {"args": ["-i", "main", "-frames:v", "1", "o.png"], "outputs": ["o.png"]}},
    }[task]
    begun = time.monotonic()
    ended = await studio.run(run, {"main": tmp_path / "bomb.png"})
    assert isinstance(ended, Failed), ended
    assert ended.failure.kind == FailureKind.PERMANENT
    assert ended.failure.reason in ("INPUT_OVER_LIMIT", "INPUT_INVALID")
    assert ended.usage.peak_memory_bytes < 512_000_000
    assert time.monotonic() - begun < 5


async def test_a_gap_in_the_timestamps_is_not_filled_for_hours(studio, clips, tools):
    """Two pictures 20,000 s apart at a constant rate: the length is known from probing, and so is the work; a limit
    ends it.
    """
    gap = clips.make(
        "gap.mkv",
        *(
            "-f",
            "lavfi",
            "-i",
            "color=size=16x16:rate=1:duration=2",
            "-vf",
            "setpts=N*20000/TB",
            "-fps_mode",
            "passthrough",
        ),
        *("-c:v", "mjpeg"),
    )
    video = {"codec": "h264", "preset": "ultrafast", "frameRate": {"numerator": 240, "denominator": 1}}
    begun = time.monotonic()
    ended = await studio.run(
        {"transcode": {"input": "main", "path": "o.mp4", "video": video}},
        {"main": gap},
        limits={"hardRunTimeout": "1s"},
    )
    assert isinstance(ended, Failed), ended
    assert FailureKind.DEADLINE == ended.failure.kind
    assert time.monotonic() - begun < 5
    assert [] == studio.left()


async def test_15_what_is_attached_to_a_film_stays_in_it(studio, clips, tmp_path):
    """Attachments whose names lead elsewhere are no reason to refuse a film, and are written nowhere."""
    (tmp_path / "words.txt").write_text("words")
    film = clips.make(
        "attached.mkv",
        *("-f", "lavfi", "-i", "testsrc=s=64x64:r=5:d=1", "-c:v", "mpeg4", "-attach", str(tmp_path / "words.txt")),
        *("-metadata:s:t:0", "mimetype=text/plain", "-metadata:s:t:0", f"filename={tmp_path}/escaped"),
        *("-attach", str(tmp_path / "words.txt"), "-metadata:s:t:1", "mimetype=text/plain"),
        *("-metadata:s:t:1", "filename=../../escaped"),
    )
    task = {"transcode": {"input": "main", "path": "o.mkv", "video": {"codec": "h264", "preset": "ultrafast"}}}
    await studio.succeed(task, {"main": film})
    assert ["o.mkv"] == studio.left()
    assert [] == list(tmp_path.rglob("escaped*"))


async def test_19_more_streams_than_anybody_has_are_refused(studio, clips):
    """At the probe, before anything is decoded."""
    sound = ("-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono:d=0.2")
    many = clips.make("many.mkv", *sound, *("-map", "0:a") * 80, "-c:a", "pcm_s16le", "-t", "0.1")
    begun = time.monotonic()
    ended = await studio.run(
        {"transcode": {"input": "main", "path": "o.mkv", "audio": {"codec": "aac"}}}, {"main": many}
    )
    assert isinstance(ended, Failed), ended
    assert FailureKind.PERMANENT == ended.failure.kind
    assert ended.failure.reason in ("INPUT_OVER_LIMIT", "INPUT_INVALID")
    assert ended.usage.peak_memory_bytes < 512_000_000
    assert time.monotonic() - begun < 5
    assert [] == studio.left()


FORMATS = [
    ("mp4", ["-c:v", "libx264", "-c:a", "aac"]),
    ("mkv", ["-c:v", "libx265", "-x265-params", "log-level=none", "-c:a", "libopus"]),
    ("webm", ["-c:v", "libvpx-vp9", "-cpu-used", "8", "-c:a", "libvorbis"]),
    ("ts", ["-c:v", "libx264", "-c:a", "libmp3lame"]),
    ("avi", ["-c:v", "mpeg4", "-c:a", "libmp3lame"]),
    ("mpg", ["-c:v", "mpeg2video", "-c:a", "mp2"]),
    ("flv", ["-c:v", "flv", "-ar", "44100", "-c:a", "libmp3lame"]),
    ("mov", ["-c:v", "prores_ks", "-c:a", "pcm_s16le"]),
    ("mxf", ["-c:v", "mpeg2video", "-c:a", "pcm_s16le"]),
    ("asf", ["-c:v", "msmpeg4", "-c:a", "wmav2"]),
    ("ogv", ["-c:v", "libtheora", "-c:a", "libvorbis"]),
    ("nut", ["-c:v", "ffv1", "-c:a", "flac"]),
    ("y4m", ["-pix_fmt", "yuv420p"]),
    ("gif", []),
    ("webp", ["-frames:v", "1"]),
    ("jpg", ["-frames:v", "1"]),
    ("h264", ["-c:v", "libx264"]),
    ("hevc", ["-c:v", "libx265", "-x265-params", "log-level=none"]),
    ("mp3", ["-c:a", "libmp3lame"]),
    ("wav", []),
    ("flac", []),
    ("ogg", ["-c:a", "libvorbis"]),
    ("opus", ["-c:a", "libopus"]),
    ("aac", ["-c:a", "aac"]),
    ("ac3", ["-c:a", "ac3"]),
    ("m4a", ["-c:a", "alac"]),
    ("aiff", []),
    ("caf", ["-c:a", "pcm_s16be"]),
    ("m4v", ["-c:v", "mpeg4", "-f", "m4v"]),
    ("m2v", ["-c:v", "mpeg2video"]),
    ("ivf", ["-c:v", "libvpx", "-cpu-used", "8"]),
    ("obu", ["-c:v", "libsvtav1", "-preset", "12"]),
    ("apng", []),
    ("png", ["-frames:v", "1"]),
    ("bmp", ["-frames:v", "1"]),
    ("tiff", ["-frames:v", "1"]),
    ("3gp", ["-c:v", "h263", "-c:a", "aac"]),
    ("m2ts", ["-c:v", "mpeg2video", "-c:a", "ac3"]),
    ("vob", ["-c:v", "mpeg2video", "-c:a", "mp2"]),
    ("wmv", ["-c:v", "wmv2", "-c:a", "wmav2"]),
    ("dnxhr.mov", ["-c:v", "dnxhd", "-profile:v", "dnxhr_lb", "-pix_fmt", "yuv422p", "-c:a", "pcm_s24le"]),
    ("lossless.mkv", ["-c:v", "huffyuv", "-pix_fmt", "yuv422p", "-c:a", "pcm_f32le"]),
    ("av1.mp4", ["-c:v", "libsvtav1", "-preset", "12", "-c:a", "libopus"]),
    ("mp2", []),
    ("wma", ["-c:a", "wmav2"]),
    ("eac3", []),
    ("au", []),
    ("w64", []),
    ("mka", ["-c:a", "flac"]),
    ("adpcm.wav", ["-c:a", "adpcm_ms"]),
]
SOUND_ONLY = {
    "mp3", "wav", "flac", "ogg", "opus", "aac", "ac3", "m4a", "aiff", "caf", "mp2", "wma", "eac3", "au", "w64", "mka",
    "adpcm.wav",
}  # fmt: skip


@pytest.mark.parametrize(("extension", "options"), FORMATS, ids=[extension for extension, _ in FORMATS])
async def test_what_people_have_still_passes_the_whitelists(studio, clips, toolchain, extension, options):
    """Containers and codecs in use become H.264 or AAC, whatever the name of the file, and in the sandbox."""
    encoder = options[options.index("-c:v") + 1] if "-c:v" in options else ""
    if encoder and encoder not in toolchain.encoders:
        pytest.skip(f"this build cannot make the source: no {encoder}")
    source: Path = clips.make(
        f"fmt.{extension}", "-i", str(clips.film(size="352x288", seconds=0.4, rate="25")), *options
    )
    fields = (
        {"audio": {"codec": "aac"}} if extension in SOUND_ONLY else {"video": {"codec": "h264", "preset": "ultrafast"}}
    )
    nameless = source.with_name(f"{extension}-without-extension")
    nameless.write_bytes(source.read_bytes())
    await studio.succeed({"transcode": {"input": "main", "path": "o.mp4", **fields}}, {"main": nameless})
