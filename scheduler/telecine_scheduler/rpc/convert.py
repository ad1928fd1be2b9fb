"""The domain's values as messages, and back. Pure."""

from __future__ import annotations

from datetime import timedelta

from google.protobuf.timestamp_pb2 import Timestamp

from telecine.v1 import job_pb2, lease_service_pb2, media_pb2
from telecine_scheduler.domain.errors import ProtocolViolation
from telecine_scheduler.domain.job import (
    Attempt,
    AttemptOutcome,
    FailureKind,
    Job,
    JobName,
    JobState,
    StateChange,
    WaitReason,
    time_of,
)  # fmt: skip
from telecine_scheduler.domain.lease import Acknowledgement, Grant, Lease, Report, Ruling, Times, Verdict
from telecine_scheduler.rpc.specs import redacted
from telecine_scheduler.store.job_store import Losses

MAX_LOG_TAIL = 8192

STATES: dict[JobState, job_pb2.JobState.ValueType] = {
    state: job_pb2.JobState.Value(f"JOB_STATE_{'QUEUED' if state is JobState.LEASED else state.name}")
    for state in JobState
}
WAIT_REASONS = {reason: job_pb2.WaitReason.Value(f"WAIT_REASON_{reason.name}") for reason in WaitReason}
OUTCOMES = {outcome: job_pb2.Attempt.Outcome.Value(f"OUTCOME_{outcome.name}") for outcome in AttemptOutcome}
KINDS = {job_pb2.Failure.Kind.Value(f"KIND_{kind.name}"): kind for kind in FailureKind}


def job_message(job: Job, *, full: bool, artifacts: bool | None = None) -> job_pb2.Job:
    """A job as an answer, its spec redacted. *full* is JOB_VIEW_FULL; *artifacts* goes with it unless it is said."""
    message = job_pb2.Job(
        tenant=job.name.tenant,
        job_id=job.name.job_id,
        state=STATES[job.state],
        revision=job.revision,
        attempt_count=job.attempt_count,
        generation=job.generation,
        cancel_reason=job.cancel_reason,
        recent_changes=map(_change_message, job.changes),
    )
    if job.wait_reason:
        message.wait_reason = WAIT_REASONS[job.wait_reason]
    _set_times(message, job)
    _set_large(message, job, full=full, artifacts=full if artifacts is None else artifacts)
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


def _set_large(message: job_pb2.Job, job: Job, *, full: bool, artifacts: bool) -> None:
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
    if job.result:
        message.result.ParseFromString(job.result)
        if not artifacts:
            message.result.ClearField("artifacts")
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
        peak_memory_bytes=attempt.peak_memory_bytes,
    )
    set_time(message.start_time, attempt.start)
    set_time(message.end_time, attempt.end)
    if attempt.outcome:
        message.outcome = OUTCOMES[attempt.outcome]
    if attempt.cpu:
        message.cpu_duration.FromTimedelta(attempt.cpu)
    if attempt.failure:
        message.failure.ParseFromString(attempt.failure)
    return message


def lease_of(ref: lease_service_pb2.LeaseRef) -> Lease:
    """The lease that a worker names."""
    return Lease(name=JobName(tenant=ref.tenant, job_id=ref.job_id), token=ref.token)


def lease_ref(lease: Lease) -> lease_service_pb2.LeaseRef:
    """A lease as a worker is told it."""
    return lease_service_pb2.LeaseRef(tenant=lease.name.tenant, job_id=lease.name.job_id, token=lease.token)


def grant_message(grant: Grant, times: Times) -> lease_service_pb2.Grant:
    """The offer of a lease."""
    name = grant.lease.name
    message = lease_service_pb2.Grant(
        lease=lease_ref(grant.lease),
        attempt=grant.attempt,
        generation=grant.generation,
        units=grant.units,
        spec=grant.spec,
        staging_name=f"{name.tenant}~{name.job_id}~{grant.generation}~{grant.lease.token}",
    )
    message.cancel_grace.FromTimedelta(times.cancel_grace)
    return message


def renew_result(lease: Lease, ruling: Ruling | None, times: Times) -> lease_service_pb2.RenewResult:
    """The answer to an accept or a renewal; *ruling* is None where the store did not answer."""
    result = lease_service_pb2.RenewResult
    message = result(lease=lease_ref(lease))
    if ruling is None:
        message.verdict = result.VERDICT_TRY_AGAIN
    elif ruling.verdict is Verdict.KEEP:
        message.verdict = result.VERDICT_KEEP
        message.valid_for.FromTimedelta(times.ttl)
    elif ruling.verdict is Verdict.CANCEL:
        message.verdict = result.VERDICT_CANCEL
        message.cancel_grace.FromTimedelta(times.cancel_grace)
    else:
        message.verdict = result.VERDICT_STALE
    return message


def publish_decision(lease: Lease, ruling: Ruling | None, times: Times) -> lease_service_pb2.PublishDecision:
    """The answer to a publish request; *ruling* is None where the store did not answer."""
    decision = lease_service_pb2.PublishDecision
    message = decision(lease=lease_ref(lease))
    if ruling is None:
        message.decision = decision.DECISION_TRY_AGAIN
    elif ruling.verdict is Verdict.ALLOWED:
        message.decision = decision.DECISION_ALLOWED
        message.valid_for.FromTimedelta(times.publish_window)
    elif ruling.verdict is Verdict.CANCEL:
        message.decision = decision.DECISION_CANCEL
    else:
        message.decision = decision.DECISION_STALE
    return message


def outcome_ack(lease: Lease, acknowledgement: Acknowledgement | None) -> lease_service_pb2.OutcomeAck:
    """The answer to an outcome; None where the store did not answer."""
    word = acknowledgement.ack.name if acknowledgement else "TRY_AGAIN"
    ack = lease_service_pb2.OutcomeAck.Ack.Value(f"ACK_{word}")
    return lease_service_pb2.OutcomeAck(lease=lease_ref(lease), ack=ack)


def report_of(outcome: lease_service_pb2.Outcome) -> Report:
    """How an attempt ended, as its worker says."""
    lease, which = lease_of(outcome.lease), outcome.WhichOneof("kind")
    short, kind = b"", None
    if which == "succeeded":
        word, value = AttemptOutcome.SUCCEEDED, outcome.succeeded.SerializeToString()
    elif which == "cancelled":
        word, value = AttemptOutcome.CANCELLED, _returned("CANCELLED")
    elif which == "returned":
        word, value = AttemptOutcome.RETURNED, _returned(outcome.returned.reason)
    else:
        word, kind = AttemptOutcome.FAILED, KINDS.get(outcome.failed.kind)
        if kind is None:
            raise ProtocolViolation(
                f"an outcome of job {lease.name} has the unknown failure kind {outcome.failed.kind}"
            )
        outcome.failed.log_tail = outcome.failed.log_tail[-MAX_LOG_TAIL:]
        value, short = outcome.failed.SerializeToString(), _short(outcome.failed)
    return Report(
        lease=lease, outcome=word, kind=kind, value=value, short=short,
        cpu=outcome.cpu_duration.ToTimedelta(), peak_memory_bytes=outcome.peak_memory_bytes,
    )  # fmt: skip


def _short(failure: job_pb2.Failure) -> bytes:
    copy = job_pb2.Failure()
    copy.CopyFrom(failure)
    copy.ClearField("log_tail")
    return copy.SerializeToString()


def _returned(reason: str) -> bytes:
    """What becomes of a job that workers gave back again and again."""
    failure = job_pb2.Failure(
        kind=job_pb2.Failure.KIND_RETRYABLE,
        reason="RETURNED_TOO_OFTEN",
        message=f"workers gave the job back more than 20 times, the last one because of {reason}",
    )
    return failure.SerializeToString()


def broken_outcome(violations: str) -> job_pb2.Failure:
    """What becomes of an attempt whose outcome breaks the rules of the contract: a defect of the worker."""
    return job_pb2.Failure(
        kind=job_pb2.Failure.KIND_UNKNOWN,
        reason="INTERNAL_ERROR",
        message=f"the worker reported an outcome that breaks the contract: {violations}",
    )


def losses(times: Times) -> Losses:
    """The failure of an attempt whose worker was lost."""
    failure = job_pb2.Failure(
        kind=job_pb2.Failure.KIND_CRASH,
        reason="WORKER_LOST",
        message=f"the worker went silent, and its lease of {_seconds(times.ttl)} s ran out",
    )
    return Losses(failure=failure.SerializeToString(), short=failure.SerializeToString())


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():g}"
