"""Loudness after EBU R128, measured again in the result."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from telecine_worker.ffmpeg.warning import WarningReason

_MEASURED = re.compile(r'"input_(i|tp)" : "([^"]*)"')


def loudness(tools: Any, path: Path) -> dict[str, float]:
    """Integrated ("i", LUFS) and true peak ("tp", dBTP) of a file."""
    said = tools.ffmpeg("-i", str(path), "-map", "0:a:0", "-af", "loudnorm=print_format=json", "-f", "null", "-")
    return {name: float(value) for name, value in _MEASURED.findall(said)}


def transcode(path: str, audio: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Of the sound of input "main"."""
    return {"transcode": {"input": "main", "path": path, "audio": audio, **fields}}


def speech(clips: Any, name: str, volume: float, layout: str = "stereo", seconds: int = 5) -> Path:
    """Noise that comes and goes, as quiet as *volume*."""
    noise = f"anoisesrc=color=pink:seed=7:duration={seconds}:sample_rate=44100:amplitude=0.5"
    graph = f"{noise},tremolo=f=2:d=0.6,volume={volume},aformat=channel_layouts={layout}"
    path: Path = clips.make(name, "-f", "lavfi", "-i", graph, "-c:a", "pcm_s16le")
    return path


@pytest.mark.parametrize(
    ("audio", "extension", "target"),
    [
        ({"codec": "aac", "loudness": {}}, "m4a", -16),
        ({"codec": "opus", "loudness": {"integratedLufs": -23}}, "opus", -23),
        ({"codec": "pcm_s16le", "loudness": {"integratedLufs": -20}, "channelCount": 1}, "wav", -20),
    ],
)
async def test_the_result_is_as_loud_as_asked_for(studio, clips, tools, audio, extension, target):
    """Within half a unit, whatever the channels become, at a rate of its own; input and plan are told."""
    source = speech(clips, "quiet.wav", 0.05)
    ended = await studio.succeed(transcode(f"o.{extension}", audio), {"main": source})
    assert abs(loudness(tools, studio.output / f"o.{extension}")["i"] - target) <= 0.5
    assert abs(ended.measurements["loudness.integrated_lufs"] - loudness(tools, source)["i"]) <= 3.1
    assert target == ended.measurements["loudness.target_integrated_lufs"]
    assert ("loudness.offset_lu" in ended.measurements, "loudness.range_lu" in ended.measurements) == (False, True)
    rate = tools.audio(studio.output / f"o.{extension}")["sample_rate"]
    assert ("48000" if extension == "opus" else "44100") == rate


@pytest.mark.parametrize(("order", "trim"), [((1.0, 0.05), {"start": "3s"}), ((0.05, 1.0), {"end": "3s"})])
async def test_only_the_wanted_part_is_measured(studio, clips, tools, order, trim):
    """The quiet half of a file whose other half is loud."""
    halves = [speech(clips, f"half-{volume}.wav", volume, seconds=3) for volume in order]
    source = clips.make(
        f"both-{order[0]}.wav", "-i", str(halves[0]), "-i", str(halves[1]), "-lavfi", "concat=n=2:v=0:a=1"
    )
    ended = await studio.succeed(
        transcode("o.wav", {"codec": "pcm_s16le", "loudness": {}}, trim=trim), {"main": source}
    )
    assert abs(loudness(tools, studio.output / "o.wav")["i"] + 16) <= 0.5
    assert abs(ended.measurements["loudness.integrated_lufs"] - loudness(tools, halves[order.index(0.05)])["i"]) <= 0.3


async def test_a_trim_is_exact_beside_loudness(studio, clips, tools):
    """The end is said to the input as well: every wanted picture is there, and the sound is as long."""
    video = {"codec": "h264", "preset": "ultrafast"}
    trim = {"start": "0.5s", "end": "1.5s"}
    task = transcode("o.mp4", {"codec": "aac", "loudness": {}}, video=video, trim=trim)
    ended = await studio.succeed(task, {"main": clips.film()})
    assert "30" == tools.video(studio.output / "o.mp4")["nb_read_packets"]
    assert tools.ssim(studio.output / "o.mp4", clips.film(), "select='between(n,15,44)'") >= 0.95
    assert abs(ended.artifacts[0].media.audio[0].duration.total_seconds() - 1) < 0.05


async def test_silence_passes_unchanged(studio, clips, tools):
    """Nothing is measured, and nothing is done."""
    source = clips.make("silence.wav", "-f", "lavfi", "-i", "anullsrc=r=48000:cl=stereo:d=2", "-t", "2")
    ended = await studio.succeed(transcode("o.flac", {"codec": "flac", "loudness": {}}), {"main": source})
    assert "loudness.integrated_lufs" not in ended.measurements
    assert loudness(tools, studio.output / "o.flac")["i"] == float("-inf")


async def test_what_is_louder_than_the_filter_takes_is_made_quieter(studio, clips, tools):
    """A square wave at full scale in both channels measures above 0 LUFS."""
    wave = "aevalsrc='sgn(sin(2*PI*1000*t))|sgn(sin(2*PI*1000*t))':s=48000:d=4"
    source = clips.make("square.wav", "-f", "lavfi", "-i", wave, "-c:a", "pcm_f32le")
    ended = await studio.succeed(transcode("o.wav", {"codec": "pcm_s16le", "loudness": {}}), {"main": source})
    assert ended.measurements["loudness.integrated_lufs"] > 0
    assert abs(loudness(tools, studio.output / "o.wav")["i"] + 16) <= 0.5


async def test_surround_sound_keeps_its_channels(studio, clips, tools):
    """Six channels, as loud as asked for."""
    source = speech(clips, "six.wav", 0.05, layout="5.1")
    await studio.succeed(transcode("o.m4a", {"codec": "aac", "loudness": {}}), {"main": source})
    assert 6 == tools.audio(studio.output / "o.m4a")["channels"]
    assert abs(loudness(tools, studio.output / "o.m4a")["i"] + 16) <= 0.5


@pytest.mark.parametrize(("peaks", "warned"), [("0", False), ("if(lt(mod(t,1),0.001),0.9,0)", True)])
async def test_it_is_said_where_one_volume_does_not_do(studio, clips, peaks, warned):
    """A quiet tone alone is made louder evenly, however even it is; with clicks near full scale it is compressed, and told."""
    tone = f"aevalsrc='0.05*sin(2000*t)+{peaks}':s=48000:d=4"
    source = clips.make(f"tone-{warned}.wav", "-f", "lavfi", "-i", tone)
    ended = await studio.succeed(transcode("o.wav", {"codec": "pcm_s16le", "loudness": {}}), {"main": source})
    assert [WarningReason.LOUDNESS_COMPRESSED] * warned == [each.reason for each in ended.warnings]
    if warned:
        lufs, said = ended.measurements["loudness.integrated_lufs"], ended.warnings[0].message
        assert f"It has {lufs:.2f} LUFS, peaks at" in said
        assert "cannot be made -16.00 LUFS loud by one volume" in said
