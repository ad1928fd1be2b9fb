"""From the contract's messages to the client's values; words this version does not know become UNKNOWN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fractions import Fraction
from typing import TypeVar

from google.protobuf.descriptor import EnumDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from telecine.v1 import job_pb2, media_pb2
from telecine.v1 import scheduler_service_pb2 as service_pb2
from telecine_client.media import AudioStream, MediaInfo, SubtitleStream, VideoStream
from telecine_client.read_only import ReadOnly
from telecine_client.states import AttemptOutcome, DetectionKind, FailureKind, JobState, Phase, WaitReason
from telecine_client.values import (
    Artifact,
    Attempt,
    Detection,
    Failure,
    Job,
    JobResult,
    JobWarning,
    Page,
    Progress,
    QueueStats,
    StateChange,
    Worker,
)

Word = TypeVar("Word", bound=StrEnum)
M = TypeVar("M", bound=Message)
V = TypeVar("V")


def _word(words: type[Word], wire: EnumDescriptor, number: int) -> Word:
    """The member that the wire's name ends with, after the prefix it shares with UNSPECIFIED."""
    prefix = wire.values_by_number[0].name.removesuffix("UNSPECIFIED")
    known = wire.values_by_number.get(number)
    return words.__members__.get(known.name.removeprefix(prefix) if known else "", words["UNKNOWN"])


def job_state(number: int) -> JobState:
    """The state with this number on the wire."""
    return _word(JobState, job_pb2.JobState.DESCRIPTOR, number)


def job(message: job_pb2.Job) -> Job:
    """The value keeps *message*: do not change it afterwards."""
    return Job(
        tenant=message.tenant,
        job_id=message.job_id,
        state=job_state(message.state),
        revision=message.revision,
        spec=message.spec if message.HasField("spec") else None,
        wait_reason=_word(WaitReason, job_pb2.WaitReason.DESCRIPTOR, message.wait_reason)
        if message.wait_reason
        else None,
        blocked_reason=message.blocked_reason,
        labels=ReadOnly(message.labels),
        progress=_set(message, "progress", progress),
        failure=_set(message, "failure", failure),
        result=_set(message, "result", job_result),
        attempt_count=message.attempt_count,
        attempts=tuple(map(attempt, message.attempts)),
        generation=message.generation,
        cancel_reason=message.cancel_reason,
        recent_changes=tuple(map(state_change, message.recent_changes)),
        create_time=_set(message, "create_time", _datetime),
        queue_time=_set(message, "queue_time", _datetime),
        start_time=_set(message, "start_time", _datetime),
        end_time=_set(message, "end_time", _datetime),
        update_time=_set(message, "update_time", _datetime),
        expire_time=_set(message, "expire_time", _datetime),
        due_time=_set(message, "due_time", _datetime),
        _message=message,
    )


def progress(message: job_pb2.Progress) -> Progress:
    """Fields that are 0 while unknown become None."""
    return Progress(
        fraction=message.fraction if message.HasField("fraction") else None,
        phase=_word(Phase, job_pb2.Progress.Phase.DESCRIPTOR, message.phase),
        media_position=_set(message, "media_position", _timedelta),
        media_duration=_set(message, "media_duration", _timedelta),
        speed=message.speed or None,
        frames_per_second=message.frames_per_second or None,
        frame_count=message.frame_count,
        output_size_bytes=message.output_size_bytes or None,
        remaining=_set(message, "remaining_duration", _timedelta),
        update_time=_set(message, "update_time", _datetime),
    )


def failure(message: job_pb2.Failure) -> Failure:
    """One to one."""
    return Failure(
        kind=_word(FailureKind, job_pb2.Failure.Kind.DESCRIPTOR, message.kind),
        reason=message.reason,
        message=message.message,
        log_tail=message.log_tail,
        exit_code=message.exit_code if message.HasField("exit_code") else None,
    )


def attempt(message: job_pb2.Attempt) -> Attempt:
    """An attempt that runs has no outcome."""
    return Attempt(
        number=message.number,
        worker_id=message.worker_id,
        token=message.token,
        start_time=_set(message, "start_time", _datetime),
        end_time=_set(message, "end_time", _datetime),
        outcome=_word(AttemptOutcome, job_pb2.Attempt.Outcome.DESCRIPTOR, message.outcome) if message.outcome else None,
        failure=_set(message, "failure", failure),
        cpu_duration=_set(message, "cpu_duration", _timedelta),
        peak_memory_bytes=message.peak_memory_bytes or None,
        input_size_bytes=message.input_size_bytes or None,
        output_size_bytes=message.output_size_bytes,
        phases=ReadOnly(_phases(message.phase_durations)),
    )


def _phases(message: Mapping[str, Duration]) -> dict[Phase, timedelta]:
    """In the order in which they come; those that this version does not know together as UNKNOWN."""
    found = {phase: message[phase.name].ToTimedelta() for phase in Phase if phase.name in message}
    strange = [time.ToTimedelta() for name, time in message.items() if name not in Phase.__members__]
    return found | ({Phase.UNKNOWN: sum(strange, timedelta())} if strange else {})


def state_change(message: job_pb2.StateChange) -> StateChange:
    """One to one."""
    return StateChange(
        revision=message.revision,
        state=job_state(message.state),
        time=_set(message, "time", _datetime),
        reason=message.reason,
    )


def job_result(message: job_pb2.JobResult) -> JobResult:
    """The maps are read-only copies."""
    return JobResult(
        artifacts=tuple(map(artifact, message.artifacts)),
        measurements=ReadOnly(message.measurements),
        inputs=ReadOnly({name: media_info(info) for name, info in message.inputs.items()}),
        detections=tuple(map(detection, message.detections)),
        warnings=tuple(map(warning, message.warnings)),
    )


def warning(message: job_pb2.Warning) -> JobWarning:
    """One to one."""
    return JobWarning(reason=message.reason, message=message.message, count=message.count, input_name=message.input)


def detection(message: job_pb2.Detection) -> Detection:
    """Only a scene change has a score, and it has no end."""
    kind = _word(DetectionKind, job_pb2.Detection.Kind.DESCRIPTOR, message.kind)
    return Detection(
        kind=kind,
        start=message.start.ToTimedelta(),
        end=_set(message, "end", _timedelta),
        score=message.score if kind is DetectionKind.SCENE_CHANGE else None,
    )


def page(message: service_pb2.ListJobsResponse) -> Page:
    """One to one."""
    return Page(jobs=tuple(map(job, message.jobs)), next_page_token=message.next_page_token)


def queue_stats(message: service_pb2.GetQueueStatsResponse) -> QueueStats:
    """States that this version does not know are counted together as UNKNOWN."""
    return QueueStats(
        jobs_by_state=_by_state(message.jobs_by_state),
        oldest_queued=_set(message, "oldest_queued_duration", _timedelta),
        worker_count=message.worker_count,
        slot_count=message.slot_count,
        busy_slot_count=message.busy_slot_count,
        blocked_job_count=message.blocked_job_count,
    )


def _by_state(counts: Mapping[str, int]) -> Mapping[JobState, int]:
    found = {state: counts.get(state.value, 0) for state in JobState if state is not JobState.UNKNOWN}
    strange = sum(counts.values()) - sum(found.values())
    return ReadOnly(found | ({JobState.UNKNOWN: strange} if strange else {}))


def worker(message: service_pb2.Worker) -> Worker:
    """One to one."""
    return Worker(
        worker_id=message.worker_id,
        version=message.version,
        queues=tuple(message.queues),
        capabilities=tuple(message.capabilities),
        slot_count=message.slot_count,
        busy_slot_count=message.busy_slot_count,
        draining=message.draining,
        connect_time=_set(message, "connect_time", _datetime),
        last_seen_time=_set(message, "last_seen_time", _datetime),
    )


def artifact(message: job_pb2.Artifact) -> Artifact:
    """One to one."""
    return Artifact(
        path=message.path,
        uri=message.uri,
        size_bytes=message.size_bytes,
        sha256=message.sha256,
        media_type=message.media_type,
        media=_set(message, "media", media_info),
        file_count=message.file_count,
    )


def media_info(message: media_pb2.MediaInfo) -> MediaInfo:
    """One to one, streams included."""
    return MediaInfo(
        format=message.format,
        duration=_set(message, "duration", _timedelta),
        size_bytes=message.size_bytes,
        bitrate_bps=message.bitrate_bps or None,
        video_streams=tuple(map(_video_stream, message.video_streams)),
        audio_streams=tuple(map(_audio_stream, message.audio_streams)),
        subtitle_streams=tuple(
            SubtitleStream(index=stream.index, codec=stream.codec, language=stream.language)
            for stream in message.subtitle_streams
        ),
    )


def _video_stream(message: media_pb2.VideoStream) -> VideoStream:
    return VideoStream(
        index=message.index,
        codec=message.codec,
        width_px=message.width_px,
        height_px=message.height_px,
        frame_rate=_set(message, "frame_rate", _fraction),
        pixel_format=message.pixel_format,
        rotation_degrees=message.rotation_degrees,
        frame_count=message.frame_count or None,
        color_transfer=message.color_transfer,
        variable_frame_rate=message.variable_frame_rate,
    )


def _audio_stream(message: media_pb2.AudioStream) -> AudioStream:
    return AudioStream(
        index=message.index,
        codec=message.codec,
        sample_rate_hz=message.sample_rate_hz,
        channel_count=message.channel_count,
        language=message.language,
    )


def _set(message: Message, name: str, convert: Callable[[M], V]) -> V | None:
    """The field's value, or None where the message does not have it."""
    return convert(getattr(message, name)) if message.HasField(name) else None


def _datetime(message: Timestamp) -> datetime:
    return message.ToDatetime(tzinfo=UTC)


def _timedelta(message: Duration) -> timedelta:
    return message.ToTimedelta()


def _fraction(message: media_pb2.Rational) -> Fraction | None:
    return Fraction(message.numerator, message.denominator) if message.denominator else None
