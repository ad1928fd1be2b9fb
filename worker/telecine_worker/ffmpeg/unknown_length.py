"""Inputs of which nobody can say how long they are, although FFmpeg names a number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from telecine_worker.ffmpeg.media_info import MediaInfo

# Of the first the length is the distance of the last time from the first, whatever jumps between them; of the second, where it
# was written to a pipe, what the writer put there before it knew.
_BELIEVED = frozenset({"mpegts", "avi"})
# So much larger the file would have to be: some bit rates are those of the first second.
_TIMES = 4


def is_impossible(info: MediaInfo, streams: Sequence[Mapping[str, Any]]) -> bool:
    """Whether what *info* says lasts so long that it would not fit into the file, by the bit rates of ffprobe's *streams*."""
    if info.format not in _BELIEVED or info.duration is None:
        return False
    rates = [str(stream.get("bit_rate", "")) for stream in streams]
    bytes_a_second = sum(int(rate) for rate in rates if rate.isdigit()) / 8
    return bytes_a_second * (info.duration / timedelta(seconds=1)) > _TIMES * info.size_bytes


def without_length(info: MediaInfo) -> MediaInfo:
    """*info*, saying so."""
    return replace(
        info,
        duration=None,
        bitrate_bps=0,
        video=tuple(replace(each, duration=None, tagged_duration=None, frame_count=0) for each in info.video),
        audio=tuple(replace(each, duration=None, tagged_duration=None) for each in info.audio),
    )
