"""Clips one after the other, encoded alike.

A few clips at a time are decoded by one process, brought to one size, rate and layout of channels, and joined by the filter
concat. Pictures are encoded there and then; the sound stays as it is until all of it is there, because each encoding of sound
begins and ends with samples of its own. So memory is bounded, however many clips there are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

from telecine.v1 import media_pb2
from telecine_worker.failure import permanent
from telecine_worker.ffmpeg import whitelists
from telecine_worker.ffmpeg.expected import Expected, ExpectedAudio, ExpectedVideo
from telecine_worker.ffmpeg.findings import Wanted
from telecine_worker.ffmpeg.media_info import VideoStream
from telecine_worker.ffmpeg.progress import Phase
from telecine_worker.ffmpeg.run import ABORT_WHEN_EMPTY
from telecine_worker.tasks import colors, even_pictures, loudness, picture, video_encoding
from telecine_worker.tasks.audio_encoding import AudioTarget, target
from telecine_worker.tasks.clips import Clip, length_of, of_input, rounded, split
from telecine_worker.tasks.concat_graph import Common, Pictures, arrivals_of, cuts_of, graph
from telecine_worker.tasks.concat_list import concat_list, list_input
from telecine_worker.tasks.containers import check_codec, container_of, media_type_of, tag_options
from telecine_worker.tasks.encoders import check_encoder
from telecine_worker.tasks.inputs_per_run import inputs_per_run
from telecine_worker.tasks.plan import Argument, InputPlace, OutputPlace, Plan, Script, Step
from telecine_worker.tasks.seeking import Cut

# Encoders of sound work in frames of up to 60 ms, and pad the first and the last one.
TOLERANCE = timedelta(milliseconds=150)
PICTURES_LIST, SOUND_LIST = "pictures.txt", "sound.txt"
DEFAULT_RATE = Fraction(30)
# Of the time of encoding.
JOINING_WEIGHT = 0.03
_FRESH = "pcm_s24le"


def plan(task: media_pb2.ConcatTask, clips: Sequence[Clip], encoders: Set[str]) -> Plan:
    """What to run for *task*, which asks for video, audio or both. Raises AttemptFailed."""
    return _Encoding(task, clips, encoders).plan()


class _Encoding:
    """One task on the way to its plan."""

    def __init__(self, task: media_pb2.ConcatTask, clips: Sequence[Clip], encoders: Set[str]) -> None:
        self._task = task
        self._clips = clips
        self._encoders = encoders
        self._container = container_of(task.path)
        self._made = self._common()
        self._file_name = f"out-0.{self._container.extension}"

    def plan(self) -> Plan:
        most = inputs_per_run(clip.video for clip in self._clips if self._made.pictures is not None)
        parts = [self._clips[at : at + most] for at in range(0, len(self._clips), most)]
        steps = [step for number, part in enumerate(parts) for step in self._part(number, part)]
        levels = self._levels
        return Plan(
            steps=(*steps, *self._join()),
            artifacts=(self._expected(),),
            filters=self._needed(),
            wanted=None if levels is None else Wanted(loudness=True, planned=loudness.planned(levels)),
            scripts=tuple(self._lists(parts)),
        )

    def _needed(self) -> dict[str, str]:
        """Filters that a build may be without."""
        mapped = self._made.pictures is not None and any(
            colors.is_tone_mapped(self._task.video, clip.video) for clip in self._clips
        )
        return {colors.TONE_MAPPING_FILTER: "video.tone_map_to_sdr"} if mapped else {}

    @property
    def _levels(self) -> media_pb2.Loudness | None:
        wanted = self._task.audio.HasField("loudness") and self._made.sound is not None
        return self._task.audio.loudness if wanted else None

    @property
    def _seconds(self) -> Fraction:
        """Of all."""
        if self._made.pictures is not None:
            return sum(self._made.frames) / self._made.pictures.rate
        return sum((clip.seconds for clip in self._clips), Fraction(0))

    def _common(self) -> Common:
        """Where pictures set the pace, a clip is a whole number of them; each begins where the one before ends."""
        pictures = self._pictures() if self._task.HasField("video") else None
        sound = self._sounds() if self._task.HasField("audio") else None
        frames = rounded(self._clips, pictures.rate) if pictures is not None else ()
        samples: tuple[int, ...] = ()
        if sound is not None and pictures is not None:
            samples = split([count / pictures.rate for count in frames], Fraction(sound.rate_hz))
        elif sound is not None:
            samples = rounded(self._clips, Fraction(sound.rate_hz))
        return Common(pictures=pictures, sound=sound, frames=frames, samples=samples)

    def _pictures(self) -> Pictures:
        """By the first clip where the task does not say."""
        video = self._task.video
        codec = video_encoding.codec_of(video)
        check_codec(self._container, codec.codec, video=True)
        check_encoder(codec.encoder, self._encoders)
        if video.hardware:
            raise permanent("UNSUPPORTED_OPTION", "video.hardware: clips are encoded by software; leave it out")
        for clip in self._clips:
            _check_video(clip, self._clips[0], video)
        first = self._clips[0].video
        wide, high = picture.size(video, first)
        pixel_format = colors.pixel_format(video, first)
        return Pictures(
            width_px=wide,
            height_px=high,
            rate=_rate(video, first),
            pixel_format=pixel_format,
            matrix=colors.common_matrix(first, pixel_format, tone_mapped=colors.is_tone_mapped(video, first)),
            tone_map_to_sdr=video.tone_map_to_sdr,
        )

    def _sounds(self) -> AudioTarget | None:
        """By the first clip that has some; None where no clip has, and there are pictures."""
        heard = next((clip.audio for clip in self._clips if clip.audio is not None), None)
        if heard is None and self._task.HasField("video"):
            return None
        if heard is None:
            raise permanent("INPUT_MISSING_STREAM", "audio is asked for, but none of the clips has any")
        made = target(self._task.audio, heard)
        check_codec(self._container, made.codec.codec, video=False)
        check_encoder(made.codec.encoder, self._encoders)
        return made

    def _part(self, number: int, clips: Sequence[Clip]) -> Iterator[Step]:
        """The pictures and the sound of a few clips."""
        video = self._task.video
        if self._made.pictures is not None and video.two_pass:
            share = video_encoding.first_pass_share(video, video_encoding.codec_of(video))
            yield self._encode(number, clips, run=1, phase=Phase.ANALYZING, share=share)
        yield self._encode(number, clips, run=2 if video.two_pass else 0)

    def _encode(
        self, number: int, clips: Sequence[Clip], *, run: int, phase: Phase = Phase.ENCODING, share: float = 1.0
    ) -> Step:
        """Where a clip has no picture that is decoded on the way to it, all are read from their beginning."""
        has_sound = self._made.sound is not None and run != 1
        cuts, from_start = (cuts_of(clips, self._made, has_sound=has_sound, from_start=each) for each in (False, True))
        frames = sum(self._made.frames[clip.number] for clip in clips) if self._made.pictures is not None else None
        length = sum((clip.seconds for clip in clips), Fraction(0))
        step = Step(
            argv=self._argv(number, clips, cuts, run=run),
            phase=phase,
            weight=share * float(length / self._seconds),
            duration=length_of(length),
            frame_count=frames,
            # FFmpeg 9 says 0 of the first pass of VP9.
            least_pictures=0 if run == 1 else frames or 0,
            arrivals=arrivals_of(clips, self._made, has_sound=has_sound),
        )
        if cuts == from_start or self._made.pictures is None:
            return step
        return replace(step, otherwise=replace(step, argv=self._argv(number, clips, from_start, run=run)))

    def _argv(self, number: int, clips: Sequence[Clip], cuts: Sequence[Cut], *, run: int) -> tuple[Argument, ...]:
        has_sound = self._made.sound is not None and run != 1
        argv: list[Argument] = [*(() if run == 1 else ABORT_WHEN_EMPTY)]
        for clip, cut in zip(clips, cuts, strict=True):
            options = even_pictures.reading(cut, clip.part.length)
            argv += [*options, *whitelists.BEFORE_INPUT, "-i", InputPlace(clip.input)]
        argv += ["-filter_complex", graph(clips, cuts, self._made, has_sound=has_sound)]
        argv += self._encoded_pictures(number, run)
        if has_sound:
            argv += ["-map", "[sound]", "-c:a", _FRESH, "-map_metadata", "-1", "-rf64", "auto", "-f", "wav"]
            argv += [OutputPlace(_sound_file(number))]
        return tuple(argv)

    def _encoded_pictures(self, number: int, run: int) -> list[Argument]:
        if self._made.pictures is None:
            return []
        video = self._task.video
        codec = video_encoding.codec_of(video)
        options: list[Argument] = ["-map", "[pictures]", "-fps_mode", "passthrough"]
        options += [*video_encoding.encoder_options(video, codec, self._made.pictures.rate, run), "-map_metadata", "-1"]
        return (
            [*options, "-f", "null", "-"] if run == 1 else [*options, "-f", "mp4", OutputPlace(_picture_file(number))]
        )

    def _join(self) -> Iterator[Step]:
        """Pictures as they are, sound encoded."""
        levels = self._levels
        if levels is not None and self._made.sound is not None:
            measuring = loudness.measuring(levels, [self._made.sound.mixing])
            argv = ("-loglevel", "repeat+level+info", *list_input(SOUND_LIST), "-map", "0:a:0", "-af", measuring)
            yield Step(
                argv=(*argv, "-f", "null", "-"),
                phase=Phase.ANALYZING,
                weight=loudness.MEASURING_WEIGHT,
                duration=length_of(self._seconds),
            )
        argv_joined: list[Argument] = [*ABORT_WHEN_EMPTY, "-xerror"]
        outputs: list[Argument] = []
        if self._made.pictures is not None:
            argv_joined += list_input(PICTURES_LIST)
            codec = video_encoding.codec_of(self._task.video).codec
            outputs += ["-map", "0:v:0", "-c:v", "copy", *tag_options(self._container, codec)]
        if self._made.sound is not None:
            argv_joined += list_input(SOUND_LIST)
            sound = self._made.sound
            outputs += ["-map", f"{int(self._made.pictures is not None)}:a:0"]
            outputs += sound.options() if levels is None else sound.normalized_options(levels)
        outputs += ["-map_metadata", "-1", "-map_chapters", "-1", *self._container.options]
        yield Step(
            argv=(*argv_joined, *outputs, "-f", self._container.muxer, OutputPlace(self._file_name)),
            weight=JOINING_WEIGHT,
            duration=length_of(self._seconds),
            frame_count=sum(self._made.frames) if self._made.pictures is not None else None,
        )

    def _lists(self, parts: Sequence[Sequence[Clip]]) -> Iterator[Script]:
        if self._made.pictures is not None:
            rate = self._made.pictures.rate
            lengths = [sum(self._made.frames[clip.number] for clip in part) / rate for part in parts]
            files = [OutputPlace(_picture_file(number)) for number in range(len(parts))]
            yield concat_list(PICTURES_LIST, zip(files, map(length_of, lengths), strict=True))
        if self._made.sound is not None:
            files = [OutputPlace(_sound_file(number)) for number in range(len(parts))]
            yield concat_list(SOUND_LIST, ((file, None) for file in files))

    def _expected(self) -> Expected:
        video, sound = self._made.pictures, self._made.sound
        is_open = video is None and any(clip.is_open for clip in self._clips)
        length = None if is_open else length_of(self._seconds)
        return Expected(
            path=self._task.path,
            file_name=self._file_name,
            media_type=media_type_of(self._container, has_video=video is not None),
            formats=self._container.formats,
            exact_streams=True,
            video=None if video is None else self._expected_video(video, length),
            audio=None
            if sound is None
            else ExpectedAudio(
                codec=sound.codec.codec,
                sample_rate_hz=sound.rate_hz,
                channel_count=sound.channels,
                end=length,
                end_tolerance=TOLERANCE,
            ),
            duration=length,
            tolerance=TOLERANCE,
            moov_first=self._container.moov_first,
        )

    def _expected_video(self, made: Pictures, length: timedelta | None) -> ExpectedVideo:
        return ExpectedVideo(
            codec=video_encoding.codec_of(self._task.video).codec,
            width_px=made.width_px,
            height_px=made.height_px,
            pixel_format=made.pixel_format,
            frame_count=sum(self._made.frames),
            end=length,
            end_tolerance=TOLERANCE,
        )


def _check_video(clip: Clip, first: Clip, video: media_pb2.Video) -> None:
    if not clip.info.video:
        raise permanent(
            "INPUT_MISSING_STREAM", f"{of_input(clip)} has no video; leave it out, or video out of the task"
        )
    if not clip.video.width_px or not clip.video.height_px:
        raise permanent("INPUT_INVALID", f"the size of the video of {of_input(clip)} cannot be told")
    if colors.is_hdr(clip.video) != colors.is_hdr(first.video) and not video.tone_map_to_sdr:
        raise permanent(
            "OPTION_INVALID",
            f"of {of_input(clip)} and {of_input(first)} only one is HDR; set video.tone_map_to_sdr",
        )


def _rate(video: media_pb2.Video, first: VideoStream) -> Fraction:
    """The first clip's, where it is constant."""
    if video.HasField("frame_rate"):
        return Fraction(video.frame_rate.numerator, video.frame_rate.denominator)
    rate = None if first.variable_frame_rate else first.frame_rate
    return rate if rate is not None and rate <= video_encoding.MAX_RATE else DEFAULT_RATE


def _picture_file(number: int) -> str:
    return f"part-{number}.mp4"


def _sound_file(number: int) -> str:
    return f"part-{number}.wav"
