"""A copy of the tree in which tests run: what they import, and what their child processes import, is the copy."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mutations.mutation import ROOT, Mutation

# As `./run` links them: the first that has a package wins, and PYTHONPATH comes before what is installed.
SOURCES = ("scheduler", "worker", "clients/python", "deploy/local", "deploy/process", "protos/gen")
PACKAGES = (
    "telecine_scheduler",
    "telecine_worker",
    "telecine_client",
    "telecine_local",
    "telecine_process",
    "telecine.v1",
)
PARTS = (
    "scheduler",
    "worker",
    "clients",
    "deploy",
    "protos",
    "tests",
    "docs",
    "run",
    "hatch_build.py",
    "pyproject.toml",
)
TEST_SECONDS = 300


class NoControl(Exception):
    """Without any mutation, the tests do not do what they should, so that nothing can be learned from them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """What became of tests, by their ids without parameters."""

    passed: frozenset[str]
    failed: frozenset[str]
    output: str


class Copy:
    """A tree of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
            else:
                shutil.copy2(source, folder / part)
        path = os.pathsep.join(str(folder / source) for source in SOURCES)
        # What tests leave behind when they are ended goes with the copy.
        temporary = folder / "t"
        temporary.mkdir()
        self._environment = os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(temporary)}
        self._child: subprocess.Popen[str] | None = None

    def check_origin(self) -> None:
        """Raise NoControl where a child process would import anything of ours from elsewhere."""
        code = f"import importlib\nfor name in {PACKAGES}: print(*importlib.import_module(name).__path__)"
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=self._folder, env=self._environment, capture_output=True, text=True, check=True
        )
        places = [Path(line) for line in done.stdout.splitlines()]
        if len(places) != len(PACKAGES) or not all(place.is_relative_to(self._folder) for place in places):
            raise NoControl(f"not everything is imported from the copy: {done.stdout}")

    @contextmanager
    def mutated(self, mutation: Mutation) -> Iterator[None]:
        """With the mutation inside, and without it afterwards."""
        before = {edit.file: (self._folder / edit.file).read_text() for edit in mutation.edits}
        try:
            for edit in mutation.edits:
                path = self._folder / edit.file
                path.write_text(edit.applied(path.read_text()))
            yield
        finally:
            for file, text in before.items():
                (self._folder / file).write_text(text)

    def run(self, tests: Sequence[str]) -> Verdicts:
        """Run these tests in the copy."""
        report = self._folder / "report.xml"
        report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
        # A group of its own, which ends as a whole: servers that tests started are in it.
        with subprocess.Popen(
            command, cwd=self._folder, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        ) as child:  # fmt: skip
            self._child = child
            try:
                output, _ = child.communicate(timeout=TEST_SECONDS)
            except subprocess.TimeoutExpired:
                output = f"not ended within {TEST_SECONDS} s"
            finally:
                self.stop()
                self._child = None
        return _verdicts(report, tests, output)

    def stop(self) -> None:
        """End what runs here."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)


def _verdicts(report: Path, tests: Sequence[str], output: str) -> Verdicts:
    """A test with parameters has failed where it has with one of them. Without a report none has passed or failed."""
    if not report.exists():
        return Verdicts(passed=frozenset(), failed=frozenset(), output=output)
    of_name = {_name(test): test for test in tests}
    passed, failed = set[str](), set[str]()
    for case in ET.parse(report).getroot().iter("testcase"):
        test = of_name.get((case.get("classname", ""), case.get("name", "").partition("[")[0]))
        if test is None or case.find("skipped") is not None:
            continue
        bad = case.find("failure") is not None or case.find("error") is not None
        (failed if bad else passed).add(test)
    return Verdicts(passed=frozenset(passed - failed), failed=frozenset(failed), output=output)


def _name(test: str) -> tuple[str, str]:
    """As a report has it: the file with dots, and the function."""
    file, _, function = test.partition("::")
    return file.removesuffix(".py").replace("/", "."), function
