"""Sound alone on real FFmpeg: the right codec and length, and a picture of what is heard."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from telecine_worker.failure import FailureKind
from telecine_worker.outcome import Failed


def task(path: str, codec: str, **fields: Any) -> dict[str, Any]:
    """An AudioTask from the JSON names of its fields."""
    audio = {"codec": codec, **fields.pop("audio", {})}
    return {"audio": {"input": "main", "path": path, "audio": audio, **fields}}


@pytest.fixture
def halves(clips) -> Path:
    """Two seconds, the first one silent, the second a tone; stereo, and a second track of another language."""
    tone = "aevalsrc='0.5*sin(880*PI*t)*gt(t,1)|0.5*sin(880*PI*t)*gt(t,1)':s=44100:d=2"
    return clips.make(
        "audio-halves.mkv",
        *("-f", "lavfi", "-i", tone, "-f", "lavfi", "-i", "anullsrc=r=8000:cl=mono:d=2"),
        *("-map", "0", "-map", "1", "-c:a", "flac"),
    )


@pytest.mark.parametrize(
    ("path", "codec", "media_type"),
    [
        ("a.m4a", "aac", "audio/mp4"),
        ("a.mp3", "mp3", "audio/mpeg"),
        ("a.ogg", "opus", "audio/ogg"),
        ("a.opus", "opus", "audio/ogg"),
        ("a.flac", "flac", "audio/flac"),
        ("a.wav", "pcm_s16le", "audio/wav"),
        ("a.mkv", "ac3", "audio/x-matroska"),
        ("b.flac", "copy", "audio/flac"),
    ],
)
async def test_each_container_and_codec(studio, halves, tools, path, codec, media_type):
    """Of several tracks the first one, two seconds long, and nothing else."""
    ended = await studio.succeed(task(path, codec), {"main": halves})
    (artifact,) = ended.artifacts
    assert (path, media_type) == (artifact.path, artifact.media_type)
    (stream,) = tools.streams(studio.output / path)
    assert ("flac" if codec == "copy" else codec, 2) == (stream["codec_name"], stream["channels"])
    assert abs(artifact.media.duration.total_seconds() - 2) < 0.1


def columns(tools: Any, path: Path, wide: int) -> list[int]:
    """How high the wave is in each column: pixels that are not clear."""
    command = [str(tools.toolchain.ffmpeg), "-v", "error", "-i", str(path), "-vf", "alphaextract,format=gray"]
    pixels = subprocess.run([*command, "-f", "rawvideo", "-"], capture_output=True, check=True, timeout=30).stdout
    return [sum(1 for each in pixels[column::wide] if each) for column in range(wide)]


async def test_a_waveform_shows_what_is_heard(studio, halves, tools):
    """Silence, then a tone, in the size asked for; of a part only the part."""
    fields = {"waveformPath": "w.png", "waveformWidthPx": 200, "waveformHeightPx": 100}
    ended = await studio.succeed(task("a.m4a", "aac", **fields), {"main": halves})
    assert [("a.m4a", "audio/mp4"), ("w.png", "image/png")] == [(e.path, e.media_type) for e in ended.artifacts]
    high = columns(tools, studio.output / "w.png", 200)
    assert max(high[:95]) <= 1
    assert min(high[105:195]) > 20
    await studio.succeed(task("b.mp3", "mp3", trim={"start": "1.2s"}, **fields), {"main": halves})
    assert min(columns(tools, studio.output / "w.png", 200)[10:190]) > 20


async def test_a_waveform_of_a_short_sound_fills_the_picture(studio, clips, tools):
    """Of fewer samples than columns, from the first to the last."""
    for samples in (400, 40):
        tone = f"aevalsrc='0.5*sin(880*PI*t)':s=8000:d={samples / 8000}"
        short = clips.make(f"audio-{samples}.wav", "-f", "lavfi", "-i", tone)
        await studio.succeed(task("a.flac", "flac", waveformPath="w.png", waveformHeightPx=100), {"main": short})
        high = columns(tools, studio.output / "w.png", 1280)
        assert min(max(high[at : at + 128]) for at in range(0, 1280, 128)) > 10


async def test_the_waveform_of_a_long_sound_is_the_same_from_fewer_samples(studio, halves, tools, monkeypatch):
    """About as high, wherever it is not the edge between silence and tone, although the tone is above what they can hold."""
    size = {"waveformWidthPx": 100, "waveformHeightPx": 240}
    await studio.succeed(task("a.flac", "flac", waveformPath="all.png", **size), {"main": halves})
    monkeypatch.setattr("telecine_worker.tasks.audio.MOST_SAMPLES", 1000)
    await studio.succeed(task("a.flac", "flac", waveformPath="few.png", **size), {"main": halves})
    pairs = list(zip(*(columns(tools, studio.output / name, 100) for name in ("all.png", "few.png")), strict=True))
    assert max(high for pair in pairs for high in pair) > 40
    assert [] == [pair for pair in pairs[:48] + pairs[53:98] if abs(pair[0] - pair[1]) > 8]


@pytest.mark.parametrize(
    ("path", "codec", "fields", "reason", "words"),
    [
        ("a.mp3", "aac", {}, "CODEC_NOT_IN_CONTAINER", "mp3"),
        ("a.aac", "aac", {}, "UNSUPPORTED_CONTAINER", "m4a"),
        ("a.m4a", "copy", {}, "CODEC_NOT_IN_CONTAINER", "cannot hold flac"),
        ("a.m4a", "aac", {"trim": {"start": "3s"}}, "TRIM_OUT_OF_RANGE", "trim.start"),
        ("a.m4a", "aac", {"waveformWidthPx": 10}, "OPTION_INVALID", "waveform_path"),
    ],
)
async def test_what_cannot_be_is_refused_in_words(studio, halves, path, codec, fields, reason, words):
    """For good, with what would be right; nothing is left."""
    ended = await studio.run(task(path, codec, **fields), {"main": halves})
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, reason) == (ended.failure.kind, ended.failure.reason)
    assert words in ended.failure.message
    assert [] == studio.left()


async def test_an_input_without_sound_is_refused(studio, clips):
    """INPUT_MISSING_STREAM, whatever else is asked for."""
    silent = clips.make("audio-mute.mp4", "-f", "lavfi", "-i", "testsrc2=s=160x90:d=1", "-c:v", "libx264")
    ended = await studio.run(task("a.m4a", "aac", waveformPath="w.png"), {"main": silent})
    assert isinstance(ended, Failed)
    assert "INPUT_MISSING_STREAM" == ended.failure.reason
