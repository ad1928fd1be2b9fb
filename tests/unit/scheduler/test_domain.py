"""Ranking, classes, names: the small pure parts."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telecine_scheduler.config import ConfigError, ranking
from telecine_scheduler.domain.job import EPOCH, JobName, number_of, time_of
from telecine_scheduler.domain.submission import JobClass
from telecine_scheduler.rpc.identifiers import new_job_id
from telecine_scheduler.store.keys import pack, unpack

LARGEST_EXACT = 2**53
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
