"""The list of mutations follows the code."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mutations.catalogue import MUTATIONS
from mutations.mutation import Edit, Mutation, NotThere, mutation
from support.named_tests import ROOT, has_test


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
