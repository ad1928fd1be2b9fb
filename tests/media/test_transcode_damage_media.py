"""Damaged sources: what fails, what is a warning, and that nothing is silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from telecine_worker.failure import FailureKind
from telecine_worker.ffmpeg.warning import WarningReason
from telecine_worker.outcome import Failed

VIDEO = {"codec": "h264", "preset": "ultrafast"}
FAIL, WARN = "DAMAGE_POLICY_FAIL", "DAMAGE_POLICY_WARN"


def transcode(extension: str = "mp4", **fields: Any) -> dict[str, Any]:
    """Pictures and sound."""
    streams = {"video": VIDEO, "audio": {"codec": "aac"}}
    return {"transcode": {"input": "main", "path": f"o.{extension}", **streams, **fields}}


def film(clips: Any, extension: str) -> bytes:
    """Three seconds of pictures and sound, indexed at the front where the container can be; key frames once a second."""
    made: Path = clips.make(
        f"three.{extension}", "-i", str(clips.film(seconds=3)), "-g", "25", "-bf", "0", "-preset", "veryfast",
        *(("-c:v", "mpeg4", "-c:a", "mp3") if extension == "avi" else ("-c:v", "libx264", "-c:a", "aac")),
        *(("-movflags", "+faststart") if extension == "mp4" else ()),
    )  # fmt: skip
    return made.read_bytes()


def half(clips: Any, folder: Path, extension: str) -> Path:
    """Cut off at six tenths of its bytes."""
    whole, path = film(clips, extension), folder / f"half.{extension}"
    path.write_bytes(whole[: len(whole) * 6 // 10])
    return path


def hurt(clips: Any, folder: Path, extension: str) -> Path:
    """As long as ever, with 3000 bytes in the middle that are not what they were."""
    content, path = bytearray(film(clips, extension)), folder / f"hurt.{extension}"
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(byte ^ 0x55 for byte in content[middle : middle + 3000])
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("extension", ["mp4", "mkv", "ts"])
async def test_errors_within_a_source_are_warnings_or_failures(studio, clips, tools, tmp_path, extension):
    """By itself the job succeeds, and says how often FFmpeg complained, about which input; with FAIL it fails for good."""
    source = hurt(clips, tmp_path, extension)
    ended = await studio.succeed(transcode(), {"main": source})
    assert [WarningReason.INPUT_DAMAGED] == [each.reason for each in ended.warnings]
    assert "main" == ended.warnings[0].input_name
    assert 0 < ended.warnings[0].count < 200
    assert abs(int(tools.video(studio.output / "o.mp4")["nb_read_packets"]) - 90) <= 10
    (studio.output / "o.mp4").unlink()
    failed = await studio.run(transcode(), {"main": source}, damagePolicy=FAIL)
    assert isinstance(failed, Failed)
    assert (FailureKind.PERMANENT, "INPUT_DAMAGED") == (failed.failure.kind, failed.failure.reason)
    assert "input main" in failed.failure.message
    assert [] == studio.left()


@pytest.mark.parametrize("extension", ["mp4", "mkv", "avi"])
@pytest.mark.parametrize("policy", ["DAMAGE_POLICY_UNSPECIFIED", FAIL])
async def test_a_source_that_ends_early_fails(studio, clips, tmp_path, extension, policy):
    """For good, whatever its container, though FFmpeg ends with code 0."""
    ended = await studio.run(transcode(), {"main": half(clips, tmp_path, extension)}, damagePolicy=policy)
    assert isinstance(ended, Failed)
    assert (FailureKind.PERMANENT, "INPUT_TRUNCATED") == (ended.failure.kind, ended.failure.reason)
    assert [] == studio.left()


@pytest.mark.parametrize("extension", ["mp4", "mkv", "avi"])
async def test_what_is_there_is_used_where_the_caller_says_so(studio, clips, tools, tmp_path, extension):
    """With WARN a source that ends early gives what it has: the result decodes, and two warnings say what was found."""
    ended = await studio.succeed(transcode(), {"main": half(clips, tmp_path, extension)}, damagePolicy=WARN)
    assert WarningReason.INPUT_TRUNCATED in [each.reason for each in ended.warnings]
    assert 30 < int(tools.video(studio.output / "o.mp4")["nb_read_packets"]) < 75
    duration = ended.artifacts[0].media.duration
    assert duration is not None
    assert 1 < duration.total_seconds() < 2.5


@pytest.mark.parametrize("policy", ["DAMAGE_POLICY_UNSPECIFIED", FAIL, WARN])
async def test_a_sound_source_has_no_warnings(studio, clips, policy):
    """Whole and cut, with pictures that look at others over key frames."""
    opened = clips.make(
        "open.mp4", "-i", str(clips.film(seconds=3)), "-c:v", "libx264", "-x264-params", "open-gop=1:keyint=30:bframes=3",
        "-c:a", "copy",
    )  # fmt: skip
    for trim in ({}, {"start": "1.1s", "end": "2.2s"}):
        ended = await studio.succeed(transcode(trim=trim), {"main": opened}, damagePolicy=policy)
        assert () == ended.warnings


async def test_two_passes_count_the_same_damage_once(studio, clips, tmp_path):
    """Each decodes the source: it has no more errors for that."""
    source = hurt(clips, tmp_path, "mp4")
    once = await studio.succeed(transcode(), {"main": source})
    video = {**VIDEO, "bitrateBps": 200000, "twoPass": True}
    twice = await studio.succeed(transcode(video=video), {"main": source})
    assert [each.count for each in once.warnings] == [each.count for each in twice.warnings]


@pytest.mark.parametrize("policy", ["DAMAGE_POLICY_UNSPECIFIED", FAIL, WARN])
async def test_a_probe_counts_damage_whatever_the_policy(studio, clips, tmp_path, policy):
    """It measures just that."""
    task = {"probe": {"input": "main", "decode": True}}
    spec = studio.spec(task, {"main": hurt(clips, tmp_path, "mp4")}, damagePolicy=policy)
    spec.ClearField("output")
    ended = await studio.attempt(spec).run()
    assert ended.measurements["decode.error_count"] > 0


async def test_what_is_copied_has_the_faults_of_its_source(studio, clips, tmp_path):
    """They are its warnings where the copy does not decode, and fail the job with FAIL, of which nothing is copied then."""
    copy = transcode("mkv", video={"codec": "copy"}, audio={"codec": "copy"})
    source = hurt(clips, tmp_path, "mp4")
    ended = await studio.succeed(copy, {"main": source}, damagePolicy=WARN)
    assert [WarningReason.INPUT_DAMAGED] == [each.reason for each in ended.warnings]
    failed = await studio.run(copy, {"main": source}, damagePolicy=FAIL)
    assert isinstance(failed, Failed)
    assert "INPUT_DAMAGED" == failed.failure.reason


async def test_the_damaged_one_of_several_inputs_is_named(studio, clips, tmp_path):
    """By what FFmpeg says, or by its size."""
    task = {"ffmpeg": {"args": ["-i", "a", "-i", "b", "-map", "0:v", "-map", "1:a", "o.mp4"], "outputs": ["o.mp4"]}}
    good = clips.film(seconds=1)
    for bad in (hurt(clips, tmp_path, "mp4"), half(clips, tmp_path, "mp4")):
        ended = await studio.succeed(task, {"a": good, "b": bad}, damagePolicy=WARN)
        assert {"b"} == {each.input_name for each in ended.warnings}


@pytest.mark.parametrize("container", ["mp4", "mkv"])
async def test_a_waveform_of_a_film_that_ends_early_is_drawn(studio, clips, tmp_path, container):
    """How long the sound is, is what its own step told."""
    task = {"audio": {"input": "main", "path": "a.m4a", "audio": {"codec": "aac"}, "waveformPath": "w.png"}}
    ended = await studio.succeed(task, {"main": half(clips, tmp_path, container)}, damagePolicy=WARN)
    assert ["a.m4a", "w.png"] == [each.path for each in ended.artifacts]
    assert WarningReason.INPUT_TRUNCATED in [each.reason for each in ended.warnings]
