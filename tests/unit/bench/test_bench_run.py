"""The command line of the bench, and how it is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.interrupts import Interrupts
from bench.run import parsed, places, sizes_of
from bench.sizes import DEFAULT, TINY
from bench.trees import ROOT, Tree, same


def test_what_is_measured_by_default() -> None:
    """Every group, those where it matters under both durabilities."""
    found = [(group.name, durability) for group, durability in places(parsed([]))]
    both = [(name, durability) for name in ("idle", "submit", "work") for durability in ("everysec", "fsync")]
    assert [*both, ("watch", "everysec"), ("memory", "everysec"), ("encode", "everysec")] == found


def test_what_is_asked_for_is_measured() -> None:
    """--only may be repeated; --durability leaves the other out."""
    options = parsed(["--only", "work", "--only", "encode", "--durability", "everysec"])
    assert [("work", "everysec"), ("encode", "everysec")] == [(group.name, how) for group, how in places(options)]


def test_sizes() -> None:
    """--long is a minute of encoding, --tiny the least; --pairs goes with any."""
    assert (DEFAULT, TINY) == (sizes_of(parsed([])), sizes_of(parsed(["--tiny"])))
    assert (20.0, 60.0) == (DEFAULT.clip_seconds, sizes_of(parsed(["--long"])).clip_seconds)
    assert (1, 5, 2) == (
        DEFAULT.pairs,
        sizes_of(parsed(["--pairs", "5"])).pairs,
        sizes_of(parsed(["--tiny", "--pairs", "2"])).pairs,
    )


def test_no_rounds_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """With what would be right."""
    with pytest.raises(SystemExit):
        parsed(["--rounds", "0"])
    assert "at least 1" in capsys.readouterr().err


def test_the_same_locks(tmp_path: Path) -> None:
    """Equal content, or neither is there."""
    one, other, none = (tmp_path / name for name in ("one", "other", "none"))
    one.write_text("a")
    other.write_text("b")
    assert [True, False, False, True] == [same(one, one), same(one, other), same(one, none), same(none, none)]


@pytest.fixture
def interrupts() -> Iterator[Interrupts]:
    """Installed; the handlers from before come back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    found = Interrupts()
    found.install()
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_waits_while_it_is_held(interrupts: Interrupts, number: signal.Signals) -> None:
    """It comes when the held part is through, and only once."""
    steps = []

    def work() -> None:
        with interrupts.held():
            os.kill(os.getpid(), number)
            steps.append("through")
        steps.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        work()
    with interrupts.held():
        steps.append("again")
    assert ["through", "again"] == steps


def test_an_interrupt_is_let_through_at_once(interrupts: Interrupts) -> None:
    """Within a held part, and what is held around it is ended in order."""
    steps = []
    with interrupts.held():
        try:
            with interrupts.let_through():
                os.kill(os.getpid(), signal.SIGTERM)
                steps.append("not reached")
        except KeyboardInterrupt:
            steps.append("interrupted")
        steps.append("ended")
    assert ["interrupted", "ended"] == steps


def test_an_interrupt_from_before_comes_when_it_is_let_through(interrupts: Interrupts) -> None:
    """Not after the work it should have stopped."""
    steps = []
    with interrupts.held():
        os.kill(os.getpid(), signal.SIGINT)
        try:
            with interrupts.let_through():
                steps.append("not reached")
        except KeyboardInterrupt:
            steps.append("interrupted")
    assert ["interrupted"] == steps


def test_a_tree_runs_its_own_code(tmp_path: Path) -> None:
    """Whatever its interpreter has installed; the drivers are ours."""
    package = tmp_path / "scheduler" / "telecine_scheduler"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    tree = Tree(name="base", revision="", root=tmp_path, python=Path(sys.executable))

    code = "import telecine_scheduler, bench.sizes; print(telecine_scheduler.__file__, bench.sizes.__file__)"
    done = subprocess.run(
        [tree.python, "-P", "-c", code], env=os.environ | tree.environment, capture_output=True, text=True, check=True
    )
    assert [str(package / "__init__.py"), str(ROOT / "tests" / "bench" / "sizes.py")] == done.stdout.split()
