"""Specs as callers send them: secrets, equality, and what the queue has to know of one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, timedelta
from urllib.parse import urlsplit

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from telecine.v1 import media_pb2
from telecine_scheduler.domain.job import JobName, number_of
from telecine_scheduler.domain.ranking import DEFAULT_PRIORITY
from telecine_scheduler.domain.submission import (
    DEFAULT_HARD_RUN,
    JobClass,
    Limits,
    Retention,
    RetryPolicy,
    Submission,
)  # fmt: skip
from telecine_scheduler.rpc.requirements import requirements_of

DEFAULT_QUEUE = "default"
MAX_DIFFERENCES = 20


def to_submission(name: JobName, spec: media_pb2.JobSpec, kept: Retention) -> Submission:
    """What the queue has to know of a spec that was checked. *kept* holds where the spec says nothing of it."""
    has = spec.HasField
    return Submission(
        name=name,
        job_class=job_class(spec),
        priority=spec.priority if has("priority") else DEFAULT_PRIORITY,
        spec=spec.SerializeToString(),
        digest=digest(spec),
        not_before=number_of(spec.not_before_time.ToDatetime(UTC)) if has("not_before_time") else 0,
        retry=_retry_policy(spec.retry_policy),
        retention=_retention(spec, kept),
        limits=_limits(spec.limits),
        labels=dict(spec.labels),
    )


def job_class(spec: media_pb2.JobSpec) -> JobClass:
    """What a job needs from its worker."""
    return JobClass(queue=spec.queue or DEFAULT_QUEUE, units=spec.units or 1, requirements=requirements_of(spec))


def _retry_policy(policy: media_pb2.RetryPolicy) -> RetryPolicy:
    default = RetryPolicy()
    return RetryPolicy(
        max_attempts=policy.max_attempts or default.max_attempts,
        initial_backoff=_duration_or(default.initial_backoff, policy, "initial_backoff"),
        max_backoff=_duration_or(default.max_backoff, policy, "max_backoff"),
    )


def _retention(spec: media_pb2.JobSpec, kept: Retention) -> Retention:
    own = _duration(spec, "retention_duration")
    return kept if own is None else Retention(succeeded=own, failed=own, cancelled=own)


def _limits(limits: media_pb2.Limits) -> Limits:
    return Limits(
        queue=_duration(limits, "queue_timeout"),
        total=_duration(limits, "total_timeout"),
        hard_run=_duration_or(DEFAULT_HARD_RUN, limits, "hard_run_timeout"),
        cancel_grace=_duration(limits, "cancel_grace"),
    )


def _duration(message: Message, field: str) -> timedelta | None:
    """A duration that was checked; None where it is absent."""
    if not message.HasField(field):
        return None
    duration: Duration = getattr(message, field)
    return duration.ToTimedelta()


def _duration_or(default: timedelta, message: Message, field: str) -> timedelta:
    given = _duration(message, field)
    return default if given is None else given


def redacted(spec: media_pb2.JobSpec) -> media_pb2.JobSpec:
    """A copy that may be shown: header values blank, URIs without user, query and fragment."""
    copy = media_pb2.JobSpec()
    copy.CopyFrom(spec)
    for source in copy.inputs.values():
        source.uri = _bare(source.uri)
        for header in source.headers:
            source.headers[header] = ""
    if copy.HasField("output"):
        copy.output.uri = _bare(copy.output.uri)
    return copy


def _bare(uri: str) -> str:
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def digest(spec: media_pb2.JobSpec) -> bytes:
    """16 bytes that are equal for specs that are equal, secrets aside: the shortcut before `differing_fields`."""
    shown = redacted(spec) if _has_secrets(spec) else spec
    return hashlib.sha256(shown.SerializeToString(deterministic=True)).digest()[:16]


def _has_secrets(spec: media_pb2.JobSpec) -> bool:
    """Whether `redacted` would change anything."""
    uris = [source.uri for source in spec.inputs.values()] + [spec.output.uri]
    return any(_bare(uri) != uri for uri in uris) or any(source.headers for source in spec.inputs.values())


def differing_fields(one: bytes, other: bytes) -> tuple[str, ...]:
    """Where two encoded specs differ when parsed, secrets aside: dotted names, at most 20."""
    first, second = (redacted(media_pb2.JobSpec.FromString(spec)) for spec in (one, other))
    found = list(dict.fromkeys(_differences("spec", first, second)))
    return tuple(found[:MAX_DIFFERENCES])


def _differences(path: str, one: Message, other: Message) -> Iterator[str]:
    for field in one.DESCRIPTOR.fields:
        values = getattr(one, field.name), getattr(other, field.name)
        presence = [message.HasField(field.name) if field.has_presence else True for message in (one, other)]
        if values[0] == values[1] and presence[0] == presence[1]:
            continue
        name = f"{path}.{field.name}"
        if field.type == FieldDescriptor.TYPE_MESSAGE and field.has_presence and all(presence):
            yield from _differences(name, *values)
        else:
            yield name
