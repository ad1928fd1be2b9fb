"""Ranking, classes, names: the small pure parts."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecine_scheduler.config import ConfigError, ranking
from telecine_scheduler.domain.job import EPOCH, NEXT, JobName, JobState, number_of, time_of
from telecine_scheduler.domain.submission import JobClass, Limits, Retention, RetryPolicy
from telecine_scheduler.rpc.identifiers import new_job_id
from telecine_scheduler.store import codec
from telecine_scheduler.store.keys import pack, unpack

LARGEST_EXACT = 2**53
# A longer value in a record makes Redis store all of it in four times the room.
LONGEST_VALUE = 64
YEAR = timedelta(days=366)
job_ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", fullmatch=True) | st.uuids().map(str)
tenants = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,62}", fullmatch=True)


@given(tenants, job_ids)
def test_a_name_survives_packing(tenant: str, job_id: str) -> None:
    """What goes into a key comes out of it, whatever the id."""
    name = JobName(tenant=tenant, job_id=job_id)
    assert name == unpack(pack(name))


@given(tenants, job_ids, job_ids)
def test_packed_names_do_not_collide(tenant: str, one: str, other: str) -> None:
    """Two ids are two keys."""
    packed = [pack(JobName(tenant=tenant, job_id=job_id)) for job_id in (one, other)]
    assert (one == other) == (packed[0] == packed[1])


def test_a_uuid_is_stored_in_17_bytes() -> None:
    """Ids are most of what a queued job costs in indexes."""
    assert 17 == len(pack(JobName(tenant="t", job_id=str(uuid.uuid4()))).partition(b":")[2])


@pytest.mark.parametrize("aging", [timedelta(0), timedelta(minutes=10), None])
def test_scores_stay_exact(aging: timedelta | None) -> None:
    """A sequence a century from now and the largest penalty still fit a double exactly."""
    century = 100 * 365 * 86400 * 10**6
    assert century + ranking(aging).penalty(0) < LARGEST_EXACT


def test_strict_priority_outweighs_months() -> None:
    """One level is worth 116 days of waiting."""
    strict = ranking(None)
    assert strict.penalty(0) - strict.penalty(1) > timedelta(days=115) / timedelta(microseconds=1)


def test_an_absurd_aging_is_refused() -> None:
    """The message names the setting."""
    with pytest.raises(ConfigError, match="TELECINE_PRIORITY_AGING"):
        ranking(timedelta(days=1000))


@given(st.frozensets(st.from_regex(r"[a-z0-9][a-z0-9._/-]{0,10}", fullmatch=True)), st.integers(1, 1024))
def test_a_class_survives_its_text(requirements: frozenset[str], units: int) -> None:
    """The text is what the store keeps."""
    job_class = JobClass(queue="default", units=units, requirements=requirements)
    assert job_class == JobClass.parse(str(job_class))


@pytest.mark.parametrize(
    ("queues", "capabilities", "slots", "served"),
    [({"q"}, {"gpu", "x"}, 2, True), ({"p"}, {"gpu"}, 2, False), ({"q"}, set(), 2, False), ({"q"}, {"gpu"}, 1, False)],
)
def test_a_worker_serves_what_it_offers(queues: set[str], capabilities: set[str], slots: int, served: bool) -> None:
    """Queue, every requirement, and enough units."""
    job_class = JobClass(queue="q", units=2, requirements=frozenset({"gpu"}))
    assert served is job_class.served_by(queues=frozenset(queues), capabilities=frozenset(capabilities), slots=slots)


@given(st.integers(0, 2**53))
def test_store_numbers_are_times(number: int) -> None:
    """To the microsecond, both ways."""
    assert number == number_of(time_of(number))
    assert time_of(0) == EPOCH


def test_made_ids_sort_by_time() -> None:
    """UUIDv7: version 7, variant 2."""
    made = [new_job_id() for _ in range(50)]
    assert {(7, uuid.RFC_4122)} == {(uuid.UUID(each).version, uuid.UUID(each).variant) for each in made}
    assert sorted(each[:8] for each in made) == [each[:8] for each in made]


def test_callers_see_no_leased_jobs() -> None:
    """LEASED is QUEUED to them; every other state is itself."""
    assert {JobState.LEASED: JobState.QUEUED} == {
        state: state.public for state in JobState if state.public is not state
    }


def test_only_what_is_not_begun_or_fails_ends_failed() -> None:
    """A limit ends a job wherever it waits; a cancelling one ends CANCELLED whatever happens."""
    assert {"WAITING", "QUEUED", "LEASED", "RUNNING"} == {
        state.name for state in JobState if JobState.FAILED in NEXT[state]
    }


def test_default_policies_and_limits_cost_nothing() -> None:
    """Most records have neither field."""
    assert ("", "", "") == (codec.policy(RetryPolicy(), Retention()), codec.limits(Limits()), codec.labels({}))


def test_the_longest_policies_and_limits_are_short() -> None:
    """The largest values that a spec may have, and ten years for what an operator may set."""
    retry = RetryPolicy(max_attempts=100, initial_backoff=timedelta(days=1), max_backoff=timedelta(days=1))
    kept = Retention(succeeded=10 * YEAR, failed=10 * YEAR, cancelled=10 * YEAR)
    limits = Limits(queue=YEAR, total=YEAR, hard_run=timedelta(days=7), cancel_grace=timedelta(minutes=10))

    assert LONGEST_VALUE >= max(len(codec.policy(retry, kept)), len(codec.limits(limits)))


def test_a_retention_is_rounded_up() -> None:
    """To whole seconds, and never to less than was asked for."""
    kept = Retention(succeeded=timedelta(seconds=3600, microseconds=1))
    assert "3|10000000|600000000|3601|604800|86400" == codec.policy(RetryPolicy(), kept)


def test_no_grace_is_not_the_default_grace() -> None:
    """Zero is said, none is not."""
    assert ("|||0", "1000000|||") == (
        codec.limits(Limits(cancel_grace=timedelta())), codec.limits(Limits(queue=timedelta(seconds=1))),
    )  # fmt: skip
