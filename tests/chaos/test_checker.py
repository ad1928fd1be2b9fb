"""The checker finds what it is there for, and nothing else. Written over small histories by hand."""

from __future__ import annotations

import pytest

from chaos.rig.checker import FinalJob, Judgement, executions, judge
from chaos.rig.history import Event

DONE = FinalJob(state="succeeded", tokens=(5,), committed=(5,), written_by=5)


def submit(job: str, outcome: str = "ok") -> Event:
    return {"event": "call", "call": "submit", "job": job, "outcome": outcome}


def start(job: str, token: int) -> Event:
    return {"event": "ffmpeg_start", "attempt": f"tenant~{job}~1~{token}"}


def commit(job: str, revision: int = 100) -> Event:
    return {"event": "commit", "job": job, "revision": revision}


ONE = [submit("a"), start("a", 5), commit("a")]


def test_a_job_that_ran_once_is_well() -> None:
    """Acknowledged, started, committed: nothing is wrong."""
    judgement = judge(ONE, {"a": DONE})

    assert Judgement(
        acknowledged=frozenset("a"), lost=frozenset(), unexpected=frozenset(), duplicated=frozenset(),
        recovered=frozenset(), wrong=(),
    ) == judgement  # fmt: skip
    assert {"acknowledged": 1, "lost": 0, "unexpected": 0, "duplicated": 0, "recovered": 0} == judgement.figures()


def test_a_lost_job_is_told() -> None:
    """Acknowledged and not there; one that was refused, or of which nothing is known, need not be there."""
    judgement = judge([submit("a"), submit("b", "refused"), submit("c", "unknown")], {})

    assert frozenset("a") == judgement.lost
    assert ("a: acknowledged and lost",) == judgement.wrong


def test_an_unexpected_job_is_told() -> None:
    """There, and nobody submitted it."""
    judgement = judge(ONE, {"a": DONE, "b": FinalJob(state="cancelled")}, ends=("succeeded", "cancelled"))

    assert frozenset("b") == judgement.unexpected
    assert ("b: nobody submitted it",) == judgement.wrong


def test_a_job_of_unknown_outcome_that_is_there_is_recovered() -> None:
    """Its submit was not answered; it is no loss where it is not there, and nothing new once a repetition was answered."""
    unknown = [submit("a", "unknown"), start("a", 5), commit("a")]

    assert (frozenset("a"), ()) == (judge(unknown, {"a": DONE}).recovered, judge(unknown, {"a": DONE}).wrong)
    assert frozenset() == judge([*unknown, submit("a")], {"a": DONE}).recovered


@pytest.mark.parametrize(
    ("history", "final"),
    [
        ([*ONE, commit("a", 200)], DONE),
        (ONE, FinalJob(state="succeeded", tokens=(5, 5), committed=(5, 5), written_by=5)),
    ],
)
def test_a_second_commit_is_told(history: list[Event], final: FinalJob) -> None:
    """By the feed, or by the attempts; the same change read twice is one."""
    assert frozenset("a") == judge(history, {"a": final}).duplicated
    assert "a: committed more than once" in judge(history, {"a": final}).wrong
    assert () == judge([*ONE, commit("a")], {"a": DONE}).wrong


@pytest.mark.parametrize(
    ("history", "final", "wrong"),
    [
        ([*ONE, start("a", 6)], DONE, "a: token 5 committed, but 6 was granted later"),
        (
            ONE,
            FinalJob(state="succeeded", tokens=(5, 6), committed=(5,), written_by=5),
            "a: token 5 committed, but 6 was granted later",
        ),
        (
            ONE,
            FinalJob(state="succeeded", tokens=(5,), committed=(5,), written_by=4),
            "a: token 5 committed, but the artifact is of 4",
        ),
        (ONE[:2], DONE, "a: succeeded without a commit"),
        (ONE, FinalJob(state="failed", tokens=(5,)), "a: ended failed and was committed"),
        (ONE[:2], FinalJob(state="failed", tokens=(5,)), "a: ended failed, not succeeded"),
    ],
)
def test_a_wrong_end_is_told(history: list[Event], final: FinalJob, wrong: str) -> None:
    """A stale token, bytes of another attempt, a commit that nobody saw, an end that is not one of those expected."""
    assert wrong in judge(history, {"a": final}).wrong


def test_an_older_execution_is_no_fault() -> None:
    """Executions may be doubled: the newest token commits."""
    history = [submit("a"), start("a", 3), start("a", 5), commit("a")]

    assert () == judge(history, {"a": DONE}).wrong
    assert {"a": 2} == executions(history)
