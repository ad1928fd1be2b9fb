"""Between the store's replies and the domain's values."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from telecine_scheduler.domain.cost import Cost, Phase
from telecine_scheduler.domain.job import Attempt, AttemptOutcome, Job, JobName, JobState, StateChange, WaitReason
from telecine_scheduler.domain.submission import DEFAULT_HARD_RUN, Limits, Retention, RetryPolicy

_MILLISECOND = timedelta(milliseconds=1)
# A letter that only a newer scheduler knows is passed over.
_PHASE = re.compile(rf"([{''.join(Phase)}])(\d+)")


def microseconds(duration: timedelta) -> int:
    """A duration as scripts take it."""
    return round(duration / timedelta(microseconds=1))


def policy(retry: RetryPolicy, retention: Retention) -> str:
    """The two policies as one field of the record; empty where both are default."""
    if (retry, retention) == (RetryPolicy(), Retention()):
        return ""
    backoff = map(microseconds, (retry.initial_backoff, retry.max_backoff))
    # Whole seconds, because the field has to stay short.
    kept = (math.ceil(each.total_seconds()) for each in (retention.succeeded, retention.failed, retention.cancelled))
    return "|".join(map(str, (retry.max_attempts, *backoff, *kept)))


def limits(limits: Limits) -> str:
    """The limits as one field of the record; empty where all are default."""
    if limits == Limits():
        return ""
    hard_run = None if limits.hard_run == DEFAULT_HARD_RUN else limits.hard_run
    times = (limits.queue, limits.total, hard_run, limits.cancel_grace)
    return "|".join("" if each is None else str(microseconds(each)) for each in times)


def labels(labels: Mapping[str, str]) -> str:
    """The labels as JSON, which the scripts read too; empty where there are none."""
    return json.dumps(dict(labels), ensure_ascii=False, separators=(",", ":")) if labels else ""


def cost(cost: Cost) -> str:
    """What an attempt cost besides CPU time: "peak,in,out,F120E3400", sizes in bytes, each phase by its letter and in ms; as
    little as there is to say. The peak is a column of the attempt's row; the rest, where there is any, is the field k<attempt>
    of the job's large record.
    """
    phases = "".join(f"{phase.value}{round(time / _MILLISECOND)}" for phase, time in cost.phases.items())
    values = (cost.peak_memory_bytes, cost.input_size_bytes or "", cost.output_size_bytes or "", phases)
    return ",".join(map(str, values)).rstrip(",")


def duration(text: bytes) -> timedelta | None:
    """A duration as scripts answer it, in microseconds; empty: none."""
    return timedelta(microseconds=int(text)) if text else None


def decode_job(name: JobName, dump: Sequence[Any]) -> Job:
    """A job from what `dump` of the scripts gives."""
    flat, spec, large_flat, changes, attempts, due, expire = dump
    record, large = _mapping(flat), _mapping(large_flat)
    state = JobState(record[b"st"].decode())
    return Job(
        name=name,
        state=state,
        revision=int(record[b"rv"]),
        create=int(record[b"ct"]),
        class_id=record[b"cl"].decode(),
        queue=_number(record.get(b"sq")),
        start=_number(record.get(b"sa") or record.get(b"sp")),
        end=_number(record.get(b"et")),
        due=_score(due),
        expire=_score(expire),
        progress_time=_number(record.get(b"pt")),
        generation=int(record.get(b"gn", 1)),
        attempt_count=int(record.get(b"at", 0)),
        wait_reason=WaitReason(record[b"wr"].decode()) if state is JobState.WAITING else None,
        cancel_reason=large.get(b"cn", b"").decode(),
        digest=record.get(b"dg", b""),
        spec=spec,
        progress=large.get(b"p", b""),
        failure=large.get(b"f", b""),
        result=large.get(b"r", b""),
        changes=tuple(_changes(record, changes)),
        attempts=tuple(_attempts(record, attempts, large)),
        labels=json.loads(large[b"l"]) if b"l" in large else {},
    )


def _mapping(flat: Iterable[bytes]) -> dict[bytes, bytes]:
    pairs = iter(flat)
    return dict(zip(pairs, pairs, strict=True))


def _number(value: bytes | None) -> int | None:
    return None if value is None else int(value)


def _score(value: bytes) -> int | None:
    return round(float(value)) if value else None


def _changes(record: dict[bytes, bytes], changes: Iterable[bytes]) -> Iterator[StateChange]:
    """The list of changes, or the first one, which is only written down with the second."""
    first = b"|W|NOT_BEFORE" if b"nb" in record else b"|Q|SUBMITTED"
    for change in changes or (record[b"ct"] + first,):
        revision, state, reason = change.decode().split("|")
        yield StateChange(revision=int(revision), state=JobState(state), reason=reason)


def _cost(cpu: bytes, peak: bytes, rest: bytes) -> Cost:
    """Nothing in *rest* where the store itself ended the attempt, or an older scheduler wrote it down."""
    size_in, size_out, phases, *_ = [*rest.decode().split(","), "", "", ""]
    return Cost(
        cpu=timedelta(microseconds=int(cpu)),
        peak_memory_bytes=int(peak),
        input_size_bytes=int(size_in or 0),
        output_size_bytes=int(size_out or 0),
        phases={Phase(letter): int(time) * _MILLISECOND for letter, time in _PHASE.findall(phases)},
    )


def _attempts(record: Mapping[bytes, bytes], ended: Sequence[bytes], large: Mapping[bytes, bytes]) -> Iterator[Attempt]:
    """The ended attempts and, where one runs, that one: at most ten."""
    running = b"sa" in record
    for row in itertools.islice(ended, max(0, len(ended) + running - 10), None):
        number, worker, token, start, end, outcome, cpu, peak, failure = row.split(b"|", 8)
        yield Attempt(
            number=int(number),
            worker_id=worker.decode(),
            token=int(token),
            start=int(start),
            end=int(end),
            outcome=AttemptOutcome(outcome.decode()),
            cost=_cost(cpu, peak, large.get(b"k" + number, b"")),
            failure=failure,
        )
    if running:
        yield Attempt(
            number=int(record[b"at"]),
            worker_id=record.get(b"wk", b"").decode(),
            token=int(record[b"tk"]),
            start=int(record[b"sa"]),
        )
