"""Whether a finished file is what was planned. Exit code 0 says little: a half input, for one, ends with it.

Checked in this order: it is there and not empty; streams, codecs and sizes; duration; the number of pictures; a clean
decode (of all of it when it is short, of its first and last seconds when it is long); the index at the front. After the
reference, 2.4.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, replace

from telecine_worker.failure import AttemptFailed, FailureKind
from telecine_worker.ffmpeg import animated_webp, boxes, whitelists
from telecine_worker.ffmpeg.decode_check import decode, decode_ranges
from telecine_worker.ffmpeg.expected import Expected
from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.mismatch import check_duration, check_streams, not_as_planned
from telecine_worker.ffmpeg.probe import Probed, probe
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Block
from telecine_worker.ffmpeg.run import Surroundings


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
    whole: bool = False,
    decodes: bool = True,
    begins_between: bool = False,
) -> Verified:
    """Check the open file *fd*. *encoded_frames* is what the encoder says it made, None where it cannot be told. With *whole*
    all of it is decoded, however long; without *decodes* nothing is. With *begins_between* it may begin between key frames.

    Raises AttemptFailed VERIFICATION_FAILED, OUTPUT_EMPTY; Stopped.
    """
    if os.fstat(fd).st_size == 0:
        raise AttemptFailed(FailureKind.PERMANENT, "OUTPUT_EMPTY", f"{expected.path} is empty")
    if not expected.decodable:
        return Verified(info=None)
    unread = animated_webp.FORMAT not in around.toolchain.demuxers and await asyncio.to_thread(animated_webp.moves, fd)
    if animated_webp.FORMAT in expected.formats and (expected.exact_streams or unread):
        return Verified(info=await asyncio.to_thread(animated_webp.check, fd, expected))
    probed = await _probe(around, fd, expected, on_usage)
    info = probed.info
    _check_facts(probed, expected, encoded_frames)
    # In a thread: it reads the file.
    if expected.moov_first and not await asyncio.to_thread(boxes.index_first, fd):
        raise not_as_planned(expected, "its index (moov) is not before its data (mdat)")
    if info.subtitles and not (info.video or info.audio):
        # Text alone, which is not decoded into anything.
        return Verified(info=info)
    url = f"file:/proc/self/fd/{fd}"
    for part in decode_ranges(info.duration, info.format, whole=whole) if decodes else ():
        await decode(
            replace(around, pass_fds=(fd,)), (*part, *whitelists.BEFORE_INPUT, "-i", url), expected,
            on_block=on_block, on_usage=on_usage, begins_between=begins_between,
        )  # fmt: skip
    return Verified(info=info)


def _check_facts(probed: Probed, expected: Expected, encoded_frames: int | None) -> None:
    """All that is known without decoding."""
    check_streams(probed.info, expected)
    check_duration(probed.info, expected)
    _check_frames(probed, expected, encoded_frames)
    _check_times(probed, expected)


async def _probe(around: Surroundings, fd: int, expected: Expected, on_usage: Callable[[Usage], None]) -> Probed:
    try:
        probed = await probe(around, fd, name=expected.path, with_packets=True)
    except AttemptFailed as error:
        if error.failure.kind in (FailureKind.RETRYABLE, FailureKind.CRASH):
            raise
        raise not_as_planned(
            expected, f"it cannot be probed: {error.failure.message}", error.failure.log_tail
        ) from error
    on_usage(probed.usage)
    return probed


def _check_frames(probed: Probed, expected: Expected, encoded_frames: int | None) -> None:
    if expected.video is None or not probed.info.video:
        return
    times = probed.packets.get(probed.info.video[0].index)
    found = times.count if times else 0
    if encoded_frames is not None and found != encoded_frames:
        raise not_as_planned(expected, f"it has {found} pictures, {encoded_frames} were encoded")
    wanted, tolerance = expected.video.frame_count, expected.video.frame_tolerance
    if wanted is not None and abs(found - wanted) > tolerance:
        raise not_as_planned(expected, f"it has {found} pictures, planned was {wanted} ± {tolerance}")


def _check_times(probed: Probed, expected: Expected) -> None:
    """Of copied streams they are what the source has, right or wrong."""
    for index, times in probed.packets.items() if expected.encoded else ():
        if not times.grows:
            raise not_as_planned(expected, f"the decoding times of its stream {index} do not grow")
        if times.repeats:
            raise not_as_planned(expected, f"two pictures or sounds of its stream {index} have the same time")
