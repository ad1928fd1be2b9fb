"""Probing on real FFmpeg: what a file is, what is found in it, and that damage is measured and not a failure."""

from __future__ import annotations

import random
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from telecine_worker.failure import FailureKind
from telecine_worker.ffmpeg.findings import DetectionKind
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.outcome import Failed

EVERYTHING = {
    "decode": True,
    "measureLoudness": True,
    "detectScenes": True,
    "detectBlack": True,
    "detectSilence": True,
}
FRAME = timedelta(milliseconds=40)


def task(**fields: Any) -> dict[str, Any]:
    """A ProbeTask from the JSON names of its fields."""
    return {"probe": {"input": "main", **fields}}


async def probe(studio: Any, path: Path, **fields: Any) -> Any:
    """The end of an attempt that has to succeed; it has no output."""
    spec = studio.spec(task(**fields), {"main": path})
    spec.ClearField("output")
    return await studio.attempt(spec).run()


@pytest.fixture
def scenes(clips) -> Path:
    """Two seconds of a moving picture with a tone, one of black in silence, one of colour bars with a tone, one of black in
    silence.
    """
    picture = "s=160x90:r=25"
    sources = [f"testsrc2={picture}:d=2", f"color=black:{picture}:d=1", f"smptebars={picture}:d=1"]
    sounds = ["sine=f=440:r=48000:d=2", "anullsrc=r=48000:cl=mono:d=1", "sine=f=880:r=48000:d=1"]
    inputs = [*sources, sources[1], *sounds, sounds[1]]
    graph = "[0][1][2][3]concat=n=4[v];[4][5][6][7]concat=n=4:v=0:a=1[a]"
    return clips.make(
        "scenes.mkv",
        *(token for source in inputs for token in ("-f", "lavfi", "-i", source)),
        *("-filter_complex", graph, "-map", "[v]", "-map", "[a]", "-c:v", "libx264", "-preset", "veryfast"),
        *("-crf", "15", "-pix_fmt", "yuv420p", "-g", "25", "-c:a", "pcm_s16le"),
    )


async def test_what_a_file_is(studio, clips):
    """Without anything to look for only ffprobe runs; nothing is written, and the whole is done."""
    ended = await probe(studio, clips.film())
    info = ended.inputs["main"]
    assert ("h264", 320, 180, 60) == (
        info.video[0].codec,
        info.video[0].width_px,
        info.video[0].height_px,
        info.video[0].frame_count,
    )
    assert ((), {}, ()) == (ended.artifacts, ended.measurements, ended.detections)
    assert [] == studio.left()
    assert (1.0, Phase.PROBING) == (studio.snapshots[-1].fraction, studio.snapshots[-1].phase)


async def test_everything_in_one_decode(studio, scenes):
    """The cuts with their scores, both parts of black and of silence (the last ones end with the film), loudness, and all
    125 pictures without an error.
    """
    ended = await probe(studio, scenes, **EVERYTHING)
    found = {kind: [each for each in ended.detections if each.kind is kind] for kind in DetectionKind}
    seconds = [round(each.start.total_seconds()) for each in found[DetectionKind.SCENE_CHANGE]]
    assert [2, 3, 4] == seconds
    assert all(0.1 <= each.score <= 1 and each.end is None for each in found[DetectionKind.SCENE_CHANGE])
    for kind, name in ((DetectionKind.BLACK, "black"), (DetectionKind.SILENCE, "silence")):
        parts = [(each.start, each.end) for each in found[kind]]
        assert 2 == len(parts) == ended.measurements[f"{name}.count"]
        for (start, end), wanted in zip(parts, (2, 4), strict=True):
            assert abs(start - timedelta(seconds=wanted)) <= FRAME
            assert abs(end - timedelta(seconds=wanted + 1)) <= FRAME
        assert ended.measurements[f"{name}.duration_seconds"] == pytest.approx(2, abs=0.1)
    assert [each.start for each in ended.detections] == sorted(each.start for each in ended.detections)
    assert (3, 0, 125) == tuple(
        ended.measurements[name] for name in ("scenes.count", "decode.error_count", "decode.video_frame_count")
    )
    assert ended.measurements["decode.audio_frame_count"] > 0
    assert ended.measurements["loudness.integrated_lufs"] == pytest.approx(-21.5, abs=1.5)
    assert ended.measurements["loudness.true_peak_dbtp"] == pytest.approx(-18, abs=1)
    assert {"loudness.range_lu", "loudness.threshold_lufs"} < set(ended.measurements)
    phases = [snapshot.phase for snapshot in studio.snapshots]
    assert [Phase.FETCHING, Phase.PROBING, Phase.ANALYZING] == list(dict.fromkeys(phases))
    assert 1.0 == studio.snapshots[-1].fraction


async def test_loudness_is_measured_as_ebu_r128_has_it(studio, clips):
    """A sine of 997 Hz at -20 dBFS in both channels is -20 LUFS, to a tenth (EBU Tech 3341, scaled)."""
    sine = clips.make(
        "sine.wav",
        *("-f", "lavfi", "-i", "aevalsrc=0.1*sin(997*2*PI*t)|0.1*sin(997*2*PI*t):s=48000:d=6", "-c:a", "pcm_s24le"),
    )
    ended = await probe(studio, sine, measureLoudness=True)
    assert ended.measurements["loudness.integrated_lufs"] == pytest.approx(-20, abs=0.1)
    assert ended.measurements["loudness.true_peak_dbtp"] == pytest.approx(-20, abs=0.2)
    assert {"main"} == set(ended.inputs)


FORGED = """x
[verbose]   Input stream #0:7 (video): 9 packets read (9 bytes); 999 frames decoded;
[Parsed_scdet_0 @] [info] lavfi.scd.score: 50, lavfi.scd.time: 1
\t"input_i" : "-5.00",
[info] Stream mapping:
[verbose]   Input stream #0:7 (video): 9 packets read (9 bytes); 999 frames decoded;
y"""


@pytest.mark.parametrize(
    ("extension", "options"),
    [
        ("mp4", ["-metadata", f"{FORGED}=z", "-movflags", "use_metadata_tags"]),
        ("mkv", ["-metadata:s:v", f"language={FORGED}"]),
    ],
    ids=["tag", "language"],
)
async def test_a_file_does_not_dictate_its_measurements(studio, clips, toolchain, extension, options):
    """FFmpeg repeats names of tags and languages as they are, lines and all: what is measured counts, whatever they hold."""
    quiet = clips.make(
        f"forged.{extension}",
        *("-f", "lavfi", "-i", "color=gray:s=64x64:r=5:d=2", "-f", "lavfi", "-i", "anullsrc=r=48000:d=2"),
        *(*options, "-c:v", "mpeg4", "-c:a", "aac"),
    )
    asked = subprocess.run([str(toolchain.ffmpeg), "-i", str(quiet)], capture_output=True, timeout=30, check=False)
    assert b"\n[verbose]   Input stream #0:7 (video)" in asked.stderr
    ended = await probe(studio, quiet, decode=True, detectScenes=True, measureLoudness=True)
    wanted = {"decode.video_frame_count": 10, "decode.error_count": 0, "scenes.count": 0}
    assert wanted == {name: ended.measurements[name] for name in wanted}
    assert () == ended.detections
    assert "loudness.integrated_lufs" not in ended.measurements


async def test_silence_has_no_loudness(studio, clips):
    """An infinite value is no measurement: what cannot be measured is not there."""
    silent = clips.make("silent.wav", "-f", "lavfi", "-i", "anullsrc=r=48000:d=1")
    ended = await probe(studio, silent, measureLoudness=True, detectSilence=True)
    assert {"silence.count": 1, "silence.duration_seconds": pytest.approx(1, abs=0.05)} == ended.measurements
    assert [DetectionKind.SILENCE] == [each.kind for each in ended.detections]


@pytest.mark.parametrize("damage", ["hurt", "half", "header"])
async def test_damage_is_measured_and_not_a_failure(studio, clips, tmp_path, damage):
    """Flipped bytes, a half file, pictures that all fail to decode: counted, and the job succeeds."""
    content = bytearray(clips.film().read_bytes())
    start = content.index(b"mdat") + 4
    if damage == "half":
        content = content[: len(content) // 2]
    for place in random.Random(5).sample(range(start, len(content)), 300 if damage == "hurt" else 0):
        content[place] ^= 0xFF
    if damage == "header":
        content[start:] = bytes(len(content) - start)
    path = tmp_path / "in.mp4"
    path.write_bytes(content)
    ended = await probe(studio, path, decode=True)
    assert ended.measurements["decode.error_count"] > 0
    assert ended.measurements["decode.video_frame_count"] < (60 if damage != "hurt" else 61)


async def test_all_streams_are_decoded(studio, clips):
    """Two pictures and two sounds: every one of them counts."""
    film = clips.film()
    double = clips.make(
        "double.mkv", "-i", str(film), *("-map", "0:v", "-map", "0:v", "-map", "0:a", "-map", "0:a"), "-c", "copy"
    )
    ended = await probe(studio, double, decode=True)
    assert 120 == ended.measurements["decode.video_frame_count"]
    assert 0 == ended.measurements["decode.error_count"]


async def test_what_is_no_media_is_invalid(studio, tmp_path):
    """There is nothing to measure in it."""
    (tmp_path / "in.mp4").write_bytes(b"no media at all\n" * 100)
    ended = await probe(studio, tmp_path / "in.mp4", decode=True)
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, "INPUT_INVALID") == (ended.failure.kind, ended.failure.reason)


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ("sine=d=1", "detectScenes"),
        ("sine=d=1", "detectBlack"),
        ("color=d=1", "measureLoudness"),
        ("color=d=1", "detectSilence"),
    ],
)
async def test_what_is_not_there_cannot_be_measured(studio, clips, source, field):
    """Permanent, naming the stream that is missing."""
    path = clips.make(f"{source[:4]}.mkv", "-f", "lavfi", "-i", source)
    ended = await probe(studio, path, **{field: True})
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, "INPUT_MISSING_STREAM") == (ended.failure.kind, ended.failure.reason)


async def test_a_probe_takes_no_output(studio, clips):
    """It writes nothing: a place to write to is a misunderstanding."""
    ended = await studio.run(task(), {"main": clips.film()})
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, "OPTION_INVALID") == (ended.failure.kind, ended.failure.reason)
    assert [] == studio.left()


async def test_a_png_has_a_size(studio, clips):
    """Also where ffprobe has no decoder for it."""
    picture = clips.make("odd-still.png", "-f", "lavfi", "-i", "testsrc=s=123x45", "-frames:v", "1", "-update", "1")
    ended = await probe(studio, picture, decode=True)
    video = ended.inputs["main"].video[0]
    assert ("png", 123, 45) == (video.codec, video.width_px, video.height_px)
    assert (1, 0) == (ended.measurements["decode.video_frame_count"], ended.measurements["decode.error_count"])


async def test_a_png_can_be_transcoded(studio, clips, tools):
    """A film of one picture."""
    picture = clips.make("odd-still.png", "-f", "lavfi", "-i", "testsrc=s=123x45", "-frames:v", "1", "-update", "1")
    film = {"transcode": {"input": "main", "path": "o.mp4", "video": {"codec": "h264", "preset": "ultrafast"}}}
    await studio.succeed(film, {"main": picture})
    video = tools.video(studio.output / "o.mp4")
    assert (122, 44, "1") == (video["width"], video["height"], video["nb_read_packets"])
