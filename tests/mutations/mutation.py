"""A defect that somebody could put into the code, and the tests that must not let it pass."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


class NotThere(Exception):
    """The text that a mutation replaces is not in its file exactly once: the list has to follow the code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """Replaces *old*, which is in *file* exactly once."""

    file: str
    old: str
    new: str

    def applied(self, text: str) -> str:
        """The mutated text. Raises NotThere."""
        found = text.count(self.old)
        if found != 1:
            raise NotThere(f"{self.file} has {found} times, not once: {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One defect. Each of *tests* (pytest's ids, of whole test functions) must fail with it."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def mutation(name: str, file: str, old: str, new: str, *tests: str) -> Mutation:
    """A defect in one place."""
    return Mutation(name=name, edits=(Edit(file=file, old=old, new=new),), tests=tests)
