"""Record the corpus of failures anew: python tests/media/record_corpus.py FFMPEG ...

Runs every case of failure_cases.py with each FFMPEG and writes what came of it to corpus/VERSION/NAME.log; cases that cannot
be had on an ordinary machine go to "corpus/by hand". Prints the cases that end otherwise than the table says.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from media.failure_cases import BY_HAND, CASES, CORPUS, Case, Recorded, make_sources, recorded, run
from telecine_worker.ffmpeg.failure_kinds import failure_of
from telecine_worker.ffmpeg.toolchain import find


def judge(case: Case, one: Recorded) -> None:
    """Say so where the verdict is another one than the table has."""
    found = failure_of(one.ended, "encoding")
    verdict = None if found is None else (found.failure.kind, found.failure.reason)
    if (case.kind, case.reason) != verdict:
        print(f"{one.build} {case.name}: code {one.code}, {found}; wanted {case.kind} {case.reason}")


async def record(ffmpeg: Path) -> None:
    """All cases with one FFmpeg."""
    number = find(ffmpeg=ffmpeg).ffmpeg_version.number
    assert number is not None, "a release of FFmpeg is needed"
    build = f"{number[0]}.{number[1]}"
    with tempfile.TemporaryDirectory() as folder:
        make_sources(ffmpeg, Path(folder))
        for case in CASES:
            path = CORPUS / build / f"{case.name}.log"
            if case.by_hand is not None or number[0] in case.missing:
                path.unlink(missing_ok=True)
                continue
            one = recorded(case, build, await run(case, ffmpeg, Path(folder)))
            one.write(path)
            judge(case, one)


def write_by_hand() -> None:
    """What somebody typed."""
    for case in CASES:
        if case.by_hand is not None:
            code, line = case.by_hand
            one = Recorded(name=case.name, build=BY_HAND, command="", code=code, lines=(line,) if line else ())
            one.write(CORPUS / BY_HAND / f"{case.name}.log")
            judge(case, one)


def main(programs: list[str]) -> None:
    write_by_hand()
    for program in programs:
        asyncio.run(record(Path(program)))


if __name__ == "__main__":
    main(sys.argv[1:])
