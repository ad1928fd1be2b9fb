"""How long an attempt may tidy up in a store."""

from __future__ import annotations

import pytest

from telecine_worker.storage import tidying
from telecine_worker.storage.tidying import Tidying


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in a list of one."""
    clock = [100.0]
    monkeypatch.setattr(tidying.time, "monotonic", lambda: clock[0])
    return clock


@pytest.mark.parametrize(
    ("succeeded", "draining", "seconds"),
    [(True, False, 60), (False, False, 5), (True, True, 2), (False, True, 2)],
)
def test_it_depends_on_the_end(now, *, succeeded, draining, seconds):
    """Long after success, short after a failure, and shortest for a worker that has seconds for its own end."""
    tidy = Tidying()
    tidy.succeeded, tidy.draining = succeeded, draining
    over = tidy.begin()
    now[0] += seconds
    assert not over()
    now[0] += 0.1
    assert over()


def test_draining_shortens_what_has_begun(now):
    """The worker is told to end while an attempt tidies up."""
    tidy = Tidying()
    tidy.succeeded = True
    over = tidy.begin()
    now[0] += 3
    assert not over()
    tidy.draining = True
    assert over()
