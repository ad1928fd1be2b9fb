"""The bench still measures what it says: the least of everything, once. What comes out says nothing about time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.processes import wait_until

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "tests" / "bench" / "run.py"
LONGEST_SECONDS = 180

# Of each group, by what its figures begin with.
MEASURED = {
    "idle": {"submit", "start", "result", "sdk_submit", "sdk_start", "sdk_result", "bare", "ping"},
    "submit": {"unary", "batch", "stream", "sdk", "bare"},
    "work": {"drain", "cycle", "contract_drain", "contract_cycle", "contract_calls_cycle"},
    "watch": {"one", "many", "bare"},
    "memory": {"queued_job", "scheduler_rss", "scheduler_pss", "worker_rss", "worker_pss"},
    "encode": {
        "run",
        "run_cpu",
        "bare",
        "bare_cpu",
        "attempt",
        "attempt_cpu",
        "around",
        "whole",
        "encoding",
        "verifying",
    },
}
UNITS = ("_p50_ms", "_per_s", "_bytes", "_s")


@contextlib.contextmanager
def nothing_left() -> Iterator[dict[str, str]]:
    """An environment that names every process that is started with it; none is left at the end."""
    marker = uuid.uuid4().hex
    yield {**os.environ, "BENCH_MARKER": marker}
    wait_until(lambda: [] == living(marker), "the processes of the bench to end")


@pytest.fixture
def marked() -> Iterator[dict[str, str]]:
    """For runs of this test."""
    with nothing_left() as environment:
        yield environment


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """Everything, once."""
    with nothing_left() as environment:
        return bench(environment)


def living(marker: str) -> list[str]:
    """Commands of the processes that have *marker* in their environment."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if marker.encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_bytes().decode().replace("\0", " "))
            except OSError:
                continue
    return found


def bench(environment: dict[str, str], *arguments: str) -> dict[str, Any]:
    """What it prints; its table is shown where the test fails."""
    command = [sys.executable, str(BENCH), "--tiny", "--rounds", "1", "--durability", "everysec", *arguments]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False
    )
    print(done.stderr)
    assert 0 == done.returncode
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def unit_off(name: str) -> str:
    """The name of a figure without its unit; empty for what has another one."""
    return next((name.removesuffix(unit) for unit in UNITS if name.endswith(unit)), "")


def test_every_figure_can_be_measured(measured: dict[str, Any]) -> None:
    """Each group finds all of its figures, none is missing for a reason, and each is a positive number."""
    assert [] == measured["failures"]
    for group, names in MEASURED.items():
        figures = measured["figures"]["everysec"][group]
        assert {} == {name: figure for name, figure in figures.items() if "why" in figure["tree"]}
        values = {unit_off(name): figure["tree"]["median"] for name, figure in figures.items()}
        assert set() == names - values.keys()
        assert [] == [name for name in names if not values[name] > 0]


def test_a_job_s_whole_cost_is_there(measured: dict[str, Any]) -> None:
    """CPU time of each process, Redis' commands and the messages of a job that goes all the way."""
    figures = measured["figures"]["everysec"]["work"]

    costs = {name.partition("_cost.")[2] for name in figures if name.startswith("contract_calls_cycle_cost.")}
    assert {
        "scheduler_us", "redis_us", "worker_us", "client_us", "redis_commands", "redis_scripts", "messages", "lease_messages",
    } == costs  # fmt: skip
    # Submitted, dispatched, finished and watched: no job does without.
    assert figures["contract_calls_cycle_cost.redis_commands"]["tree"]["median"] > 3
    assert figures["contract_calls_cycle_cost.messages"]["tree"]["median"] >= 4


def test_two_revisions_in_turns(marked: dict[str, str]) -> None:
    """--base sets up another revision beside this one and gives the ratio."""
    if subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, check=False).returncode != 0:
        pytest.skip("there is no git repository here")
    found = bench(marked, "--base", "HEAD", "--only", "memory")

    head = found["trees"]["base"]
    assert head == found["trees"]["tree"].removesuffix("+")
    figure = found["figures"]["everysec"]["memory"]["queued_job_bytes"]
    assert {"base", "tree", "ratio"} == set(figure)
    assert figure["tree"]["rounds"][0] / figure["base"]["rounds"][0] == pytest.approx(figure["ratio"]["median"], 1e-4)


def test_an_unknown_revision_is_refused(marked: dict[str, str]) -> None:
    """With the exit code of wrong usage, and its name."""
    command = [sys.executable, str(BENCH), "--base", "no-such-revision"]
    done = subprocess.run(command, env=marked, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
    assert (2, "") == (done.returncode, done.stdout)
    assert "no-such-revision" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(marked: dict[str, str], tmp_path: Path, number: signal.Signals) -> None:
    """In the middle of a group: every process ends, and the temporary folder goes."""
    command = [sys.executable, str(BENCH), "--rounds", "1", "--only", "submit"]
    environment = {**marked, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        marker = marked["BENCH_MARKER"]
        wait_until(lambda: any("bare_server" in each for each in living(marker)), "the driver to work", 60)
        process.send_signal(number)
        assert process.wait(60) == 130
        # Ended and not just left to its end; what it had started dies with it.
        assert [] == [each for each in living(marker) if "drivers.main" in each]
    assert [] == list(tmp_path.iterdir())
