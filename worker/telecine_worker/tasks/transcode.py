"""TranscodeTask: one file in, one file out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from datetime import timedelta
from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.expected import Expected, ExpectedAudio, ExpectedVideo
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY
from telecine_worker.tasks import audio_encoding, picture, video_encoding
from telecine_worker.tasks.containers import Container, check_codec, container_of
from telecine_worker.tasks.plan import Argument, InputPlace, OutputPlace, Plan, Step
from telecine_worker.tasks.trim import part_of

VIDEO_TOLERANCE = timedelta(milliseconds=100)
# Encoders of audio work in frames of up to 60 ms, and pad the first and the last one.
AUDIO_TOLERANCE = timedelta(milliseconds=150)
COPY = "copy"


def input_names(task: media_pb2.TranscodeTask) -> frozenset[str]:
    """The inputs that *task* uses."""
    return frozenset({task.input})


def plan(task: media_pb2.TranscodeTask, inputs: Mapping[str, MediaInfo], encoders: Set[str]) -> Plan:
    """What to run for *task*. Raises AttemptFailed naming the field and what would be right."""
    if not task.HasField("video") and not task.HasField("audio"):
        raise permanent("OPTION_INVALID", "a transcode needs video, audio or both")
    _refuse_later_options(task)
    return _Transcode(task, inputs[task.input], encoders).plan()


def _refuse_later_options(task: media_pb2.TranscodeTask) -> None:
    later = (
        ("filters", task.HasField("filters")),
        ("audio.loudness", task.audio.HasField("loudness")),
        ("video.tone_map_to_sdr", task.video.tone_map_to_sdr),
    )
    for field, is_set in later:
        if is_set:
            raise permanent("UNSUPPORTED_OPTION", f"{field} is not supported by this worker yet; leave it out")


class _Transcode:
    """One task on the way to its plan."""

    def __init__(self, task: media_pb2.TranscodeTask, info: MediaInfo, encoders: Set[str]) -> None:
        self._task = task
        self._info = info
        self._encoders = encoders
        self._container = container_of(task.path)
        self._part = part_of(task.trim if task.HasField("trim") else None, info)
        self._video = _first_video(task, info)
        self._audio = _first_audio(task, info, self._video)
        self._file_name = f"out-0.{self._container.extension}"

    def plan(self) -> Plan:
        expected = Expected(
            path=self._task.path,
            file_name=self._file_name,
            media_type=self._media_type(),
            formats=self._container.formats,
            exact_streams=True,
            video=self._expected_video(),
            audio=self._expected_audio(),
            duration=self._expected_duration(),
            tolerance=self._tolerance(),
            moov_first=self._container.moov_first,
        )
        return Plan(steps=tuple(self._steps()), artifacts=(expected,))

    def _steps(self) -> list[Step]:
        if not self._task.video.two_pass or self._video is None:
            return [self._step(run=0)]
        share = video_encoding.first_pass_share(self._task.video, video_encoding.codec_of(self._task.video))
        return [self._step(run=1, phase=Phase.ANALYZING, weight=share), self._step(run=2)]

    def _step(self, *, run: int, phase: Phase = Phase.ENCODING, weight: float = 1.0) -> Step:
        frames = self._frame_count()
        return Step(
            argv=tuple(self._argv(run)), phase=phase, weight=weight, duration=self._part.duration, frame_count=frames
        )

    def _argv(self, run: int) -> list[Argument]:
        empty = () if run == 1 else ABORT_WHEN_EMPTY
        argv: list[Argument] = [
            *empty,
            *self._part.seek(),
            *whitelists.BEFORE_INPUT,
            "-i",
            InputPlace(self._task.input),
        ]
        if self._video is not None:
            argv += ["-map", f"0:{self._video.index}", *self._video_options(self._video, run)]
        if self._audio is not None and run != 1:
            argv += ["-map", f"0:{self._audio.index}", *self._audio_options(self._audio)]
        argv += ["-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1", *self._part.limit()]
        if run == 1:
            return [*argv, "-an", "-f", "null", "-"]
        copies = COPY in (self._task.video.codec, self._task.audio.codec)
        # A copied stream that is cut may begin before 0.
        argv += ["-avoid_negative_ts", "make_zero"] if copies and not self._part.is_whole else []
        return [*argv, *self._container.options, "-f", self._container.muxer, OutputPlace(self._file_name)]

    def _video_options(self, source: VideoStream, run: int) -> list[str]:
        video = self._task.video
        if video.codec == COPY:
            check_codec(self._container, source.codec, video=True)
            return ["-c:v", COPY, *_tag(source.codec, self._container)]
        codec = video_encoding.codec_of(video)
        check_codec(self._container, codec.codec, video=True)
        self._need(codec.encoder)
        return [
            *("-vf", picture.filters(video, source)),
            # Said always: the default is another one in FFmpeg 5 and 9. A new rate is made by the filter fps.
            *("-fps_mode", "vfr", *self._frame_limit()),
            *video_encoding.encoder_options(video, codec, self._frame_rate(), run),
            *_tag(codec.codec, self._container),
        ]

    def _audio_options(self, source: AudioStream) -> list[str]:
        audio = self._task.audio
        if audio.codec == COPY:
            check_codec(self._container, source.codec, video=False)
            return ["-c:a", COPY]
        target = audio_encoding.target(audio, source)
        check_codec(self._container, target.codec.codec, video=False)
        self._need(target.codec.encoder)
        return target.options()

    def _need(self, encoder: str) -> None:
        if encoder not in self._encoders:
            raise permanent("ENCODER_MISSING", f"FFmpeg on this worker has no encoder {encoder}")

    def _frame_rate(self) -> Fraction | None:
        if self._task.video.HasField("frame_rate"):
            rate = self._task.video.frame_rate
            return Fraction(rate.numerator, rate.denominator)
        return self._video.frame_rate if self._video is not None else None

    def _frame_limit(self) -> list[str]:
        """At a constant rate, a gap in the timestamps of a small file would be filled with frames for hours."""
        frames = self._frame_count()
        if not self._task.video.HasField("frame_rate") or frames is None:
            return []
        return ["-frames:v", str(frames + 2 * self._frame_tolerance())]

    def _frame_count(self) -> int | None:
        """None while unknown. The input's own count where every frame is kept, else duration times rate."""
        if self._video is None:
            return None
        keeps_all = self._part.is_whole and not self._task.video.HasField("frame_rate")
        if keeps_all and self._video.frame_count:
            return self._video.frame_count
        duration = self._part.duration
        if duration is not None and self._part.is_whole and self._video.duration is not None:
            duration = self._video.duration
        rate = self._frame_rate()
        if duration is None or rate is None:
            return None
        return round(Fraction(duration // timedelta(microseconds=1), 10**6) * rate)

    def _expected_video(self) -> ExpectedVideo | None:
        if self._video is None:
            return None
        if self._task.video.codec == COPY:
            frames = self._frame_count() if self._part.is_whole else None
            return ExpectedVideo(codec=self._video.codec, frame_count=frames, frame_tolerance=self._frame_tolerance())
        wide, high = picture.size(self._task.video, self._video)
        return ExpectedVideo(
            codec=video_encoding.codec_of(self._task.video).codec,
            width_px=wide,
            height_px=high,
            pixel_format=self._task.video.pixel_format or picture.DEFAULT_PIXEL_FORMAT,
            # A source of variable rate has no frame count that follows from its duration.
            frame_count=None if self._video.variable_frame_rate else self._frame_count(),
            frame_tolerance=self._frame_tolerance(),
        )

    def _frame_tolerance(self) -> int:
        """What a tenth of a second holds, and at least one: edit lists and undecodable leading pictures take that much."""
        rate = self._frame_rate() or Fraction(25)
        return max(1, math.ceil(rate / 10))

    def _expected_audio(self) -> ExpectedAudio | None:
        if self._audio is None:
            return None
        if self._task.audio.codec == COPY:
            return ExpectedAudio(codec=self._audio.codec)
        target = audio_encoding.target(self._task.audio, self._audio)
        return ExpectedAudio(codec=target.codec.codec, sample_rate_hz=target.rate_hz, channel_count=target.channels)

    def _expected_duration(self) -> timedelta | None:
        """Of the longest stream that is kept; None where copying begins at an unknown key frame."""
        if not self._part.is_whole and COPY in (self._task.video.codec, self._task.audio.codec):
            return None
        streams = [stream.duration for stream in (self._video, self._audio) if stream is not None]
        if self._part.is_whole and all(streams):
            return max(duration for duration in streams if duration is not None)
        return self._part.duration

    def _tolerance(self) -> timedelta:
        rate = self._frame_rate()
        frame = timedelta(seconds=float(1 / rate)) if rate else timedelta(0)
        return max(frame, AUDIO_TOLERANCE if self._audio is not None else VIDEO_TOLERANCE)

    def _media_type(self) -> str:
        if self._video is None and self._container.media_type.startswith("video/"):
            return "audio/" + self._container.media_type.removeprefix("video/")
        return self._container.media_type


def _first_video(task: media_pb2.TranscodeTask, info: MediaInfo) -> VideoStream | None:
    if not task.HasField("video"):
        return None
    if not info.video:
        raise permanent(
            "INPUT_MISSING_STREAM", f"video is asked for, but input {task.input} has none; leave video out of the task"
        )
    if not info.video[0].width_px or not info.video[0].height_px:
        raise permanent("INPUT_INVALID", f"the size of the video of input {task.input} cannot be told")
    return info.video[0]


def _first_audio(task: media_pb2.TranscodeTask, info: MediaInfo, video: VideoStream | None) -> AudioStream | None:
    """A silent film stays silent; a task that is about audio alone needs some."""
    if not task.HasField("audio"):
        return None
    if info.audio:
        return info.audio[0]
    if video is not None:
        return None
    raise permanent("INPUT_MISSING_STREAM", f"audio is asked for, but input {task.input} has none")


def _tag(codec: str, container: Container) -> list[str]:
    """Players of Apple take H.265 only under this tag."""
    return ["-tag:v", "hvc1"] if codec == "hevc" and container.muxer in ("mp4", "mov") else []
