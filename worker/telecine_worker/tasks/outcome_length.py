"""How long a transcode will be: in time, and in pictures."""

from __future__ import annotations

import math
from datetime import timedelta
from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.tasks.edit_lists import hidden_pictures
from telecine_worker.tasks.filter_text import filter_text
from telecine_worker.tasks.stream_ends import StreamEnds, last_picture
from telecine_worker.tasks.stream_span import PACKED, Span, check_something_is_left, span_of
from telecine_worker.tasks.trim import Part

VIDEO_TOLERANCE = timedelta(milliseconds=100)
# Encoders of audio work in frames of up to 60 ms, and pad the first and the last one.
AUDIO_TOLERANCE = timedelta(milliseconds=150)
# Pictures that look ahead are decoded so much earlier than they are shown, in the encoders that are used here.
DECODED_EARLIER = 4
# Where pictures may come at any distance, the last one before a cut is up to this much before it.
UNSTEADY = timedelta(seconds=1)
COPY = "copy"


class OutcomeLength:
    """Of what *video* makes of the streams that are kept, of which *part* is used; None is unknown. With *copies_sound* that
    is kept as it is; with *fills_gaps* the sound gets silence where it begins late. Raises AttemptFailed TRIM_OUT_OF_RANGE
    where nothing is left of a stream.
    """

    def __init__(
        self,
        video: media_pb2.Video,
        info: MediaInfo,
        video_stream: VideoStream | None,
        audio_stream: AudioStream | None,
        part: Part,
        *,
        copies_sound: bool,
        fills_gaps: bool = False,
    ) -> None:
        self._video = video
        self._info = info
        self._pictures = video_stream
        self._sound = audio_stream
        self._part = part
        self._copies_sound = copies_sound
        self._copies = copies_sound or video.codec == COPY
        self._fills_gaps = fills_gaps
        for stream in (video_stream, audio_stream):
            if stream is not None:
                check_something_is_left(part, stream, info)

    @property
    def frame_rate(self) -> Fraction | None:
        """That of the result."""
        if self._video.HasField("frame_rate"):
            return Fraction(self._video.frame_rate.numerator, self._video.frame_rate.denominator)
        return self._pictures.frame_rate if self._pictures is not None else None

    def frame_limit(self) -> list[str]:
        """The filter for it: at a constant rate, a gap in the timestamps of a small file would be filled with frames for hours.
        Not -frames: with FFmpeg 9 that ends the sound, too.
        """
        frames, rate = self.frame_count(), self.frame_rate
        if not self._video.HasField("frame_rate") or frames is None or rate is None:
            return []
        more = math.ceil((self._slack() + self.pictures_late()).total_seconds() * rate) + 2 * self.frame_tolerance()
        return [filter_text("trim", end_frame=frames + more)]

    def frame_count(self) -> int | None:
        """None while unknown. The input's own count where every frame is kept, else duration times rate."""
        if self._pictures is None:
            return None
        keeps_all = self._part.is_whole and not self._video.HasField("frame_rate")
        if keeps_all and self._counts_what_is_shown():
            return self._pictures.frame_count
        kept, rate = self._kept(self._pictures), self.frame_rate
        end = self._part.duration if kept.end is None else kept.end
        if end is None or rate is None:
            return None
        return round(Fraction((end - kept.begin) // timedelta(microseconds=1), 10**6) * rate)

    def exact_frame_count(self) -> int | None:
        """What will be checked: where the input's own count agrees with its duration, or all gaps are filled."""
        if self._pictures is None:
            return None
        if self._video.codec == COPY:
            return self.frame_count() if self._part.is_whole and self._counts_what_is_shown() else None
        keeps_all = self._part.is_whole and not self._video.HasField("frame_rate")
        if keeps_all:
            return self.frame_count() if self._counts_what_is_shown() else None
        return None if self._kept(self._pictures).late else self._even_frame_count()

    def _even_frame_count(self) -> int | None:
        """At least so many come of what is whole. Some begin between key frames, with pictures that nobody sees."""
        if self._pictures is None or self._slack() or self._info.format in PACKED:
            return None
        is_filled = self._video.HasField("frame_rate") and self._kept(self._pictures).end is not None
        return self.frame_count() if is_filled or self._is_steady() else None

    def _counts_what_is_shown(self) -> bool:
        return bool(self._pictures and self._pictures.frame_count and not hidden_pictures(self._pictures))

    def _is_steady(self) -> bool:
        """Whether a picture comes in each period of the rate. Matroska states the highest one."""
        return self._counts_what_is_shown() and not (self._pictures is None or self._pictures.variable_frame_rate)

    def _slack(self) -> timedelta:
        """How much earlier, or later, than planned the pictures may end."""
        if self._pictures is None:
            return timedelta(0)
        variable = self._pictures.variable_frame_rate and self._pictures.frame_rate
        reordered = timedelta(seconds=float(DECODED_EARLIER / variable)) if variable else timedelta(0)
        # What is told of copied pictures is when they are decoded.
        cut = not self._kept(self._pictures).is_own_end and not self._video.HasField("frame_rate")
        cut = cut or self._video.codec == COPY
        return max(reordered, UNSTEADY) if cut and not self._is_steady() else reordered

    def _kept(self, stream: VideoStream | AudioStream) -> Span:
        return span_of(stream, self._info).within(self._part)

    def frame_tolerance(self) -> int:
        """What a tenth of a second holds, and at least one: edit lists and undecodable leading pictures take that much."""
        return max(1, math.ceil((self.frame_rate or Fraction(25)) / 10))

    def _begin(self) -> timedelta:
        """Of what is kept: what a result begins with is where it begins."""
        begins = [] if self._pictures is None else [self._kept(self._pictures).begin]
        if self._sound is not None:
            begins.append(timedelta(0) if self._fills_gaps else self._kept(self._sound).begin)
        return min(begins)

    def duration(self) -> timedelta | None:
        """From where the first stream that is kept begins to where the last one ends; None where copying begins at an unknown
        key frame.
        """
        if self._copies and not self._part.is_whole:
            return None
        ends = [self._kept(stream).end for stream in (self._pictures, self._sound) if stream is not None]
        known = [end for end in ends if end is not None]
        if len(known) == len(ends):
            return max(known) - self._begin()
        # What only the container says is about its longest stream, which has to be one of these.
        if self._info.is_duration_estimated or len(ends) < self._info.timed_stream_count or self._part.duration is None:
            return None
        return self._part.duration - self._begin()

    def late(self) -> timedelta:
        """How much longer than that it may be."""
        spans = [self._kept(stream) for stream in (self._pictures, self._sound) if stream is not None]
        known = [(span.end, span.late) for span in spans if span.end is not None]
        if len(known) < len(spans):
            return max(span.late for span in spans)
        return max(end + late for end, late in known) - max(end for end, _ in known)

    def pictures_late(self) -> timedelta:
        """How much later than they say the pictures may end."""
        return timedelta(0) if self._pictures is None else self._kept(self._pictures).late

    def sound_late(self) -> timedelta:
        """The same of the sound."""
        return timedelta(0) if self._sound is None else self._kept(self._sound).late

    def pictures_end(self) -> timedelta | None:
        """From where the result begins; None where that is not sure."""
        if self._pictures is None or self._slack() or self._copies:
            return None
        end = self._kept(self._pictures).end
        return None if end is None else end - self._begin()

    def sound_end(self) -> timedelta | None:
        """The same of the sound, of which nobody knows whether there is some right before a cut."""
        return None if self._copies else self._own_end(self._sound)

    def own_ends(self) -> StreamEnds:
        """Of those that are decoded; None where one is cut."""
        pictures = None if self._video.codec == COPY else self._own_end(self._pictures)
        source = self._pictures
        last = None
        if source is not None:
            last = last_picture(pictures, source.frame_rate, is_steady=not source.variable_frame_rate)
        return StreamEnds(
            sound=None if self._copies_sound else self._own_end(self._sound), pictures=pictures, last_picture=last
        )

    def _own_end(self, stream: VideoStream | AudioStream | None) -> timedelta | None:
        """From where the result begins: what is read of some containers is counted from there."""
        kept = None if stream is None else self._kept(stream)
        return None if kept is None or kept.end is None or not kept.is_own_end else kept.end - self._begin()

    def tolerance(self) -> timedelta:
        """Of the duration."""
        return self.stream_tolerance() + (self._slack() if self._ends_with_pictures() else timedelta(0))

    def stream_tolerance(self) -> timedelta:
        """Of where a stream ends."""
        rate = self.frame_rate
        frame = timedelta(seconds=float(1 / rate)) if rate else timedelta(0)
        return max(frame, AUDIO_TOLERANCE if self._sound is not None else VIDEO_TOLERANCE)

    def _ends_with_pictures(self) -> bool:
        """What a gap of the sound takes from its end is not known either."""
        if self._pictures is None:
            return False
        pictures = self._kept(self._pictures).end
        sound = None if self._sound is None else self._kept(self._sound).end
        return pictures is None or sound is None or pictures + self._slack() > sound

    def least_duration(self) -> timedelta | None:
        """A result that is told to be shorter was made from a source that ends before its own length."""
        planned, rate = self.duration(), self.frame_rate
        if planned is None:
            return None
        # What FFmpeg tells at the end may be the time of decoding, which is some pictures earlier.
        early = timedelta(seconds=float(DECODED_EARLIER / rate)) if rate else timedelta(0)
        return planned - self.tolerance() - early

    def least_pictures(self) -> int:
        """The same of one that has fewer; 0 while unknown, and where the rate is the source's, whose gaps stay."""
        if not self._video.HasField("frame_rate") or self._video.codec == COPY:
            return 0
        frames = self._even_frame_count()
        return 0 if frames is None else frames - self.frame_tolerance()
