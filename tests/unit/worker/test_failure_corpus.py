"""Every failure that was recorded from a real FFmpeg, of both builds, is classified as the table of cases says."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

import pytest

from media.failure_cases import BY_HAND, CASES, CORPUS, Recorded
from telecine_worker.ffmpeg.failure_kinds import failure_of

FILES = sorted(CORPUS.glob("*/*.log"))
_BY_NAME = {case.name: case for case in CASES}


def named(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_recorded_failure_is_classified(path: Path) -> None:
    """Kind and reason, with FFmpeg's own words in the message where it had any."""
    one, case = Recorded.read(path), _BY_NAME[path.stem]
    found = failure_of(one.ended, "encoding")
    assert found is not None
    assert (case.kind, case.reason) == (found.failure.kind, found.failure.reason)
    assert (case.command, one.code) == (one.command, found.failure.exit_code)


def test_the_corpus_is_whole() -> None:
    """At least 40 ways to fail, each recorded from every build that fails so, and nothing else."""
    builds = defaultdict(set)
    for path in FILES:
        builds[path.parent.name].add(path.stem)
    wanted = {
        build: {
            case.name
            for case in CASES
            if (case.by_hand is not None) == (build == BY_HAND)
            and (build == BY_HAND or int(build.partition(".")[0]) not in case.missing)
        }
        for build in builds
    }
    assert wanted == builds
    assert len(_BY_NAME) == len(CASES) >= 40
    assert {"5.1", "9.0", BY_HAND} <= set(builds)


def test_the_corpus_names_no_machine() -> None:
    """Recorded in a folder of no importance, with relative names."""
    for path in FILES:
        assert not re.search(r"/(home|tmp|root|work|usr|var|opt)/", path.read_text()), path
