"""Whether a moving WebP is what was planned, by its chunks: FFmpeg before 8 writes such files and cannot read them."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from datetime import timedelta

from telecine_worker.ffmpeg.expected import Expected, ExpectedVideo
from telecine_worker.ffmpeg.media_info import MediaInfo, VideoStream
from telecine_worker.ffmpeg.mismatch import not_as_planned
from telecine_worker.ffmpeg.picture_header import size_px

FORMAT = "webp_anim"
_ANIMATED = 0x02
_FRAME_HEADER = 16
_PIXELS = (b"VP8 ", b"VP8L")


def moves(fd: int) -> bool:
    """Whether the open file *fd* says that it is a WebP with several pictures."""
    header = os.pread(fd, 21, 0)
    return header[8:16] == b"WEBPVP8X" and len(header) == 21 and bool(header[20] & _ANIMATED)


def check(fd: int, expected: Expected) -> MediaInfo:
    """What the open file *fd* is. Raises AttemptFailed VERIFICATION_FAILED."""
    found = size_px(fd)
    video = expected.video or ExpectedVideo()
    if found is None:
        raise not_as_planned(expected, "it is no WebP")
    if expected.video is not None and found != (video.width_px, video.height_px):
        wide, high = found
        raise not_as_planned(expected, f"it has {wide}x{high} px, planned was {video.width_px}x{video.height_px}")
    lengths = list(_frames(fd, found, expected))
    duration = sum(lengths, timedelta(0)) or None
    if duration and expected.duration is not None and abs(duration - expected.duration) > expected.tolerance:
        raise not_as_planned(expected, f"it lasts {duration}, planned was {expected.duration} ± {expected.tolerance}")
    # Pictures that are alike are one.
    if not lengths or (video.frame_count is not None and len(lengths) > video.frame_count):
        raise not_as_planned(expected, f"it has {len(lengths)} pictures, planned were up to {video.frame_count}")
    wide, high = found
    stream = VideoStream(
        index=0, codec="webp", width_px=wide, height_px=high, coded_width_px=wide, coded_height_px=high,
        pixel_format=video.pixel_format, frame_count=len(lengths), duration=duration,
    )  # fmt: skip
    return MediaInfo(format=FORMAT, size_bytes=os.fstat(fd).st_size, duration=duration, video=(stream,))


def _frames(fd: int, size: tuple[int, int], expected: Expected) -> Iterator[timedelta]:
    """How long each picture is shown; a still one for no time."""
    animated = False
    for name, offset, length in _chunks(fd, 12, os.fstat(fd).st_size, expected):
        if name == b"VP8X":
            animated = bool(os.pread(fd, 1, offset)[0] & _ANIMATED)
        elif name in _PIXELS and not animated:
            yield timedelta(0)
        elif name == b"ANMF" and animated:
            yield _frame(fd, offset, length, size, expected)


def _frame(fd: int, offset: int, length: int, size: tuple[int, int], expected: Expected) -> timedelta:
    header = os.pread(fd, _FRAME_HEADER, offset)
    x, y, wide, high, milliseconds = (int.from_bytes(header[at : at + 3], "little") for at in range(0, 15, 3))
    if length < _FRAME_HEADER or 2 * x + wide + 1 > size[0] or 2 * y + high + 1 > size[1]:
        raise not_as_planned(expected, "a picture of it is outside of the whole")
    inside = [name for name, _, _ in _chunks(fd, offset + _FRAME_HEADER, offset + length, expected)]
    if not set(inside) & set(_PIXELS):
        raise not_as_planned(expected, "a picture of it is empty")
    return timedelta(milliseconds=milliseconds)


def _chunks(fd: int, offset: int, end: int, expected: Expected) -> Iterator[tuple[bytes, int, int]]:
    """Name, and offset and length of what is in it, of each chunk up to *end*."""
    while offset < end:
        header = os.pread(fd, 8, offset)
        name, length = struct.unpack("<4sI", header) if len(header) == 8 else (b"", end)
        if offset + 8 + length > end:
            raise not_as_planned(expected, "it is cut off")
        yield name, offset + 8, length
        offset += 8 + length + length % 2
