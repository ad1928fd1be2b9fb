"""The settings of the budget of retries."""

from __future__ import annotations

from datetime import timedelta

import pytest

from support.running_scheduler import LOCAL
from telecine_scheduler.config import Config, ConfigError
from telecine_scheduler.domain.admission import Admission
from telecine_scheduler.domain.lease import Times
from telecine_scheduler.domain.submission import Retention
from telecine_scheduler.store.checks import Durability


def config(**admission: float) -> Config:
    return Config(
        redis_url="redis://127.0.0.1:1/0", listen=LOCAL, metrics_listen=LOCAL, durability=Durability.MEMORY,
        assume_durable=False, times=Times(), admission=Admission(**admission), retention=Retention(), reflection=False,
        drain=timedelta(),
    )  # fmt: skip


@pytest.mark.parametrize("rate", [0, 0.01, 10, 100_000])
def test_a_rate_may_be_none_or_a_sensible_one(rate: float) -> None:
    """0 is no limit."""
    assert rate == config(retry_rate=rate).admission.retry_rate


@pytest.mark.parametrize("rate", [-1, 0.001, 1e6, float("nan"), float("inf")])
def test_another_rate_is_refused(rate: float) -> None:
    """With what would be right."""
    with pytest.raises(ConfigError, match="TELECINE_RETRY_RATE must be 0"):
        config(retry_rate=rate)


@pytest.mark.parametrize("burst", [0, -1, 1_000_001])
def test_a_burst_is_at_least_one(burst: int) -> None:
    """Otherwise nothing could ever be tried again."""
    with pytest.raises(ConfigError, match="TELECINE_RETRY_BURST must be from 1 to 1000000"):
        config(retry_burst=burst)
