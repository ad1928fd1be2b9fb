"""How long the streams of a Matroska file are. Only tags say it, which muxers write when all is there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

FORMAT = "matroska,webm"
_TAG = "DURATION"
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
    return [_with_duration(stream, ends.get(stream["index"])) for stream in streams]


def _end(stream: Mapping[str, Any]) -> float | None:
    """The tag counts from the start of the file."""
    match = _TIME.fullmatch(str(stream.get("tags", {}).get(_TAG, "")))
    return None if match is None else int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])


def _with_duration(stream: Mapping[str, Any], end: float | None) -> Mapping[str, Any]:
    if end is None:
        return stream
    return {**stream, "tagged_duration": f"{end - max(0.0, float(stream.get('start_time', 0))):.6f}"}
