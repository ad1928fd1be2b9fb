"""PackagingTask: HLS and DASH over one set of CMAF segments, from one decode.

FFmpeg's dash muxer writes the segments: what its hls muxer writes into them begins at 0 in each rendition, however long the
encoder delays pictures, with the difference in an edit list of two parts that many players pass over. The playlists and the
manifest are ours, written from what the segments turn out to be.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from datetime import timedelta
from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.expected import Expected, ExpectedAudio, ExpectedVideo
from telecine_worker.ffmpeg.expected_package import (
    HLS_TYPE,
    MUXER_INIT,
    MUXER_MANIFEST,
    MUXER_SEGMENT,
    SOUND_NAME,
    ExpectedPackage,
    ExpectedTrack,
)
from telecine_worker.ffmpeg.findings import Wanted
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, VideoStream
from telecine_worker.ffmpeg.probe import MAX_DURATION
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY
from telecine_worker.tasks import loudness, package_sound, picture_graph, stream_ends, video_encoding
from telecine_worker.tasks.encoders import check_encoder
from telecine_worker.tasks.key_frames import constant_rate, grid
from telecine_worker.tasks.ladder import ladder
from telecine_worker.tasks.moments import exact_seconds
from telecine_worker.tasks.package_graph import PackageGraph, most_pictures
from telecine_worker.tasks.package_rules import check_renditions, check_sizes, formats_of
from telecine_worker.tasks.plan import Argument, InputPlace, OutputPlace, Plan, Step
from telecine_worker.tasks.rendition_options import joined, key_frame_options, of_stream
from telecine_worker.tasks.stream_ends import StreamEnds, last_picture
from telecine_worker.tasks.stream_span import span_of

FILTERS = (
    frozenset({"split", "fps", "trim", "setparams"})
    | picture_graph.FILTERS
    | package_sound.FILTERS
    | stream_ends.FILTERS
)
MOST_FILES = 50_000
SOUND_TOLERANCE = timedelta(milliseconds=150)
_FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2",)


def input_names(task: media_pb2.PackagingTask) -> frozenset[str]:
    """The inputs that *task* uses."""
    return frozenset({task.input}) | picture_graph.input_names(task.filters)


def plan(task: media_pb2.PackagingTask, inputs: Mapping[str, MediaInfo], encoders: Set[str]) -> Plan:
    """What to run for *task*. Raises AttemptFailed naming the field and what would be right."""
    return _Packaging(task, inputs, encoders).plan()


class _Packaging:
    """One task on the way to its plan."""

    def __init__(self, task: media_pb2.PackagingTask, inputs: Mapping[str, MediaInfo], encoders: Set[str]) -> None:
        self._task = task
        self._encoders = encoders
        self._info = inputs[task.input]
        self._source = _picture_of(task, self._info)
        self._sound = self._info.audio[0] if self._info.audio else None
        self._renditions = self._chosen_renditions()
        check_renditions(self._renditions)
        self._rates = [self._rate(rendition) for rendition in self._renditions]
        names = [rendition.name for rendition in self._renditions]
        self._grid = grid(task, dict(zip(names, self._rates, strict=True)))
        self._shown = span_of(self._source, self._info)
        self._heard = None if self._sound is None else span_of(self._sound, self._info)
        end = self._shown.end or self._info.duration
        self._seconds = None if end is None else exact_seconds(end)
        self._longest_seconds = None if end is None else self._end_of_all(end)
        self._check_number_of_files()
        self._limit_seconds = self._limit()
        self._graph = PackageGraph(
            self._renditions,
            self._rates,
            task.filters,
            self._source,
            inputs,
            limit_seconds=self._limit_seconds,
            first=self._ends().of_pictures(),
        )
        check_sizes(self._renditions, self._graph.graphs)

    def plan(self) -> Plan:
        package = self._package()
        loud = self._sound is not None and self._task.audio.HasField("loudness")
        return Plan(
            steps=(*self._graph.steps, *self._measuring(), self._step()),
            artifacts=package.listings(),
            filters=self._graph.needed,
            wanted=Wanted(loudness=True, planned=loudness.planned(self._task.audio.loudness)) if loud else None,
            package=package,
        )

    def _chosen_renditions(self) -> Sequence[media_pb2.Rendition]:
        if self._task.renditions:
            return list(self._task.renditions)
        shown = picture_graph.shown(self._task.filters, self._source)
        return ladder(shown.width_px, shown.height_px, constant_rate(self._source) or Fraction(0))

    def _rate(self, rendition: media_pb2.Rendition) -> Fraction:
        if rendition.video.HasField("frame_rate"):
            return Fraction(rendition.video.frame_rate.numerator, rendition.video.frame_rate.denominator)
        rate = constant_rate(self._source)
        if rate is None:
            raise permanent(
                "OPTION_INVALID",
                f"rendition {rendition.name}: the input's frame rate cannot be told; set video.frame_rate",
            )
        return rate

    def _end_of_all(self, end_of_pictures: timedelta) -> Fraction:
        sound = None if self._heard is None else self._heard.end
        return exact_seconds(max(end_of_pictures, sound or timedelta(0), self._info.duration or timedelta(0)))

    def _ends(self) -> StreamEnds:
        """Of what is read, in the time that is counted from where the first stream begins."""
        begin = min(self._shown.begin, self._shown.begin if self._heard is None else self._heard.begin)
        pictures = None if self._shown.end is None else self._shown.end - begin
        sound = None if self._heard is None or self._heard.end is None else self._heard.end - begin
        is_steady = not self._source.variable_frame_rate
        last = last_picture(pictures, self._source.frame_rate, is_steady=is_steady)
        return StreamEnds(sound=sound, pictures=pictures, last_picture=last)

    def _limit(self) -> Fraction:
        """Where all tracks are cut. A source that reaches it is longer than it says, or too long for its package."""
        tracks = len(self._renditions) + (self._sound is not None)
        most = min(MOST_FILES // tracks * self._grid.segment_seconds, exact_seconds(MAX_DURATION))
        if self._longest_seconds is None:
            return most
        # What a source says of itself may be a few pictures, or packets of sound, too short.
        return min(
            most, self._longest_seconds + max(Fraction(1), 4 / min(self._rates)) + exact_seconds(self._shown.late)
        )

    def _check_number_of_files(self) -> None:
        if self._longest_seconds is None:
            return
        segments = math.ceil(self._longest_seconds / self._grid.segment_seconds)
        files = segments * (len(self._renditions) + (self._sound is not None))
        if files > MOST_FILES:
            raise permanent(
                "OPTION_INVALID",
                f"{segments} segments of {float(self._grid.segment_seconds):g} s in each rendition are {files} files; at most "
                f"{MOST_FILES} are made; a longer segment_duration, or fewer renditions, would be right",
            )

    def _measuring(self) -> list[Step]:
        if self._sound is None or not self._task.audio.HasField("loudness"):
            return []
        made = package_sound.target(self._task.audio, self._sound)
        return [package_sound.measuring(self._task.input, self._task.audio, made, self._sound, self._limit_seconds)]

    def _step(self) -> Step:
        argv: list[Argument] = [*ABORT_WHEN_EMPTY, *whitelists.BEFORE_INPUT, "-i", InputPlace(self._task.input)]
        argv += [*self._graph.inputs(), "-filter_complex", self._graph.text()]
        for number in range(len(self._renditions)):
            argv += ["-map", f"[v{number}]", *of_stream(self._video_options(number), "v", number)]
        if self._sound is not None:
            argv += ["-map", f"0:{self._sound.index}", *of_stream(self._sound_options(self._sound), "a", 0)]
        argv += ["-sn", "-dn", "-map_metadata", "-1", "-map_chapters", "-1", *self._muxer_options()]
        return Step(
            argv=(*argv, "-f", "dash", OutputPlace(MUXER_MANIFEST)),
            duration=None if self._longest_seconds is None else timedelta(seconds=float(self._longest_seconds)),
            frame_count=self._frame_count(0),
            least_pictures=self._least_pictures(),
            most_duration=timedelta(seconds=float(self._limit_seconds)),
            most_pictures=most_pictures(self._rates[0], self._limit_seconds),
            arrivals=self._ends().arrivals(self._task.input),
        )

    def _video_options(self, number: int) -> list[str]:
        rendition = self._renditions[number]
        codec = video_encoding.codec_of(rendition.video)
        check_encoder(codec.encoder, self._encoders)
        options = [
            *video_encoding.encoder_options(rendition.video, codec, self._rates[number], 0),
            *key_frame_options(codec.encoder, self._grid.gop_frames[rendition.name]),
            # Said always: the default is another one in FFmpeg 5 and 9.
            *("-fps_mode", "passthrough"),
            *(("-tag:v", "hvc1") if codec.codec == "hevc" else ()),
        ]
        return joined(options)

    def _sound_options(self, source: AudioStream) -> list[Argument]:
        audio = package_sound.wanted(self._task, source)
        made = package_sound.target(audio, source)
        check_encoder(made.codec.encoder, self._encoders)
        return package_sound.options(audio, made, self._limit_seconds, first=self._ends().of_sound())

    def _frame_count(self, number: int) -> int | None:
        return None if self._seconds is None else round(self._seconds * self._rates[number])

    def _exact_frame_count(self, number: int) -> int | None:
        """What will be checked. How long the last picture of a variable rate is shown, nobody knows."""
        is_exact = self._is_steady() and not self._shown.late
        return self._frame_count(number) if is_exact else None

    def _least_pictures(self) -> int:
        """Of the first rendition."""
        frames = self._frame_count(0) if self._is_steady() else None
        return 0 if frames is None else max(0, frames - self._frame_tolerance(0))

    def _is_steady(self) -> bool:
        return self._shown.end is not None and not self._source.variable_frame_rate

    def _frame_tolerance(self, number: int) -> int:
        """What a tenth of a second holds, and at least one."""
        return max(1, math.ceil(self._rates[number] / 10))

    def _muxer_options(self) -> list[str]:
        # Rounded down: a segment that is not over at its key frame would be twice as long.
        segment = int(self._grid.segment_seconds * 10**6)
        return [
            *("-dash_segment_type", "mp4", "-seg_duration", f"{segment // 10**6}.{segment % 10**6:06d}"),
            # With a timeline the muxer would write all of it anew for each segment.
            *("-use_template", "1", "-use_timeline", "0"),
            *("-init_seg_name", MUXER_INIT, "-media_seg_name", MUXER_SEGMENT),
        ]

    def _package(self) -> ExpectedPackage:
        formats = formats_of(self._task)
        return ExpectedPackage(
            directory=self._task.directory,
            tracks=(*(self._track(number) for number in range(len(self._renditions))), *self._sound_track()),
            gop_seconds=self._grid.gop_seconds,
            segment_seconds=self._grid.segment_seconds,
            with_hls=media_pb2.PackagingTask.FORMAT_HLS in formats,
            with_dash=media_pb2.PackagingTask.FORMAT_DASH in formats,
        )

    def _track(self, number: int) -> ExpectedTrack:
        rendition, graph = self._renditions[number], self._graph.graphs[number]
        video = ExpectedVideo(
            codec=video_encoding.codec_of(rendition.video).codec,
            width_px=graph.width_px,
            height_px=graph.height_px,
            pixel_format=graph.pixel_format,
            color_transfer=graph.color_transfer,
            frame_count=self._exact_frame_count(number),
            frame_tolerance=self._frame_tolerance(number),
        )
        stream = self._stream(rendition.name, video=video)
        return ExpectedTrack(name=rendition.name, stream=stream, frame_rate=self._rates[number])

    def _sound_track(self) -> list[ExpectedTrack]:
        if self._sound is None or self._heard is None:
            return []
        made = package_sound.target(package_sound.wanted(self._task, self._sound), self._sound)
        audio = ExpectedAudio(codec=made.codec.codec, sample_rate_hz=made.rate_hz, channel_count=made.channels)
        stream = self._stream(SOUND_NAME, audio=audio, duration=self._heard.end, late=self._heard.late)
        return [ExpectedTrack(name=SOUND_NAME, stream=stream, language=self._sound.language)]

    def _stream(
        self,
        name: str,
        *,
        video: ExpectedVideo | None = None,
        audio: ExpectedAudio | None = None,
        duration: timedelta | None = None,
        late: timedelta = timedelta(0),
    ) -> Expected:
        return Expected(
            path=f"{self._task.directory}/{name}.m3u8",
            file_name=f"{name}.m3u8",
            media_type=HLS_TYPE,
            formats=_FORMATS,
            exact_streams=True,
            video=video,
            audio=audio,
            duration=duration,
            tolerance=SOUND_TOLERANCE,
            late=late,
        )


def _picture_of(task: media_pb2.PackagingTask, info: MediaInfo) -> VideoStream:
    if info.is_still:
        raise permanent("INPUT_MISSING_STREAM", f"a package has moving pictures, but input {task.input} is a still one")
    if not info.video:
        raise permanent("INPUT_MISSING_STREAM", f"a package has pictures, but input {task.input} has none")
    if not info.video[0].width_px or not info.video[0].height_px:
        raise permanent("INPUT_INVALID", f"the size of the video of input {task.input} cannot be told")
    return info.video[0]
