"""TranscodeTask: one file in, one file out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg.expected import Expected
from telecine_worker.ffmpeg.findings import Wanted
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY
from telecine_worker.tasks import (
    audio_encoding,
    hardware_encoding,
    loudness,
    picture_graph,
    seeking,
    sound_gaps,
    stream_ends,
    video_encoding,
)
from telecine_worker.tasks.containers import check_codec, container_of, tag_options
from telecine_worker.tasks.edit_lists import check_copied
from telecine_worker.tasks.encoders import check_encoder
from telecine_worker.tasks.examination import examination
from telecine_worker.tasks.hardware_encoding import HardwareEncoder
from telecine_worker.tasks.outcome_length import OutcomeLength
from telecine_worker.tasks.picture_graph import PictureGraph
from telecine_worker.tasks.plan import Argument, OutputPlace, Plan, Step
from telecine_worker.tasks.transcode_expectation import expected
from telecine_worker.tasks.transcode_inputs import TranscodeInputs
from telecine_worker.tasks.trim import part_of

COPY = "copy"
FILTERS = (
    seeking.FILTERS
    | stream_ends.FILTERS
    | picture_graph.FILTERS
    | audio_encoding.FILTERS
    | loudness.FILTERS
    | sound_gaps.FILTERS
)
_LANGUAGE = re.compile(r"[a-z]{3}", re.ASCII)


def input_names(task: media_pb2.TranscodeTask) -> frozenset[str]:
    """The inputs that *task* uses."""
    return frozenset({task.input}) | picture_graph.input_names(task.filters)


def plan(task: media_pb2.TranscodeTask, inputs: Mapping[str, MediaInfo], encoders: Set[str]) -> Plan:
    """What to run for *task*. Raises AttemptFailed naming the field and what would be right."""
    if not task.HasField("video") and not task.HasField("audio"):
        raise permanent("OPTION_INVALID", "a transcode needs video, audio or both")
    if task.filters != media_pb2.Filters() and (not task.HasField("video") or task.video.codec == COPY):
        raise permanent(
            "OPTION_INVALID", "filters change the picture: video with a codec other than copy would be right"
        )
    if task.audio.codec == COPY and task.audio.HasField("loudness"):
        raise permanent("OPTION_INVALID", "audio.loudness changes the sound: a codec other than copy would be right")
    return _Transcode(task, inputs, encoders).plan()


class _Transcode:
    """One task on the way to its plan. *_hardware* is tried before software, in this order."""

    def __init__(self, task: media_pb2.TranscodeTask, inputs: Mapping[str, MediaInfo], encoders: Set[str]) -> None:
        info = inputs[task.input]
        self._task = task
        self._info = info
        self._encoders = encoders
        self._container = container_of(task.path)
        self._part = part_of(task.trim if task.HasField("trim") else None, info)
        self._video = _first_video(task, info)
        self._audio = _first_audio(task, info, self._video)
        self._copies = COPY in (task.video.codec, task.audio.codec)
        self._length = OutcomeLength(
            task.video,
            info,
            self._video,
            self._audio,
            self._part,
            copies_sound=task.audio.codec == COPY,
            fills_gaps=bool(self._filled_gaps()),
        )
        self._file_name = f"out-0.{self._container.extension}"
        self._graph = self._picture_graph(inputs)
        self._hardware = self._hardware_encoders()
        self._check_codecs()

    def plan(self) -> Plan:
        return Plan(
            steps=tuple(self._steps()),
            artifacts=(self._expected(),),
            filters={} if self._graph is None else self._graph.needed,
            wanted=Wanted(loudness=True, planned=loudness.planned(self._loudness)) if self._loudness else None,
            examination=examination(self._task.input, self._info, self._copied()),
        )

    def _copied(self) -> list[VideoStream | AudioStream]:
        of_tasks = ((self._video, self._task.video.codec), (self._audio, self._task.audio.codec))
        return [stream for stream, codec in of_tasks if stream is not None and codec == COPY]

    def _picture_graph(self, inputs: Mapping[str, MediaInfo]) -> PictureGraph | None:
        if self._video is None or self._task.video.codec == COPY:
            return None
        video_encoding.codec_of(self._task.video)
        return picture_graph.build(self._task.video, self._task.filters, self._video, inputs, start=self._part.start)

    def _hardware_encoders(self) -> Sequence[HardwareEncoder]:
        if self._graph is None:
            return ()
        return hardware_encoding.choices(self._task.video, self._graph.pixel_format, self._encoders)

    @property
    def _loudness(self) -> media_pb2.Loudness | None:
        return self._task.audio.loudness if self._audio is not None and self._task.audio.HasField("loudness") else None

    def _expected(self) -> Expected:
        return expected(
            self._task, self._container, self._graph, self._video, self._audio, self._length, file_name=self._file_name
        )

    def _check_codecs(self) -> None:
        """Raise AttemptFailed CODEC_NOT_IN_CONTAINER, ENCODER_MISSING."""
        if self._video is not None:
            copies = self._task.video.codec == COPY
            codec = self._video.codec if copies else video_encoding.codec_of(self._task.video).codec
            check_codec(self._container, codec, video=True)
            if copies:
                check_copied(self._video, self._info.format, self._container)
            if not copies and self._task.video.hardware != media_pb2.Video.HARDWARE_REQUIRED:
                check_encoder(video_encoding.codec_of(self._task.video).encoder, self._encoders)
        if self._audio is not None:
            copies = self._task.audio.codec == COPY
            target = None if copies else audio_encoding.target(self._task.audio, self._audio)
            check_codec(self._container, self._audio.codec if target is None else target.codec.codec, video=False)
            if target is not None:
                check_encoder(target.codec.encoder, self._encoders)

    def _steps(self) -> list[Step]:
        before = [] if self._graph is None else [*self._graph.steps]
        if self._loudness is not None:
            before.append(self._step(self._measuring(), phase=Phase.ANALYZING, weight=loudness.MEASURING_WEIGHT))
        if self._graph is None or not self._task.video.two_pass:
            return [*before, self._only_run()]
        share = video_encoding.first_pass_share(self._task.video, video_encoding.codec_of(self._task.video))
        first = self._step(self._first_pass(), phase=Phase.ANALYZING, weight=share)
        return [*before, first, self._last_step(self._encoding(run=2))]

    def _only_run(self) -> Step:
        """With each hardware encoder in turn, and at last with software."""
        required = self._task.video.hardware == media_pb2.Video.HARDWARE_REQUIRED
        step = None if required else self._last_step(self._encoding())
        for encoder in reversed(self._hardware):
            tried = self._last_step([*encoder.family.device, *self._encoding(hardware=encoder)])
            step = replace(tried, hardware=encoder.name, otherwise=step)
        # Of a required one there is at least one choice; where video is copied or absent, nothing is required.
        return step or self._last_step(self._encoding())

    def _step(self, argv: Sequence[Argument], *, phase: Phase, weight: float = 1.0) -> Step:
        frames = self._length.frame_count() if "-vn" not in argv else None
        return Step(argv=tuple(argv), phase=phase, weight=weight, duration=self._part.duration, frame_count=frames)

    def _last_step(self, argv: Sequence[Argument]) -> Step:
        return replace(
            self._step(argv, phase=Phase.ENCODING),
            least_duration=self._length.least_duration(),
            least_pictures=self._length.least_pictures(),
            arrivals=self._length.own_ends().arrivals(self._task.input),
        )

    def _inputs(self, *, video: bool = True, audio: bool = True) -> TranscodeInputs:
        """Of a run that uses these streams."""
        pictures = [self._video] if video and self._video is not None else []
        sounds = [self._audio] if audio and self._audio is not None else []
        copies_sound = self._task.audio.codec == COPY
        return TranscodeInputs(
            self._task.input,
            self._info,
            self._part,
            self._graph if video else None,
            encoded=[*(pictures if self._graph is not None else []), *([] if copies_sound else sounds)],
            copied=[*([] if self._graph is not None else pictures), *(sounds if copies_sound else [])],
        )

    def _measuring(self) -> list[Argument]:
        assert self._audio is not None and self._loudness is not None  # noqa: S101, PT018 - asked before
        mixing = audio_encoding.target(self._task.audio, self._audio).mixing
        inputs = self._inputs(video=False)
        before = [*inputs.cut.sound(), *self._filled_gaps(), mixing]
        # The measurement is said at info. No line may be folded into "repeated 3 times".
        return [
            *("-loglevel", "repeat+level+info", *inputs.options(), "-map", f"0:{self._audio.index}"),
            *("-af", loudness.measuring(self._loudness, before), "-vn", *_NOTHING_ELSE, "-f", "null", "-"),
        ]

    def _first_pass(self) -> list[Argument]:
        inputs = self._inputs(audio=False)
        pictures = self._pictures(inputs, run=1)
        return [*inputs.options(), *pictures, *_NOTHING_ELSE, "-an", "-f", "null", "-"]

    def _encoding(self, *, run: int = 0, hardware: HardwareEncoder | None = None) -> list[Argument]:
        inputs = self._inputs()
        argv: list[Argument] = [*ABORT_WHEN_EMPTY, *inputs.options()]
        argv += [*self._pictures(inputs, run=run, hardware=hardware), *self._sound(inputs)]
        argv += [*_NOTHING_ELSE, *self._language()]
        # A copied stream that is cut may begin before 0.
        argv += ["-avoid_negative_ts", "make_zero"] if self._copies and not self._part.is_whole else []
        argv += inputs.cutting()
        return [*argv, *self._container.options, "-f", self._container.muxer, OutputPlace(self._file_name)]

    def _pictures(self, inputs: TranscodeInputs, *, run: int, hardware: HardwareEncoder | None = None) -> list[str]:
        if self._video is None:
            return []
        if self._graph is None:
            stream = f"{inputs.place_of_copied}:{self._video.index}"
            return ["-map", stream, "-c:v", COPY, *tag_options(self._container, self._video.codec)]
        # Once: in a last run.
        ends = self._length.own_ends()
        marks = [] if run == 1 else ends.of_pictures()
        graph = replace(self._graph, before=(*inputs.cut.pictures(), *marks, *self._graph.before))
        codec = video_encoding.codec_of(self._task.video)
        upload = () if hardware is None else (hardware.upload(self._graph.pixel_format),)
        rate = self._length.frame_rate
        encoder = (
            video_encoding.encoder_options(self._task.video, codec, rate, run)
            if hardware is None
            else hardware.options(self._task.video, rate)
        )
        # A new rate is made by the filter fps.
        is_even = self._task.video.HasField("frame_rate")
        limit = [*self._length.frame_limit(), *(inputs.cut.limit() if is_even else [])]
        times = [] if is_even else [*inputs.cut.clock(), *inputs.cut.packets(are_cut=ends.pictures is None)]
        return [
            *graph.options(self._video.index, *limit, *inputs.uncut("setpts"), *upload),
            # Said always: the default is another one in FFmpeg 5 and 9.
            *("-fps_mode", "vfr", *encoder, *tag_options(self._container, codec.codec), *times),
        ]

    def _sound(self, inputs: TranscodeInputs) -> list[Argument]:
        if self._audio is None:
            return []
        if self._task.audio.codec == COPY:
            return ["-map", f"{inputs.place_of_copied}:{self._audio.index}", "-c:a", COPY]
        target = audio_encoding.target(self._task.audio, self._audio)
        before = [*inputs.cut.sound(), *self._length.own_ends().of_sound(), *self._filled_gaps()]
        before += inputs.uncut("asetpts")
        made: Sequence[Argument] = (
            target.options(*before) if self._loudness is None else target.normalized_options(self._loudness, *before)
        )
        return ["-map", f"0:{self._audio.index}", *made]

    def _filled_gaps(self) -> list[str]:
        """The filter of loudness counts samples, as do files without times."""
        counted = self._loudness is not None or not self._container.keeps_gaps
        return sound_gaps.filling() if counted else []

    def _language(self) -> list[str]:
        """Of all that a file says of itself the one thing that players ask for."""
        language = "" if self._audio is None else self._audio.language
        return ["-metadata:s:a:0", f"language={language}"] if _LANGUAGE.fullmatch(language) else []


_NOTHING_ELSE = ("-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1")


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
