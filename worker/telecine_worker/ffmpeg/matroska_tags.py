"""How long the streams of a Matroska file are. Only tags say it, which muxers write when all is there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

FORMAT = "matroska,webm"
_TAG = "DURATION"
# Written by mkvmerge, whose tag counts from where the stream begins. Others count from the start of the file, or so they may.
_COUNTED_WITHIN = "_STATISTICS_WRITING_APP"
_AT_START_SECONDS = 0.1
_TIME = re.compile(r"(\d{1,4}):(\d{2}):(\d{2}(?:\.\d{1,9})?)", re.ASCII)
# Of another file, or of one that was changed since: the longest stream is as long as the file.
_AGREES_SECONDS = 1
_TIMED = ("video", "audio", "subtitle")


def completed(container: Mapping[str, Any], streams: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """ffprobe's *streams*, each with "tagged_duration" where its tag can be believed."""
    if container.get("format_name") != FORMAT or "duration" not in container:
        return streams
    ends = {stream["index"]: _end(stream) for stream in streams if stream.get("codec_type") in _TIMED}
    known = [end for end in ends.values() if end is not None]
    if not known or abs(max(known) - float(container["duration"])) > _AGREES_SECONDS:
        return streams
    # Where all begin late, and the longest tag is as long as the file, they count from its start.
    is_clear = float(container.get("start_time", 0)) > _AT_START_SECONDS
    return [_with_duration(stream, ends.get(stream["index"]), is_clear=is_clear) for stream in streams]


def _end(stream: Mapping[str, Any]) -> float | None:
    """From the start of the file."""
    match = _TIME.fullmatch(str(stream.get("tags", {}).get(_TAG, "")))
    if match is None:
        return None
    said = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
    return said + _begin(stream) if _COUNTED_WITHIN in stream["tags"] else said


def _with_duration(stream: Mapping[str, Any], end: float | None, *, is_clear: bool) -> Mapping[str, Any]:
    begin = _begin(stream)
    is_clear = is_clear or begin <= _AT_START_SECONDS
    if end is None or not (is_clear or _COUNTED_WITHIN in stream["tags"]):
        return stream
    return {**stream, "tagged_duration": f"{end - begin:.6f}"}


def _begin(stream: Mapping[str, Any]) -> float:
    return max(0.0, float(stream.get("start_time", 0)))
