"""Arguments of a kind that would do something else than it says: refused at once, with the form that is right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from telecine_client import AsyncClient, Client, JobState, probe, transcode

ADDRESS = "127.0.0.1:1"


@pytest.mark.parametrize(
    ("use", "said"),
    [
        (lambda: Client(ADDRESS, timeout=5), "timeout has to be a timedelta, and is 5"),
        (lambda: AsyncClient(ADDRESS, timeout=5), "timeout has to be a timedelta"),
        (lambda: Client(ADDRESS).wait("a", timeout=5), "timeout has to be a timedelta"),
        (lambda: Client(ADDRESS).wait_many(["a"], timeout=5), "timeout has to be a timedelta"),
        (lambda: Client(ADDRESS).wait_many("lab"), "job_ids has to be several values, and is the text 'lab'"),
        (lambda: next(Client(ADDRESS).watch_many("lab")), "job_ids has to be several values"),
        (lambda: next(Client(ADDRESS).watch("lab", outage_timeout=5)), "outage_timeout has to be a timedelta"),
        (
            lambda: next(Client(ADDRESS).list(states=JobState.FAILED)),
            "states has to be several values, and is the text",
        ),
        (lambda: Client(ADDRESS).list_page(states="failed"), "states has to be several values"),
        (lambda: probe(Path("a.mp4")), r"the source is a path; .* path\.resolve\(\)\.as_uri\(\)"),
        (lambda: transcode("file:///a.mp4", Path("out"), "a.mp4"), "the output is a path"),
        (
            lambda: probe("file:///a.mp4", not_before_time=None, label={}),
            "no option label, not_before_time; there are queue",
        ),
    ],
)
def test_a_wrong_kind_is_refused_by_name(use: Callable[[], Any], said: str) -> None:
    """Nothing is sent, and nothing is left out silently."""
    with pytest.raises(TypeError, match=said):
        use()


async def test_a_wrong_kind_is_refused_by_the_async_client_too() -> None:
    """Before anything is waited for."""
    async with AsyncClient(ADDRESS, timeout=timedelta(seconds=1)) as client:
        for wait in (client.wait("a", timeout=5), client.wait_many(["a"], timeout=5)):  # type: ignore[arg-type]
            with pytest.raises(TypeError, match="timeout has to be a timedelta"):
                await wait
        with pytest.raises(TypeError, match="job_ids has to be several values"):
            await client.wait_many("lab")
        with pytest.raises(TypeError, match="states has to be several values"):
            await anext(client.list(states=JobState.FAILED))
