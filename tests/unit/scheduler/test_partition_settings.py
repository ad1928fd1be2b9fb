"""How many partitions there may be."""

from __future__ import annotations

from datetime import timedelta

import pytest

from support.running_scheduler import LOCAL
from telecine_scheduler.config import Config, ConfigError
from telecine_scheduler.domain.admission import Admission
from telecine_scheduler.domain.lease import Times
from telecine_scheduler.domain.submission import Retention
from telecine_scheduler.store.checks import Durability


def config(partitions: int) -> Config:
    return Config(
        redis_url="redis://127.0.0.1:1/0", listen=LOCAL, metrics_listen=LOCAL, durability=Durability.MEMORY,
        assume_durable=False, times=Times(), admission=Admission(), retention=Retention(), reflection=False,
        drain=timedelta(), partitions=partitions,
    )  # fmt: skip


def test_there_are_1_to_64_partitions() -> None:
    """The setting is named."""
    assert [1, 64] == [config(count).partitions for count in (1, 64)]
    for wrong in (0, 65):
        with pytest.raises(ConfigError, match="TELECINE_PARTITIONS must be from 1 to 64"):
            config(wrong)
