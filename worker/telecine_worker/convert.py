"""From the worker's values to the messages of telecine.v1."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

from google.protobuf import duration_pb2

from telecine.v1 import job_pb2, lease_service_pb2, media_pb2
from telecine_worker.failure import AttemptFailed, Failure, FailureKind, permanent
from telecine_worker.ffmpeg.findings import Detection, DetectionKind
from telecine_worker.ffmpeg.media_info import AudioStream, MediaInfo, SubtitleStream, VideoStream
from telecine_worker.ffmpeg.progress import Phase, Snapshot
from telecine_worker.ffmpeg.warning import MediaWarning
from telecine_worker.outcome import Abandoned, Artifact, Cancelled, Ended, Failed, Returned, Succeeded

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

_DETECTIONS = {
    DetectionKind.SCENE_CHANGE: job_pb2.Detection.KIND_SCENE_CHANGE,
    DetectionKind.BLACK: job_pb2.Detection.KIND_BLACK,
    DetectionKind.SILENCE: job_pb2.Detection.KIND_SILENCE,
}

# A scheduler takes a message of 4 MiB, and a Hello has leases, too.
MOST_OUTCOME_BYTES = 2 << 20
# As the contract says.
MOST_WARNINGS = 100
# What fields can hold. Sizes and counts in a file are whatever somebody wrote into it.
_INT32_MAX = 2**31 - 1
_INT64_MAX = 2**63 - 1
# Of an outcome besides its result: lease, usage and phases.
_REST_BYTES = 1024
# Of what a file says about itself in words.
_LONGEST_WORD = 64


def duration(value: timedelta) -> duration_pb2.Duration:
    """A Duration message."""
    message = duration_pb2.Duration()
    message.FromTimedelta(value)
    return message


def outcome(lease: lease_service_pb2.LeaseRef, ended: Ended) -> lease_service_pb2.Outcome | None:
    """An Outcome message; None where nothing is to be said."""
    message = lease_service_pb2.Outcome(lease=lease, peak_memory_bytes=_int64(ended.usage.peak_memory_bytes))
    message.cpu_duration.FromTimedelta(ended.usage.cpu)
    message.input_size_bytes = _int64(ended.input_size_bytes)
    message.output_size_bytes = _int64(ended.output_size_bytes)
    for phase, spent in ended.phases.items():
        message.phase_durations[phase.name].FromTimedelta(spent)
    match ended:
        case Succeeded():
            message.succeeded.CopyFrom(result(ended))
        case Failed():
            message.failed.CopyFrom(failure(ended.failure))
        case Returned():
            message.returned.reason = ended.reason
        case Cancelled():
            message.cancelled.SetInParent()
        case Abandoned():
            return None
    return message


def check_size(ended: Succeeded) -> None:
    """Raise AttemptFailed where no scheduler would take the outcome."""
    size = result(ended).ByteSize()
    if size > MOST_OUTCOME_BYTES - _REST_BYTES:
        raise too_large("OUTPUT_TOO_LARGE" if ended.artifacts else "INPUT_OVER_LIMIT", size)


def too_large(reason: str, size: int) -> AttemptFailed:
    """For an outcome of *size* bytes."""
    text = (
        f"what is to be said about the result has {size} bytes, of which {MOST_OUTCOME_BYTES} are allowed; fewer files"
    )
    return permanent(reason, f"{text}, or shorter paths, would be right")


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
        frame_count=_int64(value.frame_count),
        output_size_bytes=_int64(value.output_size_bytes),
        remaining_duration=_optional(value.remaining),
    )


def result(value: Succeeded) -> job_pb2.JobResult:
    """A JobResult message."""
    return job_pb2.JobResult(
        artifacts=[artifact(each) for each in value.artifacts],
        measurements=value.measurements,
        inputs={name: media_info(info) for name, info in value.inputs.items()},
        detections=[detection(each) for each in value.detections],
        warnings=[warning(each) for each in value.warnings[:MOST_WARNINGS]],
    )


def detection(value: Detection) -> job_pb2.Detection:
    """A Detection message."""
    return job_pb2.Detection(
        kind=_DETECTIONS[value.kind], start=duration(value.start), end=_optional(value.end), score=value.score
    )


def warning(value: MediaWarning) -> job_pb2.Warning:
    """A Warning message."""
    return job_pb2.Warning(
        reason=value.reason, message=value.message, count=_int64(value.count), input=value.input_name
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
        size_bytes=_int64(value.size_bytes),
        bitrate_bps=_int64(value.bitrate_bps),
        video_streams=[_video(stream) for stream in value.video],
        audio_streams=[_audio(stream) for stream in value.audio],
        subtitle_streams=[_subtitle(stream) for stream in value.subtitles],
    )


def _video(value: VideoStream) -> media_pb2.VideoStream:
    return media_pb2.VideoStream(
        index=_int32(value.index),
        codec=value.codec,
        width_px=_int32(value.width_px),
        height_px=_int32(value.height_px),
        frame_rate=None if value.frame_rate is None else _rational(value.frame_rate),
        pixel_format=value.pixel_format,
        rotation_degrees=_int32(value.rotation_degrees),
        frame_count=_int64(value.frame_count),
        color_transfer=value.color_transfer,
        variable_frame_rate=value.variable_frame_rate,
    )


def _audio(value: AudioStream) -> media_pb2.AudioStream:
    return media_pb2.AudioStream(
        index=_int32(value.index),
        codec=value.codec,
        sample_rate_hz=_int32(value.sample_rate_hz),
        channel_count=_int32(value.channel_count),
        language=_word(value.language),
    )


def _subtitle(value: SubtitleStream) -> media_pb2.SubtitleStream:
    return media_pb2.SubtitleStream(index=_int32(value.index), codec=value.codec, language=_word(value.language))


def _rational(value: Fraction) -> media_pb2.Rational | None:
    """The nearest that fits; None where there is none that is positive: unknown is better than wrong."""
    near = value.limit_denominator(1_000_000)
    if not 0 < near.numerator <= _INT32_MAX:
        return None
    return media_pb2.Rational(numerator=near.numerator, denominator=near.denominator)


def _int32(value: int) -> int:
    return max(-_INT32_MAX, min(value, _INT32_MAX))


def _int64(value: int) -> int:
    return max(-_INT64_MAX, min(value, _INT64_MAX))


def _word(text: str) -> str:
    return text[:_LONGEST_WORD]


def _optional(value: timedelta | None) -> duration_pb2.Duration | None:
    return None if value is None else duration(value)
