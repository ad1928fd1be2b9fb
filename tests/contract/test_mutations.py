"""The list of mutations follows the code, and the table of failure modes the tests."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mutations.catalogue import MUTATIONS
from mutations.mutation import Edit, Mutation, NotThere, mutation

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tests" / "FAILURE_MODES.md"
ROWS = 48


def has_test(identity: str) -> bool:
    """Whether there is a test of this id: a file, and a function of it where one is named."""
    file, _, function = identity.partition("::")
    path = ROOT / file
    return path.is_file() and (not function or re.search(rf"def {function}\b", path.read_text()) is not None)


@pytest.mark.parametrize("each", MUTATIONS, ids=lambda each: each.name)
def test_a_mutation_fits_the_code(each: Mutation) -> None:
    """What it replaces is there once, what it makes of it is something else, and the tests it names exist."""
    for edit in each.edits:
        text = (ROOT / edit.file).read_text()
        assert text != edit.applied(text)
    assert each.tests
    assert [] == [test for test in each.tests if "::" not in test or not has_test(test)]


def test_mutations_have_names_of_their_own() -> None:
    """--only chooses one."""
    assert len(MUTATIONS) == len({each.name for each in MUTATIONS})


@pytest.mark.parametrize("text", ["", "old old"])
def test_a_list_that_has_rotted_is_an_error(text: str) -> None:
    """A text that is gone, or is there twice, is not silently left alone."""
    with pytest.raises(NotThere, match="not once"):
        Edit(file="file", old="old", new="new").applied(text)


def test_a_mutation_is_of_one_place_unless_said() -> None:
    """The short form makes one edit."""
    made = mutation("name", "file", "old", "new", "test")
    assert Mutation(name="name", edits=(Edit(file="file", old="old", new="new"),), tests=("test",)) == made


def rows() -> list[list[str]]:
    """The cells of the table."""
    lines = [line for line in TABLE.read_text().splitlines() if re.match(r"\| *\d+ *\|", line)]
    return [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in lines]


def test_the_table_has_every_failure_mode_and_no_empty_cell() -> None:
    """Number, mode, where it is handled, what proves it: 48 times."""
    assert list(range(1, ROWS + 1)) == [int(row[0].strip("| ")) for row in rows()]
    assert [] == [row for row in rows() if len(row) != 4 or not all(row)]


def test_the_table_names_tests_that_exist() -> None:
    """A test that is renamed is renamed there, too."""
    named = re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", TABLE.read_text())
    assert named
    assert [] == [name for name in named if not has_test(name)]


def test_the_table_names_places_that_exist() -> None:
    """So with the code that handles it."""
    named = re.findall(r"`((?:scheduler|worker|clients|deploy|protos)/[\w/.]+)`", TABLE.read_text())
    assert named
    assert [] == [name for name in named if not (ROOT / name).exists()]


@pytest.mark.long
def test_the_tests_notice_every_mutation() -> None:
    """Each of the tests that a mutation names fails with it, and all of them pass without."""
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "mutations" / "run.py"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stdout
