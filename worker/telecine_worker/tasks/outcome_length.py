"""How long a transcode will be: in time, and in pictures."""

from __future__ import annotations

import math
from datetime import timedelta
from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.tasks.filter_text import filter_text
from telecine_worker.tasks.trim import Part

VIDEO_TOLERANCE = timedelta(milliseconds=100)
# Encoders of audio work in frames of up to 60 ms, and pad the first and the last one.
AUDIO_TOLERANCE = timedelta(milliseconds=150)
# Pictures that look ahead are decoded so much earlier than they are shown, in the encoders that are used here.
DECODED_EARLIER = 4
COPY = "copy"


class OutcomeLength:
    """Of what *video* makes of the streams that are kept, of which *part* is used; None is unknown. With *copies* one of them
    is kept as it is.
    """

    def __init__(
        self,
        video: media_pb2.Video,
        info: MediaInfo,
        video_stream: VideoStream | None,
        audio_stream: AudioStream | None,
        part: Part,
        *,
        copies: bool,
    ) -> None:
        self._video = video
        self._info = info
        self._pictures = video_stream
        self._sound = audio_stream
        self._part = part
        self._copies = copies

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
        frames = self.frame_count()
        if not self._video.HasField("frame_rate") or frames is None:
            return []
        return [filter_text("trim", end_frame=frames + 2 * self.frame_tolerance())]

    def frame_count(self) -> int | None:
        """None while unknown. The input's own count where every frame is kept, else duration times rate."""
        if self._pictures is None:
            return None
        keeps_all = self._part.is_whole and not self._video.HasField("frame_rate")
        if keeps_all and self._pictures.frame_count:
            return self._pictures.frame_count
        duration = self._part.duration
        if duration is not None and self._part.is_whole and self._pictures.duration is not None:
            duration = self._pictures.duration
        rate = self.frame_rate
        if duration is None or rate is None:
            return None
        return round(Fraction(duration // timedelta(microseconds=1), 10**6) * rate)

    def exact_frame_count(self) -> int | None:
        """What will be checked. A source of variable rate has no count that follows from its duration, and what only the
        container says of that may be about another stream.
        """
        if self._pictures is None or not self._is_sure(self._pictures):
            return None
        if self._video.codec == COPY:
            return self.frame_count() if self._part.is_whole else None
        return None if self._pictures.variable_frame_rate else self.frame_count()

    def _is_sure(self, pictures: VideoStream) -> bool:
        alone = len(self._info.video) + len(self._info.audio) == 1
        return alone or pictures.duration is not None or bool(pictures.frame_count)

    def frame_tolerance(self) -> int:
        """What a tenth of a second holds, and at least one: edit lists and undecodable leading pictures take that much."""
        return max(1, math.ceil((self.frame_rate or Fraction(25)) / 10))

    def duration(self) -> timedelta | None:
        """Of the longest stream that is kept; None where copying begins at an unknown key frame."""
        if self._copies and not self._part.is_whole:
            return None
        streams = [stream.duration for stream in (self._pictures, self._sound) if stream is not None]
        known = [duration for duration in streams if duration is not None]
        if len(known) == len(streams):
            longest = max(known)
            if self._part.is_whole:
                return longest
            last = longest if self._part.length is None else min(longest, self._part.start + self._part.length)
            return last - self._part.start if last > self._part.start else None
        # What only the container says is about its longest stream, which has to be one of these.
        kept = len(streams)
        return self._part.duration if kept == len(self._info.video) + len(self._info.audio) else None

    def tolerance(self) -> timedelta:
        """Of the duration."""
        rate = self.frame_rate
        frame = timedelta(seconds=float(1 / rate)) if rate else timedelta(0)
        return max(frame, AUDIO_TOLERANCE if self._sound is not None else VIDEO_TOLERANCE)

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
        frames = self.exact_frame_count()
        is_filled = self._video.HasField("frame_rate")
        return frames - self.frame_tolerance() if frames is not None and is_filled else 0
