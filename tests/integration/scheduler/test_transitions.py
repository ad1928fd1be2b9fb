"""Every state meets every verb, on a real server: what may happen does, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from support.store_bench import Bench
from support.store_states import ACTIONS, LIMITS, STATES
from telecine_scheduler.domain.job import NEXT, Job
from telecine_scheduler.domain.submission import Limits
from telecine_scheduler.store.keys import prefix

# What each action makes of a job in each state; "-" is gone. P is running and publishing; W waits after a failed attempt. The
# rows are leases.md's transitions; where the state stays the same the verb was refused, or had nothing to do.
TABLE = """
                W  Q  L  R  P  C  S  F  X
accept          W  Q  R  R  R  C  S  F  X
refuse          W  Q  Q  R  R  C  S  F  X
renew           W  Q  R  R  R  C  S  F  X
publish         W  Q  R  R  R  C  S  F  X
succeed         W  Q  S  S  S  X  S  F  X
permanent       W  Q  F  F  F  X  S  F  X
retryable       W  Q  W  W  W  X  S  F  X
crash           W  Q  Q  Q  Q  X  S  F  X
give_back       W  Q  Q  Q  Q  X  S  F  X
cancel          X  X  C  C  R  C  S  F  X
retry           W  Q  L  R  R  C  S  Q  Q
delete          W  Q  L  R  R  C  -  -  -
expire          Q  Q  Q  Q  Q  X  S  F  X
queue_over      W  F  F  R  R  C  S  F  X
total_over      F  F  F  R  R  C  S  F  X
total_overrun   F  F  F  F  R  X  S  F  X
run_overrun     W  Q  R  F  R  C  S  F  X
reclaim         W  Q  Q  Q  Q  X  S  F  X
stale           W  Q  L  R  R  C  S  F  X
adopt           R  R  L  R  R  C  S  F  X
submit          W  Q  L  R  R  C  S  F  X
submit_all      W  Q  L  R  R  C  S  F  X
check           W  Q  L  R  R  C  S  F  X
dispatch        W  L  L  R  R  C  S  F  X
register        W  Q  L  R  R  C  S  F  X
disconnect      W  Q  L  R  R  C  S  F  X
report          W  Q  L  R  R  C  S  F  X
sweep           W  Q  L  R  R  C  S  F  X
audit           W  Q  L  R  R  C  S  F  X
"""
# What the same calls answer, where the answer says what was refused.
ANSWERS = """
           W             Q             L             R             P             C             S          F          X
accept     STALE         STALE         KEEP          KEEP          KEEP          CANCEL        STALE      STALE      STALE
refuse     STALE         STALE         STALE         KEEP          KEEP          CANCEL        STALE      STALE      STALE
renew      STALE         STALE         KEEP          KEEP          KEEP          CANCEL        STALE      STALE      STALE
publish    STALE         STALE         ALLOWED       ALLOWED       ALLOWED       CANCEL        STALE      STALE      STALE
succeed    STALE         STALE         COMMITTED     COMMITTED     COMMITTED     CANCELLED     ALREADY    ALREADY    STALE
permanent  STALE         STALE         COMMITTED     COMMITTED     COMMITTED     CANCELLED     ALREADY    ALREADY    STALE
retryable  STALE         STALE         RETRYING      RETRYING      RETRYING      CANCELLED     ALREADY    ALREADY    STALE
crash      STALE         STALE         RETRYING      RETRYING      RETRYING      CANCELLED     ALREADY    ALREADY    STALE
give_back  STALE         STALE         RETRYING      RETRYING      RETRYING      CANCELLED     ALREADY    ALREADY    STALE
cancel     OK            OK            OK            OK            PUBLISHING    OK            FINISHED   FINISHED   OK
retry      NOT_FINISHED  NOT_FINISHED  NOT_FINISHED  NOT_FINISHED  NOT_FINISHED  NOT_FINISHED  SUCCEEDED  OK         OK
delete     NOT_FINISHED  NOT_FINISHED  NOT_FINISHED  NOT_FINISHED  NOT_FINISHED  NOT_FINISHED  OK         OK         OK
adopt      True          True          False         False         False         False         False      False      False
"""
# Outcomes may begin the attempt they end, so they take two steps; RetryJob begins another generation.
NOT_ONE_STEP = {"succeed", "permanent", "retryable", "crash", "give_back", "retry"}


def test_the_table_has_everything_that_may_be_done() -> None:
    """Every action on every state."""
    assert [*ACTIONS] == [line.split()[0] for line in TABLE.strip().splitlines()[1:]]
    assert {*STATES} == {*TABLE.strip().splitlines()[0].split()}


def rows(table: str) -> list[tuple[str, str, str]]:
    header, *lines = table.strip().splitlines()
    cells = [(action, *line) for action, *line in (line.split() for line in lines)]
    return [(action, state, to) for action, *line in cells for state, to in zip(header.split(), line, strict=True)]


@pytest.mark.parametrize(("action", "state", "to"), rows(TABLE))
async def test_a_verb_moves_a_job_only_as_the_table_says(bench: Bench, action: str, state: str, to: str) -> None:
    """The table of transitions holds for every pair of state and verb."""
    bench.limits = LIMITS.get(action, Limits())
    lease = await STATES[state](bench)
    before = await bench.job()

    await ACTIONS[action](bench, lease)

    after = await bench.find()
    assert to == (after.state.value if after else "-")
    if after is None:
        return
    if after.state is not before.state and action not in NOT_ONE_STEP:
        assert after.state in NEXT[before.state]
    assert after.revision >= before.revision


@pytest.mark.parametrize(("action", "state", "to"), rows(TABLE))
async def test_a_verb_sent_twice_does_what_it_did_once(bench: Bench, action: str, state: str, to: str) -> None:
    """Every call may be repeated: the second time changes nothing more."""
    bench.limits = LIMITS.get(action, Limits())
    lease = await STATES[state](bench)
    await ACTIONS[action](bench, lease)
    once = await bench.find()
    moved = bench.client.hget(f"{prefix()}meta", "test_shift_us")

    if action in LIMITS:
        # The same call at the same time.
        bench.advance(-timedelta(microseconds=int(moved or 0)))
    await ACTIONS[action](bench, lease)

    assert told(once) == told(await bench.find())


def told(job: Job | None) -> object:
    """What a repeated call must not change."""
    return job and (job.state, job.generation, job.attempt_count, job.result, job.failure)


@pytest.mark.parametrize(("action", "state", "answer"), rows(ANSWERS))
async def test_a_verb_says_what_it_refused(bench: Bench, action: str, state: str, answer: str) -> None:
    """The answer to every pair of state and verb."""
    lease = await STATES[state](bench)

    assert answer == word(await ACTIONS[action](bench, lease))


def word(answer: Any) -> str:
    """What an answer comes to."""
    if isinstance(answer, tuple):
        return str(answer[0])
    return str(getattr(answer, "verdict", None) or getattr(answer, "ack", None) or answer)


@pytest.mark.parametrize("state", ["S", "F", "X"])
async def test_a_finished_job_is_purged_after_its_retention(bench: Bench, state: str) -> None:
    """T17: the record and everything of it goes, and the sweep says so."""
    await STATES[state](bench)
    bench.advance(timedelta(days=8))

    swept = await bench.store.sweep()

    assert 1 == swept.purged
    assert [] == [key for key in bench.client.keys("*") if b":j:" in key or b":s:" in key or b":x:" in key]
