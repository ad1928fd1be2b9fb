"""Jobs, workers and figures as messages. Pure."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp

from telecine.v1 import job_pb2, media_pb2, scheduler_service_pb2
from telecine_scheduler.domain.job import (
    Attempt,
    AttemptOutcome,
    Job,
    JobState,
    StateChange,
    WaitReason,
    time_of,
)  # fmt: skip
from telecine_scheduler.domain.submission import Submission
from telecine_scheduler.domain.worker import WorkerRecord
from telecine_scheduler.rpc.specs import redacted

STATES: dict[JobState, job_pb2.JobState.ValueType] = {
    state: job_pb2.JobState.Value(f"JOB_STATE_{state.public.name}") for state in JobState
}
WAIT_REASONS = {reason: job_pb2.WaitReason.Value(f"WAIT_REASON_{reason.name}") for reason in WaitReason}
OUTCOMES = {outcome: job_pb2.Attempt.Outcome.Value(f"OUTCOME_{outcome.name}") for outcome in AttemptOutcome}
DOMAIN_STATES = {value: state for state, value in STATES.items() if state is not JobState.LEASED}


def job_message(job: Job, *, full: bool, end: bool | None = None, blocked_reason: str = "") -> job_pb2.Job:
    """A job as an answer, its spec redacted.

    *full* is JOB_VIEW_FULL; *end* is all of how it ended: artifacts, detections, FFmpeg's log. It goes with *full* unless said.
    """
    message = job_pb2.Job(
        tenant=job.name.tenant,
        job_id=job.name.job_id,
        state=STATES[job.state],
        revision=job.revision,
        attempt_count=job.attempt_count,
        generation=job.generation,
        cancel_reason=job.cancel_reason,
        recent_changes=map(_change_message, job.changes),
        blocked_reason=blocked_reason,
        labels=job.labels,
    )
    if job.wait_reason:
        message.wait_reason = WAIT_REASONS[job.wait_reason]
    _set_times(message, job)
    _set_large(message, job, full=full, end=full if end is None else end)
    return message


def draft_message(submission: Submission, *, waits: bool, blocked_reason: str) -> job_pb2.Job:
    """The job that a submission would become: without a revision and times."""
    state = JobState.WAITING if waits else JobState.QUEUED
    message = job_pb2.Job(
        tenant=submission.name.tenant,
        job_id=submission.name.job_id,
        state=STATES[state],
        generation=1,
        labels=submission.labels,
    )
    if waits:
        message.wait_reason = WAIT_REASONS[WaitReason.NOT_BEFORE]
        set_time(message.due_time, submission.not_before)
    else:
        message.blocked_reason = blocked_reason
    return message


def _set_times(message: job_pb2.Job, job: Job) -> None:
    set_time(message.create_time, job.create)
    set_time(message.update_time, job.revision)
    set_time(message.queue_time, job.queue)
    set_time(message.start_time, job.start)
    set_time(message.end_time, job.end)
    set_time(message.expire_time, job.expire)
    if job.state is JobState.WAITING:
        set_time(message.due_time, job.due)


def _set_large(message: job_pb2.Job, job: Job, *, full: bool, end: bool) -> None:
    if job.progress:
        message.progress.ParseFromString(job.progress)
        set_time(message.progress.update_time, job.progress_time)
        if job.state is JobState.SUCCEEDED:
            # The last report came before the publishing that ended it.
            message.progress.phase = job_pb2.Progress.PHASE_PUBLISHING
            message.progress.fraction = 1.0
            message.progress.ClearField("remaining_duration")
    if job.failure and job.state in {JobState.FAILED, JobState.WAITING, JobState.QUEUED, JobState.LEASED}:
        message.failure.ParseFromString(job.failure)
        if not end:
            message.failure.ClearField("log_tail")
    if job.result:
        message.result.ParseFromString(job.result)
        if not end:
            message.result.ClearField("artifacts")
            message.result.ClearField("detections")
    if full:
        message.spec.CopyFrom(redacted(media_pb2.JobSpec.FromString(job.spec)))
        message.attempts.extend(map(_attempt_message, job.attempts))


def set_time(target: Timestamp, number: int | None) -> None:
    """Set a field to a number of the store's clock; nothing where there is none."""
    if number is not None:
        target.FromDatetime(time_of(number))


def _change_message(change: StateChange) -> job_pb2.StateChange:
    message = job_pb2.StateChange(revision=change.revision, state=STATES[change.state], reason=change.reason)
    set_time(message.time, change.revision)
    return message


def _attempt_message(attempt: Attempt) -> job_pb2.Attempt:
    message = job_pb2.Attempt(
        number=attempt.number,
        worker_id=attempt.worker_id,
        token=attempt.token,
        peak_memory_bytes=attempt.cost.peak_memory_bytes,
        input_size_bytes=attempt.cost.input_size_bytes,
        output_size_bytes=attempt.cost.output_size_bytes,
    )
    set_time(message.start_time, attempt.start)
    set_time(message.end_time, attempt.end)
    if attempt.outcome:
        message.outcome = OUTCOMES[attempt.outcome]
    if attempt.cost.cpu:
        message.cpu_duration.FromTimedelta(attempt.cost.cpu)
    for phase, time in attempt.cost.phases.items():
        message.phase_durations[phase.name].FromTimedelta(time)
    if attempt.failure:
        message.failure.ParseFromString(attempt.failure)
    return message


def worker_message(worker: WorkerRecord) -> scheduler_service_pb2.Worker:
    """A connected worker."""
    message = scheduler_service_pb2.Worker(
        worker_id=worker.worker_id,
        version=worker.offer.version,
        queues=sorted(worker.offer.queues),
        capabilities=sorted(worker.offer.capabilities),
        slot_count=worker.offer.slots,
        busy_slot_count=worker.busy,
        draining=worker.draining,
    )
    set_time(message.connect_time, worker.connected)
    set_time(message.last_seen_time, worker.last_seen)
    return message
