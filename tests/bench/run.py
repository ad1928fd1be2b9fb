"""Measures this tree, beside another revision of it with --base: `./run python tests/bench/run.py --base HEAD~1`.

One JSON object on standard output, a table on standard error. With --base the rounds go base, tree, base, tree, ... (every
other one the other way round), each with servers of its own; ratios are tree by base within a round. What a figure is, is in
the drivers; compare ratios, not figures. Takes about five minutes, with --base twice that, and wants the machine for itself.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench import groups, machine
from bench.interrupts import Interrupts
from bench.report import Report
from bench.sizes import DEFAULT, LONG_CLIP_SECONDS, TINY, Sizes
from bench.trees import NoSuchRevision, Tree, this_tree, tree_of
from support.ffmpeg_under_test import make_clip

INTERRUPTED = 130


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    names = [group.name for group in groups.GROUPS]
    parser = argparse.ArgumentParser(description="Measure this tree, or two revisions of it, interleaved.")
    parser.add_argument("--base", metavar="REVISION", help="measure this revision too, in turns")
    parser.add_argument("--rounds", type=at_least_one, default=3, help="default 3")
    parser.add_argument("--only", action="append", choices=names, help="this group of figures; may be repeated")
    parser.add_argument(
        "--durability", choices=groups.DURABILITIES, help="only with what this makes an acknowledgement survive"
    )
    server = os.environ.get("TELECINE_TEST_REDIS", "bundled")
    parser.add_argument("--redis", default=server, help=f"bundled, system, or a path of a server; default {server}")
    parser.add_argument(
        "--pairs",
        type=at_least_one,
        default=1,
        help="encode so often a round, in turns with the bare command; default 1",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--long", action="store_true", help="encode for a minute, not for twenty seconds")
    length.add_argument("--tiny", action="store_true", help="the least of everything: shows that it works, no more")
    return parser.parse_args(arguments)


def at_least_one(text: str) -> int:
    """A number of rounds, or of what a round has."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} of it measure nothing; at least 1")
    return number


def sizes_of(options: argparse.Namespace) -> Sizes:
    """How much the options ask for."""
    sizes = TINY if options.tiny else DEFAULT
    if options.long:
        sizes = dataclasses.replace(sizes, clip_seconds=LONG_CLIP_SECONDS)
    return dataclasses.replace(sizes, pairs=options.pairs)


def places(options: argparse.Namespace) -> Iterator[tuple[groups.Group, str]]:
    """What to measure, and under which durability."""
    for group in groups.GROUPS:
        for durability in group.durabilities:
            if group.name in (options.only or [group.name]) and durability == (options.durability or durability):
                yield group, durability


def measured(
    options: argparse.Namespace, trees: list[Tree], sizes: Sizes, folder: Path, interrupts: Interrupts
) -> tuple[Report, list[str]]:
    """Every round of everything; what failed, in words."""
    report, failures = Report([tree.name for tree in trees], options.rounds), []
    wanted = list(places(options))
    clip = None
    if any(group.encodes for group, _ in wanted):
        clip = make_clip(folder / "clip.mp4", seconds=sizes.clip_seconds, size=sizes.clip_size)
    for number in range(options.rounds):
        backwards = number % 2 == 1
        for group, durability in wanted:
            how = groups.Round(durability=durability, sizes=sizes, clip=clip, backwards=backwards)
            for tree in reversed(trees) if backwards else trees:
                say(f"round {number + 1} of {options.rounds}: {group.name}, {durability}, {tree.name}")
                place = (durability, group.name)
                try:
                    found = groups.measure(group, tree, how, interrupts)
                except (groups.GroupFailed, AssertionError) as failure:
                    failures.append(str(failure))
                    say(str(failure))
                else:
                    report.add(place, tree.name, number, found.values)
                    report.add_missing(place, tree.name, found.missing)
    return report, failures


def say(text: str) -> None:
    """On the way."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 1 where something could not be measured that should."""
    options = parsed(arguments)
    os.environ["TELECINE_TEST_REDIS"] = options.redis
    interrupts = Interrupts()
    interrupts.install()
    sizes = sizes_of(options)
    with tempfile.TemporaryDirectory(prefix="telecine-bench") as folder:
        try:
            trees = [tree_of(options.base, Path(folder))] if options.base else []
            trees.append(this_tree())
            about = {"machine": machine.facts(), "versions": machine.versions()}
            report, failures = measured(options, trees, sizes, Path(folder), interrupts)
        except NoSuchRevision as unknown:
            say(str(unknown))
            return 2
        except KeyboardInterrupt:
            say("interrupted")
            return INTERRUPTED
    settings = {"rounds": options.rounds, "redis": options.redis, **dataclasses.asdict(sizes)}
    revisions = {tree.name: tree.revision for tree in trees}
    result = {**about, "settings": settings, "trees": revisions, "figures": report.figures(), "failures": failures}
    print(json.dumps(result, indent=2))
    for line in report.table():
        say(line)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
