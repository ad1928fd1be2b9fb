"""Plays an acceptance scenario: `./run python tests/chaos/run.py SCENARIO [--rounds N] [--seed S] [--long] [--out FILE]`.

One JSON line a round on standard output: scenario, seed, passed, what was wrong, figures, seconds. Each round has a seed of its
own, from --seed on. With --out the lines go to FILE, too, and rounds that are in it are not played again: an interrupted run
goes on. Exit code 1 where one of the rounds failed. `--list` names the scenarios. The short form takes seconds, --long minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from chaos.rig.scenario import Play, Round, Scenario, scenarios

Line = dict[str, Any]
# An error may hold the end of a log.
LONGEST_ERROR = 300


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Play an acceptance scenario.")
    names = list(scenarios())
    parser.add_argument("scenario", nargs="?", choices=names, metavar="SCENARIO", help=", ".join(names))
    parser.add_argument("--list", action="store_true", help="name the scenarios")
    parser.add_argument("--rounds", type=int, default=1, help="default 1")
    parser.add_argument("--seed", type=int, default=1, help="of the first round; default 1")
    parser.add_argument("--long", action="store_true", help="the long form")
    parser.add_argument("--out", type=Path, help="a file of lines; rounds that are in it are not played again")
    parser.add_argument("--keep", type=Path, help="leave logs and histories in this folder")
    options = parser.parse_args(arguments)
    if not options.list and options.scenario is None:
        parser.error("name a scenario, or --list")
    return options


def played_before(out: Path | None, scenario: Scenario, *, long: bool) -> dict[int, Line]:
    """The lines of earlier runs by seed. The last one may be broken off: that round is played again."""
    found = {}
    for text in out.read_text().splitlines() if out and out.exists() else ():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if line["scenario"] == scenario.name and line["long"] == long:
            found[line["seed"]] = line
    return found


def play(scenario: Scenario, how: Play) -> Line:
    """One round; its line."""
    began = time.monotonic()
    try:
        came = asyncio.run(scenario.play(how))
    except Exception as error:  # noqa: BLE001 - a round that breaks has failed, and the next one is played
        traceback.print_exc()
        came = Round(wrong=[f"{type(error).__name__}: {str(error)[:LONGEST_ERROR]}"])
    line = {"scenario": scenario.name, "seed": how.seed, "long": how.long, "passed": not came.wrong}
    return line | {"wrong": list(came.wrong), **came.figures, "seconds": round(time.monotonic() - began, 1)}


def keep_line(out: Path, text: str) -> None:
    """Add a line, on a line of its own also after one that was broken off."""
    broken = out.exists() and not out.read_text().endswith("\n")
    with out.open("a") as file:
        file.write("\n" * broken + text + "\n")


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    known = scenarios()
    if options.list:
        for each in known.values():
            print(f"{each.number:2} {each.name:24} {each.title}")
        return 0
    scenario = known[options.scenario]
    lines = played_before(options.out, scenario, long=options.long)
    wanted = range(options.seed, options.seed + options.rounds)
    for seed in wanted:
        if seed in lines:
            continue
        keep = options.keep and options.keep / f"{scenario.name}-{seed}"
        lines[seed] = play(scenario, Play(seed=seed, long=options.long, keep=keep))
        text = json.dumps(lines[seed])
        print(text, flush=True)
        if options.out:
            keep_line(options.out, text)
    return 0 if all(lines[seed]["passed"] for seed in wanted) else 1


if __name__ == "__main__":
    sys.exit(main())
