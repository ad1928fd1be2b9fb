"""What Hypothesis may choose from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition

from support.store_bench import DEFAULT_CLASS, a_job
from telecine_scheduler.domain.admission import Admission
from telecine_scheduler.domain.job import JobName
from telecine_scheduler.domain.lease import StreamId
from telecine_scheduler.domain.submission import JobClass, Limits, RetryPolicy
from telecine_scheduler.domain.worker import WorkerOffer

ADMISSION = Admission(max_queued=4, max_queued_per_tenant=3, max_classes=2)
BIG = JobClass(queue="other", units=2, requirements=frozenset({"gpu"}))
CLASSES = (DEFAULT_CLASS, BIG, JobClass(queue="other", units=1, requirements=frozenset()))
OFFER = WorkerOffer(queues=frozenset({"default", "other"}), capabilities=frozenset({"gpu"}), slots=4, version="1")
# Not more, so that no sweep finds enough leases expired to suspect that it is not the workers.
NAMES = [JobName(tenant=tenant, job_id=job_id) for tenant, job_id in ("a1", "a2", "a3", "b1", "b2")]
WORKERS = {"w1": (CLASSES[:1], replace(OFFER, queues=frozenset({"default"}))), "w2": (CLASSES, OFFER)}
PASSING_SECONDS = [1, 3, 6, 6, 20, 31, 31, 64, 700]
LIMITS = tuple(timedelta(seconds=seconds) for seconds in (3, 10, 40))

workers = st.sampled_from(list(WORKERS))
# Which of the jobs that are worth it (Driver.job).
picks = st.integers(0, 19)
some_seconds = st.sampled_from([None, None, None, None, None, *LIMITS])
# Which of its leases: the newest, the one before, or one with a token that nobody was given.
NOBODYS = 2
backs = st.sampled_from([0, 0, 0, 0, 0, 0, 1, NOBODYS])
streams = st.builds(
    StreamId,
    worker_id=workers,
    session_id=st.sampled_from(["s1", "s1", "s2"]),
    epoch=st.integers(1, 3),
)
submissions = st.builds(
    a_job,
    st.just(""),
    job_class=st.sampled_from([*CLASSES, DEFAULT_CLASS]),
    priority=st.sampled_from([0, 50, 100]),
    digest=st.sampled_from([b"d" * 16, b"d" * 16, b"e" * 16]),
    labels=st.sampled_from([{}, {"a": "1"}, {"a": "1", "b": "2"}]),
    not_before=st.sampled_from([0, 0, 0, 20]),
    retry=st.builds(
        RetryPolicy,
        max_attempts=st.sampled_from([1, 3, 10, 10]),
        initial_backoff=st.sampled_from([timedelta(seconds=4), timedelta(seconds=60)]),
    ),
    limits=st.builds(
        Limits,
        queue=some_seconds,
        total=some_seconds,
        hard_run=st.sampled_from([timedelta(seconds=7), timedelta(hours=24), timedelta(hours=24)]),
        cancel_grace=st.sampled_from([None, timedelta(0), timedelta(seconds=20)]),
    ),
)


def having(states: str) -> Callable[..., Any]:
    """Only when there is a job in one of these states."""
    return precondition(lambda self: any(job.state in states for job in self._model.jobs.values()))
