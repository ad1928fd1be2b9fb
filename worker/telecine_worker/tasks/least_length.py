"""How far the streams of an input reach at the least, by what it says: what ends before was cut off."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.tasks.outcome_length import DECODED_EARLIER, UNSTEADY
from telecine_worker.tasks.stream_span import span_of

# What containers say may be so much off.
_TOLERANCE = timedelta(milliseconds=500)


def least_length(info: MediaInfo, streams: Sequence[VideoStream | AudioStream]) -> timedelta | None:
    """What FFmpeg tells, at the least, at the end of a run that reads all of *streams*; None where the input says nothing."""
    ends = [span_of(stream, info).end for stream in streams]
    known = [end for end in ends if end is not None]
    # What only the container says is about its longest stream, which has to be one of these.
    is_all = len(streams) == info.timed_stream_count and not info.is_duration_estimated
    end = max(known, default=info.duration if is_all else None)
    return None if end is None else end - _TOLERANCE - max(map(_earlier, streams), default=timedelta(0))


def _earlier(stream: VideoStream | AudioStream) -> timedelta:
    """What is told may be when the last picture is decoded, and when it begins."""
    if isinstance(stream, AudioStream) or not stream.frame_rate:
        return timedelta(0)
    early = timedelta(seconds=float((DECODED_EARLIER + 1) / stream.frame_rate))
    return early + UNSTEADY if stream.variable_frame_rate else early
