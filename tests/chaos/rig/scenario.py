"""What a scenario is, and one round of it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chaos.rig.fleet import Fleet

FOLDER = Path(__file__).parents[1] / "scenarios"


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """How a round is played. *keep*: a folder for the logs and the history, None: they are not kept."""

    seed: int
    long: bool
    keep: Path | None = None

    @property
    def leniency(self) -> int:
        """What times may be multiplied by: short forms run on machines that are busy with other things."""
        return 1 if self.long else 4

    def fleet(self, *, appendfsync: str = "always", **profile: str) -> Fleet:
        """A rig for this round; to be entered."""
        return Fleet(self.seed, appendfsync=appendfsync, keep=self.keep, **profile)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What came of it: it has passed where *wrong* is empty. *figures* are for the note; times are in seconds."""

    wrong: Sequence[str]
    figures: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """*number* is its place in the list of acceptance scenarios; *title* one line of what must be true."""

    number: int
    name: str
    title: str
    play: Callable[[Play], Coroutine[None, None, Round]]


def scenarios() -> dict[str, Scenario]:
    """All of them by name, in the order of their numbers: what the modules in scenarios/ call SCENARIO."""
    modules = [importlib.import_module(f"chaos.scenarios.{path.stem}") for path in sorted(FOLDER.glob("*.py"))]
    found: list[Scenario] = [module.SCENARIO for module in modules if hasattr(module, "SCENARIO")]
    return {each.name: each for each in sorted(found, key=lambda each: each.number)}
