"""What schedulers and workers say to one another: the domain's values as messages, and back. Pure."""

from __future__ import annotations

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from telecine.v1 import job_pb2, lease_service_pb2
from telecine_scheduler.domain.cost import Cost, Phase
from telecine_scheduler.domain.job import AttemptOutcome, FailureKind, JobName
from telecine_scheduler.domain.lease import Acknowledgement, Endings, Grant, Lease, Report, Ruling, Times, Verdict
from telecine_scheduler.domain.worker import WorkerOffer

MAX_LOG_TAIL = 8192
# Of an attempt's times: 31 years.
MAX_SECONDS = 10**9
# Of Failure.message on the wire: its number, and that it has a length.
MESSAGE_TAG = bytes([job_pb2.Failure.MESSAGE_FIELD_NUMBER << 3 | 2])
KINDS = {job_pb2.Failure.Kind.Value(f"KIND_{kind.name}"): kind for kind in FailureKind}


def offer_of(hello: lease_service_pb2.Hello) -> WorkerOffer:
    """What a worker says of itself."""
    return WorkerOffer(
        queues=frozenset(hello.queues),
        capabilities=frozenset(hello.capabilities),
        slots=hello.slots,
        version=hello.version,
    )


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
    message.cancel_grace.FromTimedelta(times.cancel_grace if grant.cancel_grace is None else grant.cancel_grace)
    if grant.total_left is not None:
        message.total_time_left.FromTimedelta(grant.total_left)
    return message


def cancel_order(lease: Lease, grace: timedelta) -> lease_service_pb2.CancelOrder:
    """The order to stop an attempt."""
    message = lease_service_pb2.CancelOrder(lease=lease_ref(lease))
    message.cancel_grace.FromTimedelta(grace)
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
        message.cancel_grace.FromTimedelta(times.cancel_grace if ruling.cancel_grace is None else ruling.cancel_grace)
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
        word, kind = AttemptOutcome.FAILED, KINDS.get(outcome.failed.kind, FailureKind.UNKNOWN)
        if outcome.failed.kind not in KINDS:
            # A newer worker's, or a defect of one: whatever it meant, the job is tried once more.
            outcome.failed.kind = job_pb2.Failure.KIND_UNKNOWN
        outcome.failed.log_tail = outcome.failed.log_tail[-MAX_LOG_TAIL:]
        value, short = outcome.failed.SerializeToString(), _short(outcome.failed)
    return Report(
        lease=lease, outcome=word, kind=kind, value=value, short=short,
        cost=_cost(outcome),
    )  # fmt: skip


def _cost(outcome: lease_service_pb2.Outcome) -> Cost:
    """A phase that only a newer worker knows is left out."""
    return Cost(
        cpu=_bounded(outcome.cpu_duration),
        peak_memory_bytes=outcome.peak_memory_bytes,
        input_size_bytes=outcome.input_size_bytes,
        output_size_bytes=outcome.output_size_bytes,
        phases={
            phase: _bounded(outcome.phase_durations[phase.name])
            for phase in Phase
            if phase.name in outcome.phase_durations
        },
    )


def _bounded(duration: Duration) -> timedelta:
    """What a message may hold is more than a timedelta can."""
    return timedelta(seconds=max(0, min(duration.seconds, MAX_SECONDS)), microseconds=max(0, duration.nanos) // 1000)


def _short(failure: job_pb2.Failure) -> bytes:
    copy = job_pb2.Failure()
    copy.CopyFrom(failure)
    copy.ClearField("log_tail")
    return copy.SerializeToString()


def _returned(reason: str) -> bytes:
    """What becomes of a job that workers gave back again and again."""
    return _failure(
        job_pb2.Failure.KIND_RETRYABLE,
        "RETURNED_TOO_OFTEN",
        f"workers gave the job back more than 20 times, the last one because of {reason}",
    )


def broken_outcome(violations: str) -> job_pb2.Failure:
    """What becomes of an attempt whose outcome breaks the rules of the contract: a defect of the worker."""
    return job_pb2.Failure(
        kind=job_pb2.Failure.KIND_UNKNOWN,
        reason="INTERNAL_ERROR",
        message=f"the worker reported an outcome that breaks the contract: {violations}",
    )


def endings(times: Times) -> Endings:
    """The failures with which the store ends attempts and jobs by itself."""
    deadline = job_pb2.Failure.KIND_DEADLINE
    lost = f"the worker went silent, and its lease of {_seconds(times.ttl)} s ran out"
    return Endings(
        worker_lost=_failure(job_pb2.Failure.KIND_CRASH, "WORKER_LOST", lost),
        queue_timeout=_failure(
            deadline, "QUEUE_TIMEOUT", "the job was not begun within limits.queue_timeout; nothing of it was run"
        ),
        total_timeout=_failure(deadline, "TOTAL_TIMEOUT", "the job did not end within limits.total_timeout"),
        run_timeout=_failure(
            deadline, "RUN_TIMEOUT", "the attempt did not end within limits.hard_run_timeout, nor did its worker end it"
        ),
        poison=job_pb2.Failure(kind=job_pb2.Failure.KIND_CRASH, reason="POISON").SerializeToString() + MESSAGE_TAG,
    )


def _failure(kind: job_pb2.Failure.Kind.ValueType, reason: str, message: str) -> bytes:
    return job_pb2.Failure(kind=kind, reason=reason, message=message).SerializeToString()


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():g}"
