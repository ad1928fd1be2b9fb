"""What a grant becomes: a lease with an attempt, or with the failure to make one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Set
from datetime import timedelta
from typing import Protocol

import structlog
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from structlog.typing import FilteringBoundLogger

from telecine.v1 import lease_service_pb2 as pb
from telecine.v1 import media_pb2
from telecine_worker.attempt import DEFAULT_CANCEL_GRACE, Assignment, Permission, hard_run_timeout
from telecine_worker.failure import Failure, FailureKind, internal_error
from telecine_worker.ffmpeg.process import Usage
from telecine_worker.ffmpeg.progress import Snapshot
from telecine_worker.ffmpeg.time_limits import boot_seconds
from telecine_worker.held_lease import HeldLease, RunningAttempt
from telecine_worker.lease_key import LeaseKey
from telecine_worker.outcome import Ended, Failed, StopReason
from telecine_worker.publish_question import PublishQuestion
from telecine_worker.tasks import kinds

log = structlog.get_logger(__name__)

# What an attempt may take past its hard limit: to kill, to clean up, to write its outcome.
ENDING = timedelta(minutes=1)

Send = Callable[..., None]


class AttemptFactory(Protocol):
    """Makes an Attempt: its constructor, with what all attempts of a worker share."""

    def __call__(
        self,
        assignment: Assignment,
        /,
        *,
        ask_to_publish: Callable[[], Awaitable[Permission]],
        on_progress: Callable[[Snapshot], None],
        log: FilteringBoundLogger,
    ) -> RunningAttempt: ...


class NoAttempt:
    """In the place of an attempt that could not be made: ends at once, as failed."""

    def __init__(self, failure: Failure) -> None:
        self._failure = failure

    def stop(self, reason: StopReason, grace: timedelta) -> None:
        """It ends by itself."""

    async def run(self) -> Ended:
        """The failure."""
        return Failed(usage=Usage(), failure=self._failure)


def task_kind(grant: pb.Grant) -> str:
    """For counting: the kind of the task, "unknown" where this version knows no such kind."""
    try:
        return kinds.kind_of(media_pb2.JobSpec.FromString(grant.spec).task) or "unknown"
    except DecodeError:
        return "unknown"


def is_understood(grant: pb.Grant, offered: Set[str]) -> bool:
    """Whether the task is of an *offered* kind, and the spec says nothing that this version does not know: a scheduler that is
    newer may take options that would be left out here without a word. What is no spec at all is understood: it fails.
    """
    try:
        spec = media_pb2.JobSpec.FromString(grant.spec)
    except DecodeError:
        return True
    return kinds.kind_of(spec.task) in offered and not _has_unknown_fields(spec)


def _has_unknown_fields(message: Message) -> bool:
    return len(UnknownFieldSet(message)) > 0 or any(map(_has_unknown_fields, _parts(message)))


def _parts(message: Message) -> Iterator[Message]:
    """The messages right below."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if not field.is_repeated:
            yield value
        elif field.message_type.GetOptions().map_entry:
            yield from (each for each in value.values() if isinstance(each, Message))
        else:
            yield from value


def refusal_of(
    grant: pb.Grant, *, draining: bool, ailing: bool, offered: Set[str], fits: bool
) -> pb.Accept.Refusal.ValueType:
    """Why a grant is not taken; unspecified: it is."""
    if draining:
        return pb.Accept.REFUSAL_DRAINING
    if ailing:
        return pb.Accept.REFUSAL_UNHEALTHY
    if not is_understood(grant, offered):
        return pb.Accept.REFUSAL_UNSUPPORTED
    return pb.Accept.REFUSAL_UNSPECIFIED if fits else pb.Accept.REFUSAL_NO_SLOT


def hold(grant: pb.Grant, attempts: AttemptFactory, send: Send) -> HeldLease:
    """The lease of *grant*, its attempt not begun. Raises nothing: what is wrong with the grant ends its job, with words."""
    key = LeaseKey.of(grant.lease)
    question = PublishQuestion(lambda: send(publish_requests=[pb.PublishRequest(lease=key.ref)]))

    def note(snapshot: Snapshot) -> None:
        lease.note(snapshot)

    longest_run = ENDING
    try:
        assignment = _assignment(key, grant)
        longest_run += hard_run_timeout(assignment.spec.limits) + assignment.cancel_grace
        attempt = attempts(assignment, ask_to_publish=question.ask, on_progress=note, log=_log(key, grant))
    except DecodeError:
        attempt = NoAttempt(_UNREADABLE)
    except Exception as error:  # noqa: BLE001 - the supervisor: a defect ends this job and not the worker
        _log(key, grant).exception("attempt could not be made")
        attempt = NoAttempt(internal_error(error))
    lease = HeldLease(
        key=key,
        units=grant.units or 1,
        task=task_kind(grant),
        attempt=attempt,
        question=question,
        longest_run=longest_run,
    )
    return lease


_UNREADABLE = Failure(
    kind=FailureKind.PERMANENT,
    reason="INTERNAL_ERROR",
    message="the spec in the grant is no JobSpec: it was damaged on its way from the caller to the worker; submit it again",
)


def _assignment(key: LeaseKey, grant: pb.Grant) -> Assignment:
    spec = media_pb2.JobSpec.FromString(grant.spec)
    left = grant.total_time_left.ToTimedelta() if grant.HasField("total_time_left") else None
    return Assignment(
        tenant=key.tenant,
        job_id=key.job_id,
        token=key.token,
        attempt=grant.attempt,
        generation=grant.generation,
        spec=spec,
        staging_name=grant.staging_name,
        total_deadline=None if left is None else boot_seconds() + left.total_seconds(),
        cancel_grace=_cancel_grace(grant, spec.limits),
    )


def _cancel_grace(grant: pb.Grant, limits: media_pb2.Limits) -> timedelta:
    """The grant has what holds: the spec's own, else the operator's."""
    if grant.HasField("cancel_grace"):
        return grant.cancel_grace.ToTimedelta()
    return limits.cancel_grace.ToTimedelta() if limits.HasField("cancel_grace") else DEFAULT_CANCEL_GRACE


def _log(key: LeaseKey, grant: pb.Grant) -> FilteringBoundLogger:
    named: FilteringBoundLogger = log.bind(tenant=key.tenant, job_id=key.job_id, attempt=grant.attempt, token=key.token)
    return named
