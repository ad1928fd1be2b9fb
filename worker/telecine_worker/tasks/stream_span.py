"""When the streams of an input begin and end, and what a part of it leaves of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.ffmpeg.probe import MAX_DURATION
from telecine_worker.tasks.seeking import may_stand_long
from telecine_worker.tasks.trim import Part

# In these, the end of a sound is where its last packet begins that was found near the end of the file. FFmpeg puts 0.4 s of
# sound into one, others up to 0.7 s.
PACKED = frozenset({"mpegts", "mpeg"})
LAST_PACKET = timedelta(milliseconds=750)
# This one has the distances at which pictures are decoded, of those that are shown in another order.
_COUNTED_AS_DECODED = "mov,mp4,m4a,3gp,3g2,mj2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Counted from the start of the input, or of the part of it. *end* is None while unknown; *is_own_end*: the stream ends
    there by itself, or up to *late* later.
    """

    begin: timedelta
    end: timedelta | None
    is_own_end: bool = True
    late: timedelta = timedelta(0)

    def within(self, part: Part) -> Span:
        """What *part* leaves, counted from its start."""
        cut = None if part.length is None else part.start + part.length
        is_own_end = cut is None or (self.end is not None and self.end <= cut)
        end = self.end if is_own_end else cut
        return Span(
            begin=max(timedelta(0), self.begin - part.start),
            end=None if end is None else max(timedelta(0), end - part.start),
            is_own_end=is_own_end,
            late=_late_before(cut, self.end, self.late) if is_own_end else timedelta(0),
        )


def span_of(stream: VideoStream | AudioStream, info: MediaInfo) -> Span:
    """Of the whole *stream*. What only the container says of its end may be about another one."""
    begin = max(timedelta(0), stream.start - info.start)
    if info.is_duration_estimated:
        return Span(begin=begin, end=None)
    if stream.stated_duration is not None:
        return _with_late(begin, begin + stream.stated_duration, stream, info)
    return _with_late(begin, info.duration if info.timed_stream_count == 1 else None, stream, info)


def _with_late(begin: timedelta, end: timedelta | None, stream: VideoStream | AudioStream, info: MediaInfo) -> Span:
    if isinstance(stream, AudioStream):
        return Span(begin=begin, end=end, late=LAST_PACKET if info.format in PACKED else timedelta(0))
    if info.format != _COUNTED_AS_DECODED or not stream.is_reordered or end is None:
        return Span(begin=begin, end=end)
    # All that the container says may count so, too. At an even rate only the last picture can be held for long.
    rest = MAX_DURATION if stream.variable_frame_rate else max(timedelta(0), (info.duration or end) - end)
    return Span(begin=begin, end=end, late=rest)


def _late_before(cut: timedelta | None, end: timedelta | None, late: timedelta) -> timedelta:
    return late if cut is None or end is None else min(late, cut - end)


def check_something_is_left(part: Part, stream: VideoStream | AudioStream, info: MediaInfo) -> None:
    """Raise AttemptFailed TRIM_OUT_OF_RANGE where *part* has nothing of *stream*."""
    span = span_of(stream, info)
    is_steady = isinstance(stream, VideoStream) and not stream.variable_frame_rate
    last = over = None if span.end is None else span.end + (timedelta(0) if is_steady else span.late)
    if isinstance(stream, VideoStream) and last is not None and stream.frame_rate and not may_stand_long(stream, info):
        # Where the last picture begins.
        last -= timedelta(seconds=float(1 / stream.frame_rate))
    is_over = last is not None and (part.start > last or part.start == over)
    if not part.is_whole and (is_over or (part.length is not None and span.begin >= part.start + part.length)):
        kind = "pictures" if isinstance(stream, VideoStream) else "sound"
        until = "" if span.end is None else f" to {span.end}"
        raise permanent(
            "TRIM_OUT_OF_RANGE",
            f"trim: nothing is left of the {kind} of the input, which it has from {span.begin}{until}; a part with some of "
            f"it would be right, or a task without {'video' if kind == 'pictures' else 'audio'}",
        )
