"""The real ./run and protos in a small checkout, with a package of its own and empty locks: nothing is fetched."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[3]
DEADLINE_SECONDS = 60
PROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "tiny"
version = "1.0"

[tool.hatch.build.hooks.custom]
path = "hatch_build.py"

[tool.hatch.build.targets.wheel]
packages = ["protos/gen/telecine"]
"""


@cache
def interpreter() -> str:
    """A Python like ours that has pip, as the one has that made our .venv."""
    outside = os.pathsep.join(
        folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder) != Path(sys.executable).parent
    )
    for python in (shutil.which("python3", path=outside), sys._base_executable):  # type: ignore[attr-defined]
        ask = f"import sys, pip; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
        if python and subprocess.run([python, "-c", ask], capture_output=True, check=False).returncode == 0:
            return str(python)
    raise AssertionError("no Python outside .venv has pip")


class Said(NamedTuple):
    """How a ./run ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A checkout, and what is in the environment of whoever uses it."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> Path:
        return self.root / ".venv"

    @property
    def gen(self) -> Path:
        return self.root / "protos" / "gen"

    @contextmanager
    def begun(self, *argv: str, cwd: Path | None = None) -> Iterator[subprocess.Popen[str]]:
        """./run, or another way to call it, in a process group of its own."""
        # What the package is built with is taken from the environment of the tests. No settings of this machine's pip.
        site = Path(pytest.__file__).parents[1]
        path = f"{os.environ['PATH']}{os.pathsep}{Path(sys.executable).parent}"
        plain = {"PATH": path, "HOME": str(self.root), "PYTHONPATH": str(site)}
        process = subprocess.Popen(
            [interpreter(), *argv], env=plain | self.environment, cwd=cwd or self.root, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)

    def call(self, *argv: str, cwd: Path | None = None) -> Said:
        with self.begun(*argv, cwd=cwd) as process:
            out, err = process.communicate(timeout=DEADLINE_SECONDS)
        return Said(code=process.returncode, out=out, err=err)

    def run(self, *arguments: str) -> Said:
        return self.call(str(self.root / "run"), *arguments)

    def heard(self, process: subprocess.Popen[str], words: str) -> str:
        """Standard error until *words* are in it."""
        assert process.stderr
        text, deadline = "", time.monotonic() + DEADLINE_SECONDS
        while words not in text:
            readable, _, _ = select.select([process.stderr], [], [], max(0, deadline - time.monotonic()))
            piece = os.read(process.stderr.fileno(), 4096).decode() if readable else ""
            assert piece, f"{words!r} is not in {text!r}"
            text += piece
        return text


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkout, Said]:
    """A checkout after its first ./run, and what that said. Whoever ran it has a pip that installs elsewhere."""
    root = tmp_path_factory.mktemp("first") / "checkout"
    root.mkdir()
    for name in ("run", "hatch_build.py"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "protos/telecine", root / "protos/telecine")
    shutil.copytree(ROOT / "protos/third_party", root / "protos/third_party")
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "requirements.lock").write_text("# nothing\n")
    (root / "requirements-dev.lock").write_text("# nothing\n")
    (root / "pip.conf").write_text("[install]\nuser = true\n")
    elsewhere = str(root / "elsewhere")
    settings = {
        "PIP_USER": "1", "PIP_TARGET": elsewhere, "PIP_PREFIX": elsewhere, "PIP_CONFIG_FILE": str(root / "pip.conf"),
    }  # fmt: skip
    said = Checkout(root=root, environment=settings).run("python", "-c", "print('it runs')")
    return Checkout(root=root), said


@pytest.fixture
def checkout(first: tuple[Checkout, Said], tmp_path: Path) -> Checkout:
    """A copy of that checkout."""
    assert 0 == first[1].code, first[1].err
    shutil.copytree(first[0].root, tmp_path / "checkout", symlinks=True)
    return Checkout(root=tmp_path / "checkout")
