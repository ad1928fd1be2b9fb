"""Puts known defects into a copy of this tree, one at a time, and shows that the tests notice: `./run python
tests/mutations/run.py`.

One JSON line each on standard output. Before them a control: without any defect all the tests pass, and what they import is
the copy's. Ends with 1 where a test let a defect pass, or the control failed. `--only NAME` (may be repeated) chooses, `--list`
names them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

sys.path.insert(0, str(Path(__file__).parents[1]))

from mutations.catalogue import MUTATIONS
from mutations.copies import Copy, NoControl
from mutations.mutation import Mutation, NotThere

Line = dict[str, object]
INTERRUPTED = 130


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Show that the tests notice known defects.")
    names = [each.name for each in MUTATIONS]
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help="this mutation; may be repeated")
    parser.add_argument("--list", action="store_true", help="name the mutations and their tests, run nothing")
    parser.add_argument("--copies", type=int, default=min(2, os.cpu_count() or 1), help="how many at once; default 2")
    return parser.parse_args(arguments)


def control(copy: Copy, mutations: Sequence[Mutation]) -> Line:
    """Every mutation fits, and without one everything passes. Raises NotThere and NoControl."""
    began = time.monotonic()
    copy.check_origin()
    for each in mutations:
        with copy.mutated(each):
            pass
    tests = sorted({test for each in mutations for test in each.tests})
    verdicts = copy.run(tests)
    missing = sorted(set(tests) - verdicts.passed)
    if missing:
        raise NoControl(f"without any mutation these do not pass: {', '.join(missing)}\n{verdicts.output[-4000:]}")
    return {"mutation": None, "passed": len(tests), "seconds": round(time.monotonic() - began, 1)}


def tried(copy: Copy, mutation: Mutation) -> Line:
    """What the tests say of a defect."""
    began = time.monotonic()
    with copy.mutated(mutation):
        verdicts = copy.run(mutation.tests)
    missed = sorted(set(mutation.tests) - verdicts.failed)
    line: Line = {"mutation": mutation.name, "caught_by": sorted(verdicts.failed), "missed_by": missed}
    if missed and not verdicts.passed:
        line["output"] = verdicts.output[-2000:]
    return line | {"seconds": round(time.monotonic() - began, 1)}


def all_tried(copies: Sequence[Copy], mutations: Sequence[Mutation]) -> Iterator[Line]:
    """In the order of the list, as many at once as there are copies."""
    free: SimpleQueue[Copy] = SimpleQueue()
    for copy in copies:
        free.put(copy)

    def one(mutation: Mutation) -> Line:
        copy = free.get()
        try:
            return tried(copy, mutation)
        finally:
            free.put(copy)

    with ThreadPoolExecutor(len(copies)) as threads:
        try:
            yield from threads.map(one, mutations)
        finally:
            for copy in copies:
                copy.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(arguments)
    chosen = [each for each in MUTATIONS if not options.only or each.name in options.only]
    if options.list:
        for each in chosen:
            print(json.dumps({"mutation": each.name, "files": [edit.file for edit in each.edits], "tests": each.tests}))
        return 0
    missed = False
    with ExitStack() as stack:
        folders = [stack.enter_context(tempfile.TemporaryDirectory(prefix="tcm")) for _ in range(options.copies)]
        copies = [Copy(Path(folder).resolve()) for folder in folders]
        try:
            print(json.dumps(control(copies[0], chosen)), flush=True)
            for line in all_tried(copies, chosen):
                print(json.dumps(line), flush=True)
                missed = missed or bool(line["missed_by"])
        except (NoControl, NotThere) as error:
            print(f"mutations: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            return INTERRUPTED
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
