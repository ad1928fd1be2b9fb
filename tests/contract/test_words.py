"""The domain, the contract, the scripts and the tables say the same words."""

from __future__ import annotations

import re
from importlib import resources

import pytest

from telecine.v1 import job_pb2, lease_service_pb2
from telecine_scheduler.domain import errors
from telecine_scheduler.domain.job import NEXT, AttemptOutcome, FailureKind, JobState, WaitReason
from telecine_scheduler.domain.lease import Ack
from telecine_scheduler.rpc.errors import STATUS
from telecine_scheduler.store.scripts import VERBS, script

LUA = resources.files("telecine_scheduler.store") / "lua"


def names(enum: object, prefix: str) -> set[str]:
    return {name.removeprefix(prefix) for name in list(enum.keys()) if not name.endswith("_UNSPECIFIED")}  # type: ignore[attr-defined]


def test_states_are_those_of_the_contract() -> None:
    """LEASED alone is ours: callers see QUEUED."""
    assert names(job_pb2.JobState, "JOB_STATE_") == {state.name for state in JobState} - {"LEASED"}


def test_other_words_are_those_of_the_contract() -> None:
    """Wait reasons, failure kinds, outcomes, acknowledgements; ADOPTABLE is between us and the store."""
    assert names(job_pb2.WaitReason, "WAIT_REASON_") == {reason.name for reason in WaitReason}
    assert names(job_pb2.Failure.Kind, "KIND_") == {kind.name for kind in FailureKind}
    assert names(job_pb2.Attempt.Outcome, "OUTCOME_") == {outcome.name for outcome in AttemptOutcome}
    assert names(lease_service_pb2.OutcomeAck.Ack, "ACK_") == {ack.name for ack in Ack} - {"ADOPTABLE"} | {"TRY_AGAIN"}


def test_every_state_has_its_next_ones() -> None:
    """The table of transitions is total, and final states end in themselves."""
    assert set(JobState) == set(NEXT)
    assert {"SUCCEEDED", "FAILED", "CANCELLED"} == {state.name for state in JobState if state.final}


def subclasses(kind: type) -> set[type]:
    found = set(kind.__subclasses__())
    return found.union(*(subclasses(each) for each in found))


def test_every_error_has_a_status() -> None:
    """No error of the domain falls through the table, and none has both the code and the reason of another."""
    tree = subclasses(errors.TelecineError)
    assert tree == set(STATUS)
    assert len(tree) == len({(STATUS[error], error.reason) for error in tree})


def test_the_docstring_shows_the_whole_tree_of_errors() -> None:
    """What a reader sees at the top of the module is what there is."""
    shown = re.findall(r"── (\w+)", errors.__doc__ or "")
    assert sorted(error.__name__ for error in subclasses(errors.TelecineError)) == sorted(shown)


def test_every_script_is_a_verb() -> None:
    """No file without a method, no verb without a file."""
    files = {path.name.removesuffix(".lua") for path in LUA.iterdir() if path.name != "prelude.lua"}
    assert set(VERBS) == files


@pytest.mark.parametrize("verb", VERBS)
def test_a_script_begins_with_its_flags_and_signature(verb: str) -> None:
    """The shebang is the first line Redis sees, and a reader finds what goes in and what comes out."""
    text = (LUA / f"{verb}.lua").read_text()
    assert script(verb).source.startswith(b"#!lua")
    assert "-- Reply" in text


@pytest.mark.parametrize("verb", VERBS)
def test_a_script_never_joins_large_numbers(verb: str) -> None:
    """`..` and tostring lose digits above 2^43 or so: numbers become text through int() alone."""
    text = script(verb).source.decode()
    assert not re.search(r"tostring\(", text)
    assert not re.search(r"\.\. *(NOW|clock|tick\(\)|seq|job\.rv)\b", text)


def test_only_the_sweep_reads_the_wall_of_time_once() -> None:
    """TIME moves inside a script on Redis 7.0: each script reads it once, in the prelude."""
    assert 1 == sum(script("sweep").source.count(word) for word in (b"call('TIME')",))
