"""Whether a recording begins between key frames: pictures come before what decoders have to know to show any."""

from __future__ import annotations

import os
import re

from telecine_worker.ffmpeg.media_info import MediaInfo

_FORMATS = frozenset({"mpegts", "mpeg"})
_HEAD_BYTES = 4 << 20
# By the codec the start codes of parameters, and of pictures: sets of them or parts of a picture, in H.264 of any priority, in
# HEVC of the lowest layer; sequence headers and pictures in MPEG-2. Those of PES packets are others.
_START_CODES = {
    "h264": (
        re.compile(rb"\x00\x00\x01[\x07\x27\x47\x67]"),
        re.compile(rb"\x00\x00\x01[\x01\x21\x41\x61\x05\x25\x45\x65]"),
    ),
    "hevc": (re.compile(rb"\x00\x00\x01\x42\x01"), re.compile(rb"\x00\x00\x01[" + bytes(range(0, 44, 2)) + rb"]\x01")),
    "mpeg2video": (re.compile(rb"\x00\x00\x01\xb3"), re.compile(rb"\x00\x00\x01\x00")),
}


def begins_between(fd: int, info: MediaInfo) -> bool:
    """Of the open file *fd*, of which probing says *info*. Blocks."""
    codes = _START_CODES.get(info.video[0].codec) if info.video and info.format in _FORMATS else None
    if codes is None:
        return False
    head = os.pread(fd, _HEAD_BYTES, 0)
    parameters, picture = (code.search(head) for code in codes)
    return picture is not None and (parameters is None or picture.start() < parameters.start())
