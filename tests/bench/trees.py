"""The trees that are compared: the one this file is in, and another revision of it in a temporary folder."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from support.processes import Child

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
# What an environment is made of: equal locks, equal environment.
# What a server, a client and a driver run on; that of the tests makes no difference.
LOCK = "requirements.lock"
SET_UP_SECONDS = 900


class NoSuchRevision(Exception):
    """Git knows no commit of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Sources of one revision, and an interpreter that has what they need."""

    name: str
    # The commit; "+" after it: with changes that are not committed. Empty where there is no git, or no repository.
    revision: str
    root: Path
    python: Path

    @property
    def environment(self) -> dict[str, str]:
        """Puts the packages of this tree before those of the interpreter, and the drivers of *our* tree beside them."""
        project = tomllib.loads((self.root / "pyproject.toml").read_text())
        packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
        folders = [self.root / Path(package).parent for package in packages]
        return {"PYTHONPATH": os.pathsep.join(map(str, [*folders, TESTS]))}

    def module(self, name: str) -> list[str]:
        """The command for a module of this tree."""
        return [str(self.python), "-P", "-m", name]

    def take(self, child: Child, module: str) -> Child:
        """Let a process of the tests' be one of this tree; it was not started yet."""
        child.argv = [*self.module(module), *child.argv[1:]]
        child.env |= self.environment
        return child


def this_tree() -> Tree:
    """The one this file is in, as it is, committed or not."""
    try:
        revision = commit("HEAD") + ("+" if git("status", "--porcelain") else "")
    except NoSuchRevision:
        revision = ""
    return Tree(name="tree", revision=revision, root=ROOT, python=Path(sys.executable))


def tree_of(revision: str, folder: Path) -> Tree:
    """The sources of *revision* in *folder*, set up. Raises NoSuchRevision.

    This interpreter serves where both want the same packages; else `./run` of that revision makes another one.
    """
    found, root = commit(revision), folder / "base"
    with tarfile.open(fileobj=io.BytesIO(git_bytes("archive", "--format=tar", found))) as archive:
        archive.extractall(root)  # without a filter, which Python 3.11.2 does not know: it is git's own archive
    if same(root / LOCK, ROOT / LOCK):
        python = Path(sys.executable)
        subprocess.run([python, root / "hatch_build.py"], check=True, timeout=SET_UP_SECONDS, stdout=sys.stderr)
    else:
        python = root / ".venv" / "bin" / "python"
        # Not by the interpreter of this environment, which has no pip.
        maker = Path(sys.base_prefix) / "bin" / "python3"
        subprocess.run([maker, root / "run", "python", "-c", ""], check=True, timeout=SET_UP_SECONDS, stdout=sys.stderr)
    return Tree(name="base", revision=found, root=root, python=python)


def same(one: Path, other: Path) -> bool:
    """Whether both are there and equal, or neither is there."""
    if not (one.exists() and other.exists()):
        return one.exists() == other.exists()
    return one.read_bytes() == other.read_bytes()


def commit(revision: str) -> str:
    """The commit that *revision* names. Raises NoSuchRevision."""
    try:
        return git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        raise NoSuchRevision(f"git finds no commit {revision!r} here") from error


def git(*arguments: str) -> str:
    """What git says; it changes nothing."""
    return git_bytes(*arguments).decode()


def git_bytes(*arguments: str) -> bytes:
    """What git says; it changes nothing."""
    command = ["git", "--no-optional-locks", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=60).stdout
