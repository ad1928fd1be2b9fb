"""Why FFmpeg ended: lines first, codes second, in the words of old and new builds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from telecine_worker.failure import FailureKind
from telecine_worker.ffmpeg.failure_kinds import failure_of, is_interruption, last_error, verdict_of
from telecine_worker.ffmpeg.process import Exit, Usage

P, R, C, U = FailureKind.PERMANENT, FailureKind.RETRYABLE, FailureKind.CRASH, FailureKind.UNKNOWN
HARDWARE = "HARDWARE_FAILED"


@pytest.mark.parametrize(
    ("code", "line", "kind", "reason"),
    [
        (1, "[mov @] [error] moov atom not found", P, "INPUT_INVALID"),
        (183, "[in#0 @] [error] Error opening input: Invalid data found when processing input", P, "INPUT_INVALID"),
        (1, "[matroska @] [error] EBML header parsing failed", P, "INPUT_INVALID"),
        (1, "[mov @] [error] stream 0, offset 0x5f0: partial file", P, "INPUT_TRUNCATED"),
        (69, "[error] Decode error rate 0.1 exceeds maximum 0", P, "INPUT_DAMAGED"),
        (1, "[error] Stream map '0:a' matches no streams.", P, "INPUT_MISSING_STREAM"),
        (234, "[out#0 @] [error] Output file does not contain any stream", P, "INPUT_MISSING_STREAM"),
        (1, "[hls @] [error] Format not on whitelist 'mov,matroska'", P, "INPUT_NOT_ALLOWED"),
        (1, "[file @] [error] Protocol 'http' not on whitelist 'file,pipe'!", P, "INPUT_NOT_ALLOWED"),
        (1, "[concat @] [error] Unsafe file name '/etc/passwd'", P, "INPUT_NOT_ALLOWED"),
        (1, "[png @] [error] Picture size 24000x24000 is invalid", P, "INPUT_OVER_LIMIT"),
        (1, "[fatal] Unrecognized option 'x'.", P, "OPTION_INVALID"),
        (8, "[error] Option not found", U, "FFMPEG_FAILED"),
        (8, "[fatal] Unknown encoder 'libfoo'", P, "ENCODER_MISSING"),
        (187, "[libx264 @] [error] width not divisible by 2 (321x241)", P, "OPTION_INVALID"),
        (1, "[error] Cannot load libcuda.so.1", R, "HARDWARE_FAILED"),
        (1, "[error] av_interleaved_write_frame(): No space left on device", R, "NO_SPACE"),
        (228, "", R, "NO_SPACE"),
        (134, "", R, "NO_SPACE"),
        (244, "[error] Cannot allocate memory", R, "OUT_OF_MEMORY"),
        (251, "", R, "IO_ERROR"),
        (1, "[error] Input/output error", R, "IO_ERROR"),
        (1, "[warning] Output file is empty, nothing was encoded", P, "OUTPUT_EMPTY"),
        (125, "telecine-launcher: /x: No such file or directory", R, "LAUNCH_FAILED"),
        (1, "telecine-launcher: /x: No such file or directory", R, "STAGING_LOST"),
        (1, "telecine-launcher: no", U, "FFMPEG_FAILED"),
        (125, "[error] telecine-launcher: no", U, "FFMPEG_FAILED"),
        (125, "", U, "FFMPEG_FAILED"),
        (183, "", P, "INPUT_INVALID"),
        (1, "[error] something new", U, "FFMPEG_FAILED"),
        (1, "", U, "FFMPEG_FAILED"),
        (255, "", C, "FFMPEG_CRASHED"),
        (255, "[error] file:out.mp4: Operation not permitted", P, "OUTPUT_NOT_WRITABLE"),
        (255, "[warning] in.ts: corrupt input packet in stream 0", C, "FFMPEG_CRASHED"),
        (255, "[h264 @] [error] Invalid NAL unit size", C, "FFMPEG_CRASHED"),
        (255, "[info]     title           : Operation not permitted", C, "FFMPEG_CRASHED"),
        (255, "[h264_nvenc @] [error] Cannot load libcuda.so.1: Operation not permitted", R, "HARDWARE_FAILED"),
        (251, "[vost#0:0/h264_vaapi @ 0x5] [error] Task finished: -5 (Input/output error)", R, HARDWARE),
        (244, "[h264_qsv @ 0x5] [error] Error creating a session: Cannot allocate memory", R, HARDWARE),
        (255, "[AVHWDeviceContext @ 0x5] [error] Failed to open the device: Operation not permitted", R, HARDWARE),
        (244, "[Parsed_hwupload_1 @ 0x5] [error] Upload failed: Cannot allocate memory", R, HARDWARE),
        (251, "[vost#0:0/libx264 @ 0x5] [error] Task finished: -5 (Input/output error)", R, "IO_ERROR"),
        (1, "[in#0/mov @] [error] h264_nvenc @ 0x5] [error] Input/output error", R, "IO_ERROR"),
        (1, "[info]     title           : No space left on device", U, "FFMPEG_FAILED"),
        (1, "[in#0 @] [verbose] No space left on device", U, "FFMPEG_FAILED"),
        (1, "                     : [error] No space left on device", U, "FFMPEG_FAILED"),
        (1, "x265 [error]: malloc of size 4096 failed", R, "OUT_OF_MEMORY"),
        (1, "[in#0/mpegts @] [error] Error during demuxing: Input/output error", R, "IO_ERROR"),
        (-35, "", C, "FFMPEG_CRASHED"),
        (-9, "[error] moov atom not found", C, "FFMPEG_CRASHED"),
        (-11, "", C, "FFMPEG_CRASHED"),
        (139, "", C, "FFMPEG_CRASHED"),
        (-25, "", P, "OUTPUT_TOO_LARGE"),
        (-24, "", P, "CPU_LIMIT"),
    ],
)
def test_the_table(code, line, kind, reason):
    """One way of ending, one verdict."""
    verdict, _ = verdict_of(code, [line] if line else [])
    assert (kind, reason) == (verdict.kind, verdict.reason)


def test_the_launcher_speaks_alone():
    """A media file whose texts end a line and begin the next one as the launcher would says nothing about the worker."""
    lines = [
        "[matroska @] [warning] DocType x",
        "telecine-launcher: no",
        "[error] Decode error rate 1 exceeds maximum 0",
    ]
    assert "INPUT_DAMAGED" == verdict_of(69, lines)[0].reason
    assert "FFMPEG_FAILED" == verdict_of(125, lines[:2])[0].reason


def test_a_cause_comes_before_its_consequences():
    """A disk that is full also makes the trailer fail; a refused format also is invalid data."""
    full = ["[error] No space left on device", "[error] Error writing trailer: Invalid argument"]
    refused = ["[error] Invalid data found when processing input", "[hls @] Format not on whitelist"]
    assert "NO_SPACE" == verdict_of(1, full)[0].reason
    assert "INPUT_NOT_ALLOWED" == verdict_of(1, refused)[0].reason
    damaged = ["[error] Error reinitializing filters!", "[aac @] [error] channel element 2.12 is not allocated"]
    assert "INPUT_DAMAGED" == verdict_of(1, damaged)[0].reason
    failing = ["[mov @] [error] stream 0: partial file", "[in#0 @] [error] Error during demuxing: Input/output error"]
    assert "IO_ERROR" == verdict_of(1, failing)[0].reason


def test_a_codec_that_is_refused_is_named_and_the_list_is_not():
    """The list is longer than any message."""
    line = "[dca @] [error] Codec (dca) not on whitelist 'h264,hevc'"
    assert "Codec (dca) not on whitelist" == verdict_of(1, [line])[1]


@pytest.mark.parametrize(("code", "is_one"), [(255, True), (-15, True), (-2, True), (-9, False), (1, False)])
def test_who_ends_the_whole_group_ends_ffmpeg_too(code, is_one):
    """SIGTERM and SIGINT, by signal or as FFmpeg tells them."""
    failed = failure_of(Exit(code=code, stopped=False, usage=Usage(), log_lines=(), log_tail=""), "encoding")
    assert failed is not None
    assert is_one == is_interruption(failed.failure)


def test_the_message_quotes_ffmpeg_without_its_tags():
    """The line that decided, and what was being done."""
    ended = Exit(
        code=1,
        stopped=False,
        usage=Usage(cpu=timedelta(0)),
        log_lines=("[mov,mp4 @] [error] moov atom not found",),
        log_tail="the tail",
    )
    failed = failure_of(ended, "encoding")
    assert failed is not None
    failure = failed.failure
    assert "FFmpeg could not read the input as media while encoding: moov atom not found" == failure.message
    assert ("the tail", 1) == (failure.log_tail, failure.exit_code)


def ended_well(line: str) -> Exit:
    """Code 0, with a last line."""
    return Exit(code=0, stopped=False, usage=Usage(), log_lines=("[warning] x", line), log_tail="the tail")


@pytest.mark.parametrize("said", ["No space left on device", "File too large", "Input/output error"])
def test_code_0_hides_no_failure_to_write(said):
    """FFmpeg 5 says so in its last words, and in its code nothing."""
    for line in (f"[error] Error writing trailer of file:o.mkv: {said}", f"[error] Error closing file o.ts: {said}"):
        failed = failure_of(ended_well(line), "encoding")
        assert failed is not None
        assert said in failed.failure.message


@pytest.mark.parametrize(
    "line", ["[error] main: Input/output error", "[in#0 @] [error] Error during demuxing: Input/output error"]
)
def test_code_0_hides_no_failure_to_read(line):
    """To FFmpeg it is the end of the file."""
    failed = failure_of(ended_well(line), "encoding")
    assert failed is not None
    assert (R, "IO_ERROR") == (failed.failure.kind, failed.failure.reason)


@pytest.mark.parametrize(
    "line",
    [
        "[error] Invalid NAL unit size",
        "[warning] No space left on device",
        "x265 [info]: done",
        "[info] title: Input/output error",
    ],
)
def test_code_0_is_believed_otherwise(line):
    """What a decoder or a stray warning says is verification's to judge."""
    assert failure_of(ended_well(line), "encoding") is None


def test_ffmpegs_own_words_are_its_last_error():
    """Warnings and the encoder's chatter after it do not hide it."""
    said = ["[warning] deprecated", "[libx264 @] [error] broken", "[warning] x264 frame I:1", "x265 [info]: done"]
    assert "broken" == last_error(said)
    assert "only this" == last_error(["only this"])
    assert "" == last_error([])
