"""What containers say of how long each of their streams is, where that is so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_AGREES_SECONDS = 0.15


def container(said: Mapping[str, Any], streams: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """What is *said* of the container, with its own "duration"."""
    durations = [str(stream["duration"]) for stream in streams if "duration" in stream]
    # ffprobe takes that of an ASF file for the length of each stream, and counts it from where the last one begins.
    return {**said, "duration": min(durations, key=float)} if said["format_name"] == "asf" and durations else said


def believed(said: Mapping[str, Any], streams: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """ffprobe's *streams*, without "duration" where nobody knows it; *said* is of the container."""
    return [
        {name: value for name, value in stream.items() if name != "duration"} if _is_wrong(said, stream) else stream
        for stream in streams
    ]


def _is_wrong(said: Mapping[str, Any], stream: Mapping[str, Any]) -> bool:
    match said["format_name"]:
        case "asf":
            return True
        case "avi":
            # It counts the empty chunks before a sound that begins late, which FFmpeg passes over.
            return bool(stream.get("codec_type") == "audio")
        case "mov,mp4,m4a,3gp,3g2,mj2":
            # Of fragments, which no index counts, FFmpeg 5 misses the last one.
            return "nb_frames" not in stream and abs(_end(said) - _end(stream)) > _AGREES_SECONDS
    return False


def _end(said: Mapping[str, Any]) -> float:
    return float(said.get("start_time", 0)) + float(said.get("duration", 0))
