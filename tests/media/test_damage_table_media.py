"""No damage is silent: containers, faults and policies, each encoded and copied, on the FFmpeg under test.

What nobody may hear is in the table by name. Two hundred zeros within one picture, or within sound that has no checksums, are
as good as any other bytes to most decoders. A stream that may begin anywhere, as transport streams, MP3 and ADTS may, is no
worse without its first bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from telecine_worker.outcome import Ended, Failed

PICTURES = ("-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25:duration=2")
NOISE = ("-f", "lavfi", "-i", "anoisesrc=r=48000:d=2:a=0.3:seed=3")
H264 = (*PICTURES, *NOISE, "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "10", "-bf", "0")
SOURCES: Mapping[str, tuple[str, ...]] = {
    "mp4": (*H264, "-c:a", "aac", "-movflags", "+faststart"),
    "mkv": (*H264, "-c:a", "aac"),
    "ts": (*H264, "-c:a", "aac"),
    "avi": (*PICTURES, *NOISE, "-c:v", "mpeg4", "-c:a", "mp3"),
    "flac": NOISE,
    "wav": NOISE,
    "ogg": (*NOISE, "-c:a", "libvorbis"),
    "mxf": (*PICTURES, *NOISE, "-c:v", "mpeg2video", "-c:a", "pcm_s16le"),
    "flv": (*H264, "-c:a", "aac"),
    "webm": (*PICTURES, *NOISE, "-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"),
    "nut": (*H264, "-c:a", "mp3"),
    "mp3": NOISE,
    "aac": (*NOISE, "-c:a", "aac"),
    "m4a": (*NOISE, "-c:a", "aac", "-movflags", "+faststart"),
    "mpg": (*PICTURES, *NOISE, "-c:v", "mpeg2video", "-c:a", "mp2"),
    "wmv": (*PICTURES, *NOISE, "-c:v", "wmv2", "-c:a", "wmav2"),
    "caf": NOISE,
    "aiff": NOISE,
}
FAIL, WARN = "DAMAGE_POLICY_FAIL", "DAMAGE_POLICY_WARN"
# The others take minutes.
USUAL = {
    "cut": ("mp4", "mkv", "ts", "avi", "wav", "ogg", "mxf"),
    "flipped": ("mp4", "ts", "flac"),
    "headless": ("mp4",),
    "whole": ("mp4", "ts", "flac"),
}
# Matroska, into which the others are copied, does not take what these hold.
NOT_COPIED = frozenset({"mpg", "wmv", "caf", "aiff"})
PICTURELESS = frozenset({"flac", "wav", "ogg", "mp3", "aac", "m4a", "caf", "aiff"})


def _flipped(content: bytes) -> bytes:
    """A bit in each of forty places of the middle half."""
    hurt, step = bytearray(content), len(content) // 80
    for place in range(len(content) // 4, len(content) * 3 // 4, step):
        hurt[place] ^= 0x10
    return bytes(hurt)


FAULTS: Mapping[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) * 6 // 10 // 188 * 188 + 7],
    "flipped": _flipped,
    "zeroed": lambda content: content[: len(content) // 2] + bytes(200) + content[len(content) // 2 + 200 :],
    "headless": lambda content: content[40:],
}
# What may be unheard, by the place that is hit and the decoder that is used.
UNHEARD = {
    *((container, "flipped") for container in ("webm", "wav", "caf", "aiff")),
    *(
        (container, "zeroed")
        for container in ("mp4", "mkv", "flv", "nut", "webm", "mpg", "wmv", "mxf", "wav", "caf", "aiff")
    ),
    *((container, "headless") for container in ("ts", "mp3", "aac")),
}
# What has no beginning may look like something else.
UNREADABLE = frozenset({"INPUT_INVALID", "INPUT_NOT_ALLOWED"})
# What does not say how large or how long it is ends where it ends: heard is that the last packet is not whole.
ENDLESS = frozenset({"nut", "aac", "mpg", "ts"})
RAW = {"ffmpeg": {"args": ["-i", "main", "-c", "copy", "o.mkv"], "outputs": ["o.mkv"]}}
PROBE = {"probe": {"input": "main", "decode": True}}


def tasks(container: str) -> list[dict[str, Any]]:
    """All of it encoded, and copied."""
    video = {} if container in PICTURELESS else {"video": {"codec": "h264", "preset": "ultrafast"}}
    encoded = {"input": "main", "path": "o.mp4" if video else "o.m4a", **video, "audio": {"codec": "aac"}}
    copied = {**encoded, "path": "o.mkv", "audio": {"codec": "copy"}, **({"video": {"codec": "copy"}} if video else {})}
    return [{"transcode": each} for each in ([encoded] if container in NOT_COPIED else [encoded, copied])]


def heard(ended: Ended) -> list[str]:
    """The reasons that are about the input."""
    if isinstance(ended, Failed):
        return [ended.failure.reason]
    return [str(each.reason) for each in ended.warnings if each.input_name == "main"]


def cells(*faults: str) -> list[Any]:
    """Each container with each of *faults*."""
    return [
        pytest.param(container, fault, marks=() if container in USUAL.get(fault, ()) else pytest.mark.long)
        for container in SOURCES
        for fault in faults
    ]


@pytest.mark.parametrize(("container", "fault"), cells(*FAULTS))
async def test_no_damage_is_silent(studio, clips, tmp_path: Path, container: str, fault: str) -> None:
    """With FAIL the job fails for its input's sake; with WARN it does only where there is nothing to read, or to copy."""
    whole = clips.make(f"table.{container}", *SOURCES[container]).read_bytes()
    source = tmp_path / f"hurt.{container}"
    source.write_bytes(FAULTS[fault](whole))
    for task in tasks(container):
        for policy in (FAIL, WARN):
            ended = await studio.run(task, {"main": source}, damagePolicy=policy)
            shutil.rmtree(studio.output, ignore_errors=True)
            reasons = heard(ended)
            assert {*reasons} <= {*UNREADABLE, "INPUT_DAMAGED", "INPUT_TRUNCATED"}, ended
            if (container, fault) in UNHEARD and not reasons:
                continue
            assert reasons, (task, policy)
            assert policy == WARN or isinstance(ended, Failed), task
            assert policy == FAIL or not isinstance(ended, Failed) or {*reasons} <= UNREADABLE, ended
            if fault == "cut" and container not in ENDLESS and not {*reasons} <= UNREADABLE:
                # What is copied is decoded first with FAIL, and that it is damaged is known before its end is.
                assert {"INPUT_TRUNCATED", "INPUT_DAMAGED" if task["transcode"]["audio"]["codec"] == "copy" else ""} & {
                    *reasons
                }


def between_tags(content: bytes) -> bytes:
    """The beginning of an FLV, up to where one of its parts ends."""
    end = 13
    while end < len(content) * 6 // 10:
        end += 15 + int.from_bytes(content[end + 1 : end + 4], "big")
    return content[:end]


@pytest.mark.parametrize(
    ("container", "cut"),
    [("flv", between_tags), ("mp3", FAULTS["cut"]), pytest.param("flac", FAULTS["cut"], marks=pytest.mark.long)],
)
async def test_what_is_shorter_than_it_says_is_heard_by_every_task(
    studio, clips, tmp_path: Path, container: str, cut: Callable[[bytes], bytes]
) -> None:
    """Nothing else is wrong with it: raw arguments that keep all of it fail, and looking at it says so."""
    source = tmp_path / f"hurt.{container}"
    source.write_bytes(cut(clips.make(f"table.{container}", *SOURCES[container]).read_bytes()))
    ended = await studio.run(RAW, {"main": source})
    assert isinstance(ended, Failed), ended
    assert "INPUT_TRUNCATED" == ended.failure.reason
    probed = await studio.succeed(PROBE, {"main": source}, damagePolicy=FAIL, output=None)
    assert ["INPUT_TRUNCATED"] == heard(probed)
    part = {"ffmpeg": {"args": ["-t", "0.5", *RAW["ffmpeg"]["args"]], "outputs": ["o.mkv"]}}
    assert () == (await studio.succeed(part, {"main": source})).warnings


STILLS: tuple[dict[str, Any], ...] = (
    {"thumbnails": {"input": "main", "path": "t%d.jpg", "count": 5}},
    {"thumbnails": {"input": "main", "path": "t%d.jpg", "offsets": {"offsets": ["0.2s", "1.8s"]}}},
    {"sprites": {"input": "main", "path": "s%d.jpg", "indexPath": "s.vtt", "interval": "0.5s"}},
)


@pytest.mark.parametrize("task", STILLS, ids=["thumbnails", "offsets", "sprites"])
async def test_stills_of_what_is_missing_are_not_the_last_picture(studio, clips, tmp_path: Path, task) -> None:
    """Where only the container says how long it is, by its sound as well; a whole one has no fault."""
    whole = clips.make("table.flv", *SOURCES["flv"])
    (tmp_path / "cut.flv").write_bytes(between_tags(whole.read_bytes()))
    ended = await studio.run(task, {"main": tmp_path / "cut.flv"})
    assert isinstance(ended, Failed), ended
    assert "INPUT_TRUNCATED" == ended.failure.reason
    assert () == (await studio.succeed(task, {"main": whole}, damagePolicy=FAIL)).warnings


def chunk(content: bytes, name: bytes, size: bytes) -> bytes:
    """With *size* in the header of the chunk *name*."""
    at = content.index(name) + 4
    return content[:at] + size + content[at + len(size) :]


STREAMED: Mapping[str, tuple[str, Callable[[bytes], bytes]]] = {
    "wav": ("wav", lambda content: chunk(content, b"data", b"\xff\xff\xff\xff")),
    "wav of nothing": ("wav", lambda content: chunk(content, b"data", bytes(4))),
    "wav of two gigabytes": ("wav", lambda content: chunk(content, b"data", b"\x00\xf0\xff\x7f")),
    "caf": ("caf", lambda content: chunk(content, b"data", b"\xff" * 8)),
    "ts and a line feed": ("ts", lambda content: content + b"\n"),
    "ts between key frames": ("ts", lambda content: content[188 * 40 :]),
    "mp4 with less room than it says": ("mp4", lambda content: content + b"\x00\x01\x00\x00free" + bytes(92)),
    "two ogg": ("ogg", lambda content: content + content),
}


@pytest.mark.parametrize("name", STREAMED)
async def test_what_was_recorded_is_whole(studio, clips, tmp_path: Path, name: str) -> None:
    """Headers are written before the size is known, and a recording begins and stops anywhere: that is no damage."""
    container, recorded = STREAMED[name]
    source = tmp_path / f"recorded.{container}"
    source.write_bytes(recorded(clips.make(f"table.{container}", *SOURCES[container]).read_bytes()))
    ended = await studio.succeed(tasks(container)[0], {"main": source}, damagePolicy=FAIL)
    assert () == ended.warnings
    if name == "two ogg":
        assert abs(ended.artifacts[0].media.duration.total_seconds() - 4) < 0.1


@pytest.mark.parametrize(("policy", "kind"), [("DAMAGE_POLICY_UNSPECIFIED", "Succeeded"), (FAIL, "Failed")])
async def test_a_recording_that_stops_within_a_packet_is_used(studio, clips, tmp_path: Path, policy, kind) -> None:
    """It says nothing of its length: that it is damaged is a warning, unless any damage is a failure."""
    source = tmp_path / "recorded.ts"
    source.write_bytes(FAULTS["cut"](clips.make("table.ts", *SOURCES["ts"]).read_bytes()))
    ended = await studio.run(tasks("ts")[0], {"main": source}, damagePolicy=policy)
    assert (kind, {"INPUT_DAMAGED"}) == (type(ended).__name__, {*heard(ended)})
    said = [ended.failure.message] if isinstance(ended, Failed) else [each.message for each in ended.warnings]
    assert any("its last packet is cut off" in each for each in said)


@pytest.mark.parametrize(("container", "fault"), cells("whole"))
async def test_what_is_whole_has_no_warnings(studio, clips, container: str, fault: str) -> None:
    """What is strict with damage lets the rest alone: *fault* is none."""
    source = clips.make(f"table.{container}", *SOURCES[container])
    for task in tasks(container):
        ended = await studio.succeed(task, {"main": source}, damagePolicy=FAIL)
        assert () == ended.warnings
        shutil.rmtree(studio.output)
