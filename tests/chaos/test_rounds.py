"""The command that plays scenarios: one line a round, resumable, and an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaos import run
from chaos.rig.scenario import Play, Round, Scenario

played: list[int] = []


async def play(how: Play) -> Round:
    """Seed 3 fails, seed 4 breaks."""
    played.append(how.seed)
    if how.seed == 4:
        raise ConnectionError("gone")
    return Round(wrong=["a: lost"] if how.seed == 3 else [], figures={"kills": how.seed})


@pytest.fixture(autouse=True)
def _scenario(monkeypatch: pytest.MonkeyPatch) -> None:
    played.clear()
    scenario = Scenario(number=1, name="one", title="what must be true", play=play)
    monkeypatch.setattr(run, "scenarios", lambda: {"one": scenario})


def lines(text: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in text.splitlines()]
    for line in found:
        line.pop("seconds")
    return found


def test_a_round_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With the seed, whether it passed, and its figures; all passed: exit code 0."""
    assert 0 == run.main(["one", "--rounds", "2"])
    common = {"scenario": "one", "long": False, "passed": True, "wrong": []}
    assert [common | {"seed": 1, "kills": 1}, common | {"seed": 2, "kills": 2}] == lines(capsys.readouterr().out)


def test_a_failed_or_broken_round_fails_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1; the rounds after it are played; what broke is said."""
    assert 1 == run.main(["one", "--rounds", "3", "--seed", "3"])
    assert [["a: lost"], ["ConnectionError: gone"], []] == [line["wrong"] for line in lines(capsys.readouterr().out)]


def test_an_interrupted_run_goes_on(tmp_path: Path) -> None:
    """Rounds in the file are not played again, a line broken off is; a failed round in it still fails the run."""
    out = tmp_path / "rounds.jsonl"
    assert 0 == run.main(["one", "--rounds", "2", "--out", str(out)])
    out.write_text(out.read_text()[:-9])
    for _ in range(2):
        assert 0 == run.main(["one", "--rounds", "2", "--out", str(out)])
    assert [1, 2, 2] == played

    assert 1 == run.main(["one", "--seed", "3", "--out", str(out)])
    assert 1 == run.main(["one", "--seed", "3", "--out", str(out)])
    assert [1, 2, 2, 3] == played


def test_the_long_form_has_rounds_of_its_own(tmp_path: Path) -> None:
    """A short round in the file does not stand for a long one."""
    out = tmp_path / "rounds.jsonl"
    run.main(["one", "--out", str(out)])
    run.main(["one", "--out", str(out), "--long"])

    assert [1, 1] == played


def test_scenarios_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """By number, name and what must be true."""
    assert 0 == run.main(["--list"])
    assert " 1 one                      what must be true\n" == capsys.readouterr().out
