"""The tables of what can fail, of checks and of attacks follow the tests and the code."""

from __future__ import annotations

import re

import pytest

from support.named_tests import ROOT, has_test

FAILURE_MODES, ACCEPTANCE = "FAILURE_MODES.md", "ACCEPTANCE.md"
# The numbers of each table's rows, in their order: failure modes; checks, then attacks.
NUMBERS = {FAILURE_MODES: [*range(1, 49)], ACCEPTANCE: [*range(1, 16), *range(1, 23)]}


def text_of(table: str) -> str:
    return (ROOT / "tests" / table).read_text()


def rows(table: str) -> list[list[str]]:
    """The cells of those with a number."""
    lines = [line for line in text_of(table).splitlines() if re.match(r"\| *\d+ *\|", line)]
    return [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in lines]


@pytest.mark.parametrize("table", NUMBERS)
def test_a_table_has_every_row_and_no_empty_cell(table: str) -> None:
    """Four cells each."""
    assert NUMBERS[table] == [int(row[0].strip("| ")) for row in rows(table)]
    assert [] == [row for row in rows(table) if len(row) != 4 or not all(row)]


@pytest.mark.parametrize("table", NUMBERS)
def test_a_table_names_tests_that_exist(table: str) -> None:
    """A test that is renamed is renamed there, too."""
    named = re.findall(r"`(tests/[\w/]+\.py(?:::\w+)?)`", text_of(table))
    assert named
    assert [] == [name for name in named if not has_test(name)]


def test_every_check_and_attack_has_a_test_of_its_own() -> None:
    """A function, not only a file; the row of the attacks as a whole names the other table besides."""
    assert [] == [row[0] for row in rows(ACCEPTANCE) if not re.search(r"`tests/[\w/]+\.py::\w+`", row[2])]


def test_the_table_of_failures_names_places_that_exist() -> None:
    """So with the code that handles it."""
    named = re.findall(r"`((?:scheduler|worker|clients|deploy|protos)/[\w/.]+)`", text_of(FAILURE_MODES))
    assert named
    assert [] == [name for name in named if not (ROOT / name).exists()]
