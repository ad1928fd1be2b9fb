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
ENDLESS = frozenset({"nut", "aac", "mpg"})


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


@pytest.mark.parametrize(("container", "fault"), cells("whole"))
async def test_what_is_whole_has_no_warnings(studio, clips, container: str, fault: str) -> None:
    """What is strict with damage lets the rest alone: *fault* is none."""
    source = clips.make(f"table.{container}", *SOURCES[container])
    for task in tasks(container):
        ended = await studio.succeed(task, {"main": source}, damagePolicy=FAIL)
        assert () == ended.warnings
        shutil.rmtree(studio.output)
