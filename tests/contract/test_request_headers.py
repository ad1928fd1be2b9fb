"""Scheduler and worker agree on the headers that are not the caller's, though neither imports the other."""

from __future__ import annotations

from telecine_scheduler.rpc.uris import RESERVED_HEADERS
from telecine_worker.storage.http_target import OWN_HEADERS


def test_what_is_refused_at_submit_is_what_the_fetch_sets_itself() -> None:
    """A header that only one of them knows would be refused by the worker after it was accepted, or sent twice."""
    assert RESERVED_HEADERS == OWN_HEADERS
