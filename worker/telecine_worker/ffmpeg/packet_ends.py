"""How long a file is that never says so, by its last packets: what a browser records, say."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from telecine_worker.ffmpeg.media_info import MediaInfo
from telecine_worker.ffmpeg.packets import PacketTimes


def are_needed(info: MediaInfo, data: Mapping[str, Any]) -> bool:
    """Of *data*, ffprobe's answer. Packets of raw streams have no times."""
    has_times = any("start_time" in stream for stream in data["streams"])
    return info.duration is None and not info.is_still and bool(info.video or info.audio) and has_times


def completed(data: Mapping[str, Any], packets: Mapping[int, PacketTimes]) -> Mapping[str, Any]:
    """The same with "duration" of the file, and of each stream of which *packets* tell it."""
    ends = {stream["index"]: _end(stream, packets.get(stream["index"])) for stream in data["streams"]}
    known = [end for end in ends.values() if end is not None]
    if not known:
        return data
    return {
        **data,
        "format": _with_duration(data["format"], max(known)),
        "streams": [_with_duration(stream, ends[stream["index"]]) for stream in data["streams"]],
    }


def _end(stream: Mapping[str, Any], times: PacketTimes | None) -> Fraction | None:
    """In seconds, by the clock that its start is told by."""
    if stream.get("codec_type") not in ("video", "audio") or times is None or times.end is None:
        return None
    return times.end * Fraction(stream["time_base"])


def _with_duration(timed: Mapping[str, Any], end: Fraction | None) -> Mapping[str, Any]:
    """A stream, or a file."""
    if end is None:
        return timed
    return {**timed, "duration": f"{float(end - Fraction(timed.get('start_time', 0))):.6f}"}
