"""What the file of a transcode has to be."""

from __future__ import annotations

from datetime import timedelta

from telecine.v1 import media_pb2
from telecine_worker.ffmpeg.expected import Expected, ExpectedAudio, ExpectedVideo
from telecine_worker.ffmpeg.media_info import AudioStream, VideoStream
from telecine_worker.tasks import audio_encoding, video_encoding
from telecine_worker.tasks.containers import Container, media_type_of
from telecine_worker.tasks.outcome_length import COPY, OutcomeLength
from telecine_worker.tasks.picture_graph import PictureGraph
from telecine_worker.tasks.stream_span import PACKED

ROUGH_TOLERANCE = timedelta(milliseconds=500)


def expected(
    task: media_pb2.TranscodeTask,
    container: Container,
    graph: PictureGraph | None,
    video: VideoStream | None,
    audio: AudioStream | None,
    length: OutcomeLength,
    *,
    file_name: str,
) -> Expected:
    """Of the streams *video* and *audio*; *graph* is None where pictures are copied or absent."""
    return Expected(
        path=task.path,
        file_name=file_name,
        media_type=media_type_of(container, has_video=video is not None),
        formats=container.formats,
        exact_streams=True,
        video=None if video is None else _video(task.video, graph, video, length),
        audio=None if audio is None else _audio(task.audio, audio, length, container),
        duration=length.duration(),
        tolerance=_rough(length.tolerance(), container, audio),
        late=length.late(),
        moov_first=container.moov_first,
        encoded=COPY not in (task.video.codec, task.audio.codec),
    )


def _video(
    wanted: media_pb2.Video, graph: PictureGraph | None, source: VideoStream, length: OutcomeLength
) -> ExpectedVideo:
    frames, tolerance = length.exact_frame_count(), length.frame_tolerance()
    if graph is None:
        return ExpectedVideo(codec=source.codec, frame_count=frames, frame_tolerance=tolerance)
    return ExpectedVideo(
        codec=video_encoding.codec_of(wanted).codec,
        width_px=graph.width_px,
        height_px=graph.height_px,
        pixel_format=graph.pixel_format,
        color_transfer=graph.color_transfer,
        frame_count=frames,
        frame_tolerance=tolerance,
        end=length.pictures_end(),
        end_tolerance=length.stream_tolerance(),
        end_late=length.pictures_late(),
    )


def _audio(wanted: media_pb2.Audio, source: AudioStream, length: OutcomeLength, container: Container) -> ExpectedAudio:
    if wanted.codec == COPY:
        return ExpectedAudio(codec=source.codec)
    target = audio_encoding.target(wanted, source)
    return ExpectedAudio(
        codec=target.codec.codec,
        sample_rate_hz=target.rate_hz,
        channel_count=target.channels,
        end=length.sound_end(),
        end_tolerance=_rough(length.stream_tolerance(), container, source),
        end_late=length.sound_late(),
    )


def _rough(tolerance: timedelta, container: Container, audio: AudioStream | None) -> timedelta:
    """Where the sound ends as it is told may be where its last packet begins, of which the muxer fills each with 0.4 s."""
    return (
        max(tolerance, ROUGH_TOLERANCE) if audio is not None and not PACKED.isdisjoint(container.formats) else tolerance
    )
