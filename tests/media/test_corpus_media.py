"""The corpus of failures stays true: the FFmpeg under test fails as the recorded ones did."""

from __future__ import annotations

from pathlib import Path

import pytest

from media.failure_cases import CASES, Case, make_sources, run
from telecine_worker.ffmpeg.failure_kinds import failure_of

CHEAP = [case for case in CASES if case.by_hand is None and not case.slow]


@pytest.fixture(scope="module")
def folder(toolchain, tmp_path_factory) -> Path:
    """With the sources of all cases."""
    path = tmp_path_factory.mktemp("corpus")
    make_sources(toolchain.ffmpeg, path)
    return path


@pytest.mark.parametrize("case", CHEAP, ids=lambda case: case.name)
async def test_a_failure_is_classified(toolchain, folder, case: Case) -> None:
    """Run again, ended again, classified as the table says."""
    number = toolchain.ffmpeg_version.number
    if number is not None and number[0] in case.missing:
        pytest.skip(f"FFmpeg {number[0]} does not fail here")
    found = failure_of(await run(case, toolchain.ffmpeg, folder), "encoding")
    assert found is not None
    assert (case.kind, case.reason) == (found.failure.kind, found.failure.reason)
