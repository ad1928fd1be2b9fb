"""Whether a finished file is what was planned. Exit code 0 says little: a half input, for one, ends with it.

Checked in this order: it is there and not empty; streams, codecs and sizes; duration; the number of pictures; a clean
decode (of all of it when it is short, of its first and last seconds when it is long); the index at the front. After the
reference, 2.4.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg import boxes, whitelists
from telecine_worker.ffmpeg.expected import Expected, ExpectedAudio, ExpectedVideo
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.ffmpeg.probe import Probed, probe
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Block
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY, Surroundings, run_ffmpeg

WHOLE_DECODE = timedelta(seconds=20)
EDGE_SECONDS = 10
# Seeking in these lands between key frames, where a decoder complains about what it has not seen.
SEEKS_INEXACTLY = frozenset({"mpegts"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What the file turned out to be, frame counts included; None for what is neither sound nor picture."""

    info: MediaInfo | None


async def verify(
    around: Surroundings,
    fd: int,
    expected: Expected,
    *,
    encoded_frames: int | None,
    on_block: Callable[[Block], None],
    on_usage: Callable[[Usage], None],
) -> Verified:
    """Check the open file *fd*. *encoded_frames* is what the encoder says it made, None where it cannot be told.

    Raises AttemptFailed VERIFICATION_FAILED, OUTPUT_EMPTY; Stopped.
    """
    if os.fstat(fd).st_size == 0:
        raise AttemptFailed(FailureKind.PERMANENT, "OUTPUT_EMPTY", f"{expected.path} is empty")
    if not expected.decodable:
        return Verified(info=None)
    probed = await _probe(around, fd, expected, on_usage)
    info = probed.info
    _check_streams(info, expected)
    _check_duration(info, expected)
    _check_frames(probed, expected, encoded_frames)
    # In a thread: it reads the file.
    if expected.moov_first and not await asyncio.to_thread(boxes.index_first, fd):
        raise not_as_planned(expected, "its index (moov) is not before its data (mdat)")
    for arguments in decode_ranges(info):
        await _decode(around, fd, expected, arguments, on_block, on_usage)
    return Verified(info=info)


async def _probe(around: Surroundings, fd: int, expected: Expected, on_usage: Callable[[Usage], None]) -> Probed:
    try:
        probed = await probe(around, fd, name=expected.path, count_packets=True)
    except AttemptFailed as error:
        if error.failure.kind in (FailureKind.RETRYABLE, FailureKind.CRASH):
            raise
        raise not_as_planned(
            expected, f"it cannot be probed: {error.failure.message}", error.failure.log_tail
        ) from error
    on_usage(probed.usage)
    return probed


def _check_streams(info: MediaInfo, expected: Expected) -> None:
    if info.format not in expected.formats:
        raise not_as_planned(expected, f"its container is {info.format}, planned was {' or '.join(expected.formats)}")
    if not expected.exact_streams:
        return
    if info.subtitles or info.other_streams:
        raise not_as_planned(expected, "it has streams besides video and audio")
    _check_count(expected, "video", len(info.video), expected.video)
    _check_count(expected, "audio", len(info.audio), expected.audio)
    if expected.video is not None:
        _check_video(info.video[0], expected.video, expected)
    if expected.audio is not None:
        _check_audio(info.audio[0], expected.audio, expected)


def _check_count(expected: Expected, kind: str, found: int, wanted: object | None) -> None:
    planned = 0 if wanted is None else 1
    if found != planned:
        raise not_as_planned(expected, f"it has {found} {kind} streams, planned was {planned}")


def _check_video(found: VideoStream, wanted: ExpectedVideo, expected: Expected) -> None:
    _check_same(expected, "video codec", found.codec, wanted.codec)
    _check_same(expected, "width", found.coded_width_px, wanted.width_px)
    _check_same(expected, "height", found.coded_height_px, wanted.height_px)
    _check_same(expected, "pixel format", found.pixel_format, wanted.pixel_format)


def _check_audio(found: AudioStream, wanted: ExpectedAudio, expected: Expected) -> None:
    _check_same(expected, "audio codec", found.codec, wanted.codec)
    # Opus is always played at 48 kHz, whatever went in.
    rate = wanted.sample_rate_hz if wanted.codec != "opus" else None
    _check_same(expected, "sample rate", found.sample_rate_hz, rate)
    _check_same(expected, "number of channels", found.channel_count, wanted.channel_count)


def _check_same(expected: Expected, what: str, found: str | int, wanted: str | int | None) -> None:
    if wanted and found != wanted:
        raise not_as_planned(expected, f"its {what} is {found}, planned was {wanted}")


def _check_duration(info: MediaInfo, expected: Expected) -> None:
    if expected.duration is None or info.duration is None:
        return
    if abs(info.duration - expected.duration) > expected.tolerance:
        raise not_as_planned(
            expected, f"it lasts {info.duration}, planned was {expected.duration} ± {expected.tolerance}"
        )


def _check_frames(probed: Probed, expected: Expected, encoded_frames: int | None) -> None:
    if expected.video is None or not probed.info.video:
        return
    found = probed.packets.get(probed.info.video[0].index, 0)
    if encoded_frames is not None and found != encoded_frames:
        raise not_as_planned(expected, f"it has {found} pictures, {encoded_frames} were encoded")
    wanted, tolerance = expected.video.frame_count, expected.video.frame_tolerance
    if wanted is not None and abs(found - wanted) > tolerance:
        raise not_as_planned(expected, f"it has {found} pictures, planned was {wanted} ± {tolerance}")


def decode_ranges(info: MediaInfo) -> list[Sequence[str]]:
    """Input options of the parts to decode: one empty list is the whole file."""
    whole = info.duration is None or info.duration <= WHOLE_DECODE or info.format in SEEKS_INEXACTLY
    edge = str(EDGE_SECONDS)
    return [()] if whole else [("-t", edge), ("-sseof", f"-{edge}")]


async def _decode(
    around: Surroundings,
    fd: int,
    expected: Expected,
    part: Sequence[str],
    on_block: Callable[[Block], None],
    on_usage: Callable[[Usage], None],
) -> None:
    """By ffmpeg and not by ffprobe, whose bundled build cannot decode AV1. Any line on standard error is a fault."""
    url = f"file:/proc/self/fd/{fd}"
    arguments = (
        *("-loglevel", "level+error", *ABORT_WHEN_EMPTY, "-xerror", "-max_error_rate", "0", *part),
        *(*whitelists.BEFORE_INPUT, "-i", url, "-map", "0:v?", "-map", "0:a?", "-fps_mode", "passthrough"),
        *("-f", "null", "-"),
    )
    decoding = Surroundings(
        toolchain=around.toolchain,
        marker=around.marker,
        stop=around.stop,
        stall_timeout=around.stall_timeout,
        names={url: expected.path},
        pass_fds=(fd,),
    )
    try:
        ran = await run_ffmpeg(
            decoding, arguments, doing=f"decoding {expected.path}", on_block=on_block, on_usage=on_usage
        )
    except AttemptFailed as error:
        if error.failure.kind in (FailureKind.RETRYABLE, FailureKind.CRASH):
            raise
        raise not_as_planned(
            expected, f"it does not decode: {error.failure.message}", error.failure.log_tail
        ) from error
    if ran.log_lines:
        raise not_as_planned(expected, f"it does not decode cleanly: {ran.log_lines[0]}", "\n".join(ran.log_lines))


def not_as_planned(expected: Expected, why: str, log_tail: str = "") -> AttemptFailed:
    """VERIFICATION_FAILED; *why* completes "... is not what was planned: "."""
    # UNKNOWN is tried once more and then final: what fails verification twice is not an accident.
    return AttemptFailed(
        FailureKind.UNKNOWN,
        "VERIFICATION_FAILED",
        f"{expected.path} is not what was planned: {why}",
        log_tail=log_tail,
    )
