"""From rounds to figures: each round's values, their median, and ratios taken within a round."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Columns of the table.
NAME_WIDTH = 36
VALUE_WIDTH = 12


class Report:
    """Collects what rounds find. Figures are by durability, group and name, then by tree."""

    def __init__(self, trees: Sequence[str], rounds: int) -> None:
        self._trees = trees
        self._rounds = rounds
        self._values: dict[tuple[str, str, str], dict[str, list[float | None]]] = {}
        self._missing: dict[tuple[str, str, str], dict[str, str]] = {}

    def add(self, place: tuple[str, str], tree: str, number: int, values: Mapping[str, float]) -> None:
        """What round *number* (from 0) found in *tree*; *place* is durability and group."""
        for name, value in values.items():
            empty: dict[str, list[float | None]] = {each: [None] * self._rounds for each in self._trees}
            self._values.setdefault((*place, name), empty)[tree][number] = value

    def add_missing(self, place: tuple[str, str], tree: str, missing: Mapping[str, str]) -> None:
        """Why *tree* has no such figures."""
        for name, why in missing.items():
            empty: dict[str, list[float | None]] = {each: [None] * self._rounds for each in self._trees}
            self._values.setdefault((*place, name), empty)
            self._missing.setdefault((*place, name), {})[tree] = why

    def figures(self) -> dict[str, Any]:
        """Nested by durability, group and name."""
        found: dict[str, Any] = {}
        for (durability, group, name), by_tree in self._values.items():
            figure: dict[str, Any] = {tree: summary(rounds) for tree, rounds in by_tree.items()}
            for tree, why in self._missing.get((durability, group, name), {}).items():
                figure[tree]["why"] = why
            if len(self._trees) > 1:
                base, tree = self._trees
                figure["ratio"] = summary(ratios(by_tree[tree], by_tree[base]))
            found.setdefault(durability, {}).setdefault(group, {})[name] = figure
        return found

    def table(self) -> Iterator[str]:
        """The medians, without the costs."""
        columns = [*self._trees, *(["ratio"] if len(self._trees) > 1 else [])]
        for durability, groups in self.figures().items():
            for group, figures in groups.items():
                title = f"{group}, {durability}"
                yield f"{title:<{NAME_WIDTH}}" + "".join(f"{column:>{VALUE_WIDTH}}" for column in columns)
                for name, figure in figures.items():
                    if "_cost." not in name:
                        cells = (shown(figure[column]["median"]) for column in columns)
                        yield f"  {name:<{NAME_WIDTH - 2}}" + "".join(f"{cell:>{VALUE_WIDTH}}" for cell in cells)


def summary(rounds: Sequence[float | None]) -> dict[str, Any]:
    """Each round's value, None where it has none, and the median of those there are."""
    there = [value for value in rounds if value is not None]
    return {
        "rounds": [rounded(value) for value in rounds],
        "median": rounded(statistics.median(there)) if there else None,
    }


def ratios(over: Sequence[float | None], under: Sequence[float | None]) -> list[float | None]:
    """Round by round."""
    pairs = zip(over, under, strict=True)
    return [None if one is None or not other else one / other for one, other in pairs]


def rounded(value: float | None) -> float | None:
    """To six digits: more is noise."""
    return None if value is None else float(f"{value:.6g}")


def shown(value: float | None) -> str:
    """For people."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
