"""When the streams of an input begin and end, and what a part of it leaves of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.tasks.trim import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Counted from the start of the input, or of the part of it. *end* is None while unknown; *is_own_end*: the stream ends
    there by itself.
    """

    begin: timedelta
    end: timedelta | None
    is_own_end: bool = True

    def within(self, part: Part) -> Span:
        """What *part* leaves, counted from its start."""
        cut = None if part.length is None else part.start + part.length
        is_own_end = cut is None or (self.end is not None and self.end <= cut)
        end = self.end if is_own_end else cut
        return Span(
            begin=max(timedelta(0), self.begin - part.start),
            end=None if end is None else max(timedelta(0), end - part.start),
            is_own_end=is_own_end,
        )


def span_of(stream: VideoStream | AudioStream, info: MediaInfo) -> Span:
    """Of the whole *stream*. What only the container says of its end may be about another one."""
    begin = max(timedelta(0), stream.start - info.start)
    if info.is_duration_estimated:
        return Span(begin=begin, end=None)
    if stream.stated_duration is not None:
        return Span(begin=begin, end=begin + stream.stated_duration)
    return Span(begin=begin, end=info.duration if info.timed_stream_count == 1 else None)


def check_something_is_left(part: Part, stream: VideoStream | AudioStream, info: MediaInfo) -> None:
    """Raise AttemptFailed TRIM_OUT_OF_RANGE where *part* has nothing of *stream*."""
    span = span_of(stream, info)
    last = span.end
    if isinstance(stream, VideoStream) and last is not None and stream.frame_rate and not stream.variable_frame_rate:
        # Where the last picture begins.
        last -= timedelta(seconds=float(1 / stream.frame_rate))
    is_over = last is not None and (part.start > last or part.start == span.end)
    if not part.is_whole and (is_over or (part.length is not None and span.begin >= part.start + part.length)):
        kind = "pictures" if isinstance(stream, VideoStream) else "sound"
        until = "" if span.end is None else f" to {span.end}"
        raise permanent(
            "TRIM_OUT_OF_RANGE",
            f"trim: nothing is left of the {kind} of the input, which it has from {span.begin}{until}; a part with some of "
            f"it would be right, or a task without {'video' if kind == 'pictures' else 'audio'}",
        )
