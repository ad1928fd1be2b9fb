"""How long records are kept by default: the operator's settings and their bounds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from support.running_scheduler import LOCAL
from telecine_scheduler.config import Config, ConfigError
from telecine_scheduler.domain.admission import Admission
from telecine_scheduler.domain.lease import Times
from telecine_scheduler.domain.submission import Retention
from telecine_scheduler.store.checks import Durability


def config(**kept: timedelta) -> Config:
    return Config(
        redis_url="redis://127.0.0.1:1/0", listen=LOCAL, metrics_listen=LOCAL, durability=Durability.MEMORY,
        assume_durable=False, times=Times(), admission=Admission(), retention=Retention(**kept), reflection=False,
        drain=timedelta(),
    )  # fmt: skip


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_a_record_is_kept_for_an_hour_at_least(state: str) -> None:
    """A repeated submit is recognized by it; and for a year at most. The variable is named."""
    hour = timedelta(hours=1)
    assert hour == getattr(config(**{state: hour}).retention, state)
    for wrong in (hour - timedelta(seconds=1), timedelta(days=367)):
        with pytest.raises(ConfigError, match=f"TELECINE_RETENTION_{state.upper()} must be from 1h to 366d"):
            config(**{state: wrong})
