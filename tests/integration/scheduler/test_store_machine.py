"""The store against a model of it: anything in any order, late, again, and with its scripts forgotten."""

from __future__ import annotations

import functools

import pytest
import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from support.machine.store_machine import StoreMachine
from support.redis_server import RedisServer

SETTINGS = settings(
    deadline=None, suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
    phases=(Phase.reuse, Phase.generate, Phase.shrink),
)  # fmt: skip
# The same examples each time, so that a failure is there again when the test is.
SHORT = settings(SETTINGS, max_examples=80, stateful_step_count=40, derandomize=True, database=None)
# Others each time; Hypothesis says how to have those that failed again (--hypothesis-seed has a run's again).
LONG = settings(SETTINGS, max_examples=300, stateful_step_count=50)


@pytest.mark.parametrize(
    "chosen", [pytest.param(SHORT, id="short"), pytest.param(LONG, id="long", marks=pytest.mark.long)]
)
def test_the_store_does_what_the_model_says(redis_server: RedisServer, client: redis.Redis, chosen: settings) -> None:
    """Every answer, every job and every counter is what the model says, and the invariants hold, after each of these calls."""
    run_state_machine_as_test(functools.partial(StoreMachine, redis_server, client), settings=chosen)
