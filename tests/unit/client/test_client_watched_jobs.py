"""What a watch of many jobs remembers."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.client.conftest import QUEUED, RUNNING, job

from telecine.v1 import scheduler_service_pb2 as pb
from telecine_client import watched_jobs
from telecine_client.values import WatchEvent
from telecine_client.watched_jobs import WatchedJobs


def take(watched: WatchedJobs, *jobs: Any, **fields: Any) -> list[WatchEvent]:
    return watched.take(pb.WatchJobsResponse(jobs=jobs, **fields))


def test_a_newer_token_alone_is_an_event() -> None:
    """The caller's would be too old some day, with nothing but other jobs' changes between."""
    watched = WatchedJobs("films", labels={"film": "x"})
    (only,) = take(watched, resume_token="t1")
    assert ("", None, None, False, "t1") == (only.job_id, only.job, only.error, only.reset, only.resume_token)
    assert [] == take(watched, resume_token="t1")


def test_a_token_of_named_jobs_is_no_event() -> None:
    """They need none to go on."""
    assert [] == take(WatchedJobs("films", ["a"]), resume_token="t1")


def test_a_response_without_token_leaves_the_last_one() -> None:
    """A stream that is resumed begins with it."""
    watched = WatchedJobs("films", every=True)
    take(watched, resume_token="t1")
    (event,) = take(watched, job(1, QUEUED, "a"))
    assert ("t1", "t1") == (event.resume_token, watched.opening()[0].start.resume_token)


def test_followed_jobs_are_remembered_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that changed longest ago is forgotten first, and would be told again."""
    monkeypatch.setattr(watched_jobs, "_REMEMBERED", 2)
    watched = WatchedJobs("films", every=True)
    take(watched, job(1, QUEUED, "a"), job(1, QUEUED, "b"), job(2, RUNNING, "a"), job(1, QUEUED, "c"))
    told = take(watched, job(2, RUNNING, "a"), job(1, QUEUED, "c"), job(1, QUEUED, "b"))
    assert ["b"] == [event.job_id for event in told]
    assert 2 == len(watched._followed)
