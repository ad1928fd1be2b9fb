"""From the worker's values to the messages of telecine.v1."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

from google.protobuf import duration_pb2

from telecine.v1 import job_pb2, media_pb2
from telecine_worker.failure import Failure, FailureKind
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, SubtitleStream, VideoStream
from telecine_worker.ffmpeg.progress import Phase, Snapshot
from telecine_worker.outcome import Artifact, Succeeded

_KINDS = {
    FailureKind.PERMANENT: job_pb2.Failure.KIND_PERMANENT,
    FailureKind.RETRYABLE: job_pb2.Failure.KIND_RETRYABLE,
    FailureKind.CRASH: job_pb2.Failure.KIND_CRASH,
    FailureKind.DEADLINE: job_pb2.Failure.KIND_DEADLINE,
    FailureKind.UNKNOWN: job_pb2.Failure.KIND_UNKNOWN,
}

_PHASES = {
    Phase.FETCHING: job_pb2.Progress.PHASE_FETCHING,
    Phase.PROBING: job_pb2.Progress.PHASE_PROBING,
    Phase.ANALYZING: job_pb2.Progress.PHASE_ANALYZING,
    Phase.ENCODING: job_pb2.Progress.PHASE_ENCODING,
    Phase.VERIFYING: job_pb2.Progress.PHASE_VERIFYING,
    Phase.UPLOADING: job_pb2.Progress.PHASE_UPLOADING,
    Phase.PUBLISHING: job_pb2.Progress.PHASE_PUBLISHING,
}

# What a Rational can hold.
_LARGEST_TERM = 2**31 - 1


def duration(value: timedelta) -> duration_pb2.Duration:
    """A Duration message."""
    message = duration_pb2.Duration()
    message.FromTimedelta(value)
    return message


def failure(value: Failure) -> job_pb2.Failure:
    """A Failure message, log tail included."""
    return job_pb2.Failure(
        kind=_KINDS[value.kind],
        reason=value.reason,
        message=value.message,
        log_tail=value.log_tail,
        exit_code=value.exit_code,
    )


def progress(value: Snapshot) -> job_pb2.Progress:
    """A Progress message; its update_time is the scheduler's to set."""
    return job_pb2.Progress(
        fraction=value.fraction,
        phase=_PHASES[value.phase],
        media_position=_optional(value.media_position),
        media_duration=_optional(value.media_duration),
        speed=value.speed,
        frames_per_second=value.frames_per_second,
        frame_count=value.frame_count,
        output_size_bytes=value.output_size_bytes,
        remaining_duration=_optional(value.remaining),
    )


def result(value: Succeeded) -> job_pb2.JobResult:
    """A JobResult message."""
    return job_pb2.JobResult(
        artifacts=[artifact(each) for each in value.artifacts],
        measurements=value.measurements,
        inputs={name: media_info(info) for name, info in value.inputs.items()},
    )


def artifact(value: Artifact) -> job_pb2.Artifact:
    """An Artifact message."""
    return job_pb2.Artifact(
        path=value.path,
        uri=value.uri,
        size_bytes=value.size_bytes,
        sha256=value.sha256,
        media_type=value.media_type,
        media=None if value.media is None else media_info(value.media),
        file_count=value.file_count,
    )


def media_info(value: MediaInfo) -> media_pb2.MediaInfo:
    """A MediaInfo message."""
    return media_pb2.MediaInfo(
        format=value.format,
        duration=_optional(value.duration),
        size_bytes=value.size_bytes,
        bitrate_bps=value.bitrate_bps,
        video_streams=[_video(stream) for stream in value.video],
        audio_streams=[_audio(stream) for stream in value.audio],
        subtitle_streams=[_subtitle(stream) for stream in value.subtitles],
    )


def _video(value: VideoStream) -> media_pb2.VideoStream:
    return media_pb2.VideoStream(
        index=value.index,
        codec=value.codec,
        width_px=value.width_px,
        height_px=value.height_px,
        frame_rate=None if value.frame_rate is None else _rational(value.frame_rate),
        pixel_format=value.pixel_format,
        rotation_degrees=value.rotation_degrees,
        frame_count=value.frame_count,
        color_transfer=value.color_transfer,
        variable_frame_rate=value.variable_frame_rate,
    )


def _audio(value: AudioStream) -> media_pb2.AudioStream:
    return media_pb2.AudioStream(
        index=value.index,
        codec=value.codec,
        sample_rate_hz=value.sample_rate_hz,
        channel_count=value.channel_count,
        language=value.language,
    )


def _subtitle(value: SubtitleStream) -> media_pb2.SubtitleStream:
    return media_pb2.SubtitleStream(index=value.index, codec=value.codec, language=value.language)


def _rational(value: Fraction) -> media_pb2.Rational:
    near = value.limit_denominator(1_000_000)
    return media_pb2.Rational(numerator=min(near.numerator, _LARGEST_TERM), denominator=near.denominator)


def _optional(value: timedelta | None) -> duration_pb2.Duration | None:
    return None if value is None else duration(value)
