"""Inputs that cannot work: a permanent failure, a reason, and FFmpeg's own words; nothing is published."""

from __future__ import annotations

import hashlib
import os
import random
import shlex
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from telecine_worker.failure import FailureKind
from telecine_worker.ffmpeg.progress import Phase, Snapshot
from telecine_worker.outcome import Failed, Succeeded
from telecine_worker.sandbox.confinement import NONE

TASK = {"transcode": {"input": "main", "path": "o.mp4", "video": {"codec": "h264", "preset": "ultrafast"}}}


async def failure(studio: Any, inputs: dict[str, Any], task: dict[str, Any] = TASK, **rest: Any) -> Any:
    """The failure of an attempt that has to fail and leave nothing."""
    ended = await studio.run(task, inputs, **rest)
    assert isinstance(ended, Failed), ended
    assert [] == studio.left()
    return ended.failure


@pytest.mark.parametrize("content", [b"", b"no media at all\n" * 100, random.Random(1).randbytes(5000)])
async def test_what_is_no_media_is_invalid(studio, tmp_path, content):
    """Empty, text and noise fail for good, in FFmpeg's words."""
    path = tmp_path / "in.mp4"
    path.write_bytes(content)
    found = await failure(studio, {"main": path})
    assert (FailureKind.PERMANENT, "INPUT_INVALID") == (found.kind, found.reason)
    assert "input main" in found.message
    assert "/proc/" not in found.message + found.log_tail
    assert "nvalid data found" in found.message


async def test_a_missing_input_is_permanent(studio, tmp_path):
    """What is not there is named, and not tried again."""
    found = await failure(studio, {"main": tmp_path / "nothing.mp4"})
    assert (FailureKind.PERMANENT, "INPUT_NOT_FOUND") == (found.kind, found.reason)
    assert "nothing.mp4" in found.message


async def test_an_input_outside_the_roots_is_refused(studio):
    """A file that exists but lies elsewhere is PATH_NOT_ALLOWED."""
    found = await failure(studio, {"main": Path("/etc/passwd")})
    assert (FailureKind.PERMANENT, "PATH_NOT_ALLOWED") == (found.kind, found.reason)


async def test_a_file_without_its_index_is_invalid(studio, clips, tmp_path):
    """An MP4 that was cut before its moov cannot be read, and FFmpeg says so."""
    late = clips.make("late.mp4", "-i", str(clips.film()), "-c", "copy", "-movflags", "0")
    (tmp_path / "cut.mp4").write_bytes(late.read_bytes()[:20000])
    found = await failure(studio, {"main": tmp_path / "cut.mp4"})
    assert (FailureKind.PERMANENT, "INPUT_INVALID") == (found.kind, found.reason)
    assert "moov atom not found" in found.message


async def test_half_a_file_never_succeeds(studio, clips, tmp_path):
    """FFmpeg ends with code 0 on the first half of a faststart MP4; the attempt does not."""
    film = clips.film().read_bytes()
    (tmp_path / "half.mp4").write_bytes(film[: len(film) // 2])
    found = await failure(studio, {"main": tmp_path / "half.mp4"})
    assert (FailureKind.PERMANENT, "INPUT_TRUNCATED") == (found.kind, found.reason)


async def test_a_missing_stream_is_permanent(studio, clips):
    """Video is asked of a file that has sound only."""
    sound = clips.make("sound.wav", "-f", "lavfi", "-i", "sine=duration=1")
    found = await failure(studio, {"main": sound})
    assert (FailureKind.PERMANENT, "INPUT_MISSING_STREAM") == (found.kind, found.reason)


async def test_a_checksum_is_checked(studio, clips):
    """The right SHA-256 passes; another one is refused before anything runs."""
    film = clips.film(size="64x64", seconds=1)
    digest = hashlib.sha256(film.read_bytes()).hexdigest()
    spec = studio.spec(TASK, {"main": film})
    spec.inputs["main"].sha256 = digest
    assert isinstance(await studio.attempt(spec).run(), Succeeded)
    (studio.output / "o.mp4").unlink()
    spec.inputs["main"].sha256 = "0" * 64
    ended = await studio.attempt(spec).run()
    assert isinstance(ended, Failed)
    found = ended.failure
    assert (FailureKind.PERMANENT, "INPUT_CHECKSUM_MISMATCH") == (found.kind, found.reason)


@pytest.mark.parametrize("inputs", [[], ["main", "other"]])
async def test_inputs_are_all_there_and_all_used(studio, clips, inputs):
    """A task that names an input the spec does not have, or a spec with one that nothing uses, is refused."""
    found = await failure(studio, dict.fromkeys(inputs, clips.film()))
    assert FailureKind.PERMANENT == found.kind
    assert found.reason in ("INPUT_UNKNOWN", "INPUT_UNUSED")


async def test_a_trim_past_the_end_is_refused(studio, clips):
    """A seek past the end would make an empty file with code 0; it is refused before."""
    task = {"transcode": {**TASK["transcode"], "trim": {"start": "100s"}}}
    found = await failure(studio, {"main": clips.film()}, task)
    assert (FailureKind.PERMANENT, "TRIM_OUT_OF_RANGE") == (found.kind, found.reason)


async def test_numbers_that_cannot_be_make_an_input_invalid(studio, clips, tmp_path):
    """An AVI of four billion pictures, one of them in every 68 years, is no defect of the worker."""
    film = clips.make("small.avi", "-i", str(clips.film(size="64x64", seconds=1)), "-c:v", "mpeg4", "-an")
    header = bytearray(film.read_bytes())
    stream = header.index(b"strh") + 8
    struct.pack_into("<II", header, stream + 20, 0x7FFFFFFF, 1)
    struct.pack_into("<I", header, stream + 32, 0xFFFFFFFF)
    (tmp_path / "in.avi").write_bytes(header)
    found = await failure(studio, {"main": tmp_path / "in.avi"})
    assert (FailureKind.PERMANENT, "INPUT_INVALID") == (found.kind, found.reason)


@pytest.mark.parametrize(("encoder", "codec"), [("dca", "dts"), ("truehd", "truehd"), ("mlp", "mlp")])
async def test_what_discs_have_is_readable(studio, clips, encoder, codec):
    """Their sound tracks: the pictures beside it can be used, and the sound, too."""
    film = (
        "-i",
        str(clips.film(size="64x64", seconds=1)),
        "-c:v",
        "copy",
        "-strict",
        "-2",
        "-ac",
        "2",
        "-c:a",
        encoder,
    )
    task = {"transcode": {**TASK["transcode"], "audio": {"codec": "aac"}}}
    ended = await studio.succeed(task, {"main": clips.make(f"{codec}.mkv", *film)})
    assert codec == ended.inputs["main"].audio[0].codec


def with_subtitles(clips: Any, path: Path, written: bytes) -> Path:
    """A film, at *path*, with subtitles that say that they are *written* (the name of a codec in Matroska)."""
    words, name = path.with_suffix(".srt"), b"S_TEXT/UTF8"
    words.write_text("1\n00:00:00,000 --> 00:00:01,000\nword\n")
    film = ("-i", str(clips.film(size="64x64", seconds=1)), "-i", str(words), "-c", "copy")
    content = clips.make("words.mkv", *film, "-map", "0", "-map", "1").read_bytes()
    assert 1 == content.count(name)
    path.write_bytes(content.replace(name, written.ljust(len(name), b"\0")))
    return path


@pytest.mark.parametrize(
    ("written", "codec"),
    [(b"S_HDMV/PGS", "hdmv_pgs_subtitle"), (b"S_VOBSUB", "dvd_subtitle"), (b"S_DVBSUB", "dvb_subtitle")],
)
async def test_pictures_of_subtitles_spoil_no_film(studio, clips, tmp_path, written, codec):
    """Those of discs and broadcasts are not made into anything; without their decoders the whole file is refused."""
    ended = await studio.succeed(TASK, {"main": with_subtitles(clips, tmp_path / "in.mkv", written)})
    assert [codec] == [each.codec for each in ended.inputs["main"].subtitles]


def mpeg_crc(section: bytes) -> bytes:
    """Of a section of a transport stream."""
    crc = 0xFFFFFFFF
    for byte in section:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return crc.to_bytes(4, "big")


async def test_teletext_spoils_no_broadcast(studio, clips, tools, tmp_path):
    """Many builds have a decoder for it, which ffprobe opens: the film is read, and its damage counted, all the same."""
    broadcast = tmp_path / "in.ts"
    subtitled = with_subtitles(clips, tmp_path / "in.mkv", b"S_DVBSUB")
    tools.ffmpeg("-i", str(subtitled), "-map", "0", "-c", "copy", str(broadcast))
    content = bytearray(broadcast.read_bytes())
    for at in range(0, len(content), 188):
        if content[at + 1 : at + 3] != b"\x50\x00":
            continue
        # A table of streams: what is described as subtitles (0x59) becomes teletext (0x56).
        begin = at + 5 + content[at + 4]
        end = begin + 3 + (int.from_bytes(content[begin + 1 : begin + 3], "big") & 0xFFF) - 4
        content[content.index(b"\x59\x08", begin, end)] = 0x56
        content[end : end + 4] = mpeg_crc(content[begin:end])
    broadcast.write_bytes(content)
    ended = await studio.succeed(TASK, {"main": broadcast})
    assert ["dvb_teletext"] == [each.codec for each in ended.inputs["main"].subtitles]
    spec = studio.spec({"probe": {"input": "main", "decode": True}}, {"main": broadcast})
    spec.ClearField("output")
    ended = await studio.attempt(spec).run()
    assert (30, 0) == tuple(ended.measurements[f"decode.{each}_count"] for each in ("video_frame", "error"))


async def test_a_codec_that_is_not_decoded_is_named(studio, clips):
    """Of the long tail; the list of the others is not quoted."""
    source = ("-f", "lavfi", "-i", "color=s=64x64:r=5:d=1", "-c:v", "qtrle")
    found = await failure(studio, {"main": clips.make("tail.mov", *source)})
    assert (FailureKind.PERMANENT, "INPUT_NOT_ALLOWED") == (found.kind, found.reason)
    assert "qtrle" in found.message
    assert "h264" not in found.message


@pytest.mark.parametrize("is_failing", [True, False])
async def test_a_disk_that_fails_is_not_the_films_fault(studio, clips, tmp_path, is_failing):
    """FFmpeg took what could not be read for the end of the film: read again, it is found to be the disk."""
    # Of its size it says nothing, which would be known before.
    film = tmp_path / "start.flv"
    whole = clips.make("whole.flv", "-i", str(clips.film(seconds=3)), "-an", "-c", "copy").read_bytes()
    film.write_bytes(whole[: len(whole) // 5])
    attempt = studio.attempt(studio.spec(TASK, {"main": film}))
    unreadable = os.open("/proc/self/mem", os.O_RDONLY)

    def fail(snapshot: Snapshot) -> None:
        # From then on the worker, not FFmpeg, finds errors where the film was.
        if snapshot.phase is Phase.ENCODING and snapshot.frame_count and is_failing:
            os.dup2(unreadable, attempt._work._opened.fds["main"])

    attempt._work._on_progress = fail
    ended = await attempt.run()
    os.close(unreadable)
    assert isinstance(ended, Failed)
    assert ("IO_ERROR" if is_failing else "INPUT_TRUNCATED") == ended.failure.reason
    assert (FailureKind.RETRYABLE if is_failing else FailureKind.PERMANENT) is ended.failure.kind


@pytest.mark.parametrize("is_failing", [True, False])
async def test_a_disk_that_fails_without_a_word_is_found_when_the_film_is_too_short(
    studio, clips, tmp_path, is_failing
):
    """FFmpeg said nothing and ended well, but a second is missing: then, too, the film is read again."""
    real = shlex.quote(str(studio.toolchain.ffmpeg))
    program = tmp_path / "ffmpeg"
    program.write_text(f'#!/bin/sh\ncase "$*" in *libx264*) exec {real} -ss 1 "$@";; *) exec {real} "$@";; esac\n')
    program.chmod(0o755)
    # The real one is out of a confined program's sight.
    studio.toolchain = replace(studio.toolchain, ffmpeg=program, confinement=NONE)
    attempt = studio.attempt(studio.spec(TASK, {"main": clips.film()}))
    unreadable = os.open("/proc/self/mem", os.O_RDONLY)

    def fail(snapshot: Snapshot) -> None:
        if snapshot.phase is Phase.ENCODING and snapshot.frame_count and is_failing:
            os.dup2(unreadable, attempt._work._opened.fds["main"])

    attempt._work._on_progress = fail
    ended = await attempt.run()
    os.close(unreadable)
    assert isinstance(ended, Failed)
    assert ("IO_ERROR" if is_failing else "INPUT_TRUNCATED") == ended.failure.reason
