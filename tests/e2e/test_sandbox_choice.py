"""What a worker, `telecine dev` and `telecine demo` do about the sandbox, on machines that have one and that have none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from support import without_landlock
from support.confined import confined
from support.ffmpeg_under_test import frames, make_clip, toolchain_under_test
from support.processes import BIN
from support.redis_server import server_binary
from telecine_local.sandbox import worker_settings
from telecine_local.toolchain import Toolchain

BARE = (sys.executable, without_landlock.__file__)


def run(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    """With the FFmpeg under test, and with nothing on PATH: no bubblewrap."""
    tools = toolchain_under_test()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TELECINE_")}
    found = {"TELECINE_FFMPEG": str(tools.ffmpeg), "TELECINE_FFPROBE": str(tools.ffprobe), "PATH": "/nonexistent"}
    return subprocess.run(argv, env=clean | found | env, capture_output=True, text=True, timeout=120, check=False)


def checked(*before: str, **env: str) -> Mapping[str, object]:
    """What telecine-worker --check says."""
    found: Mapping[str, object] = json.loads(run(*before, str(BIN / "telecine-worker"), "--check", **env).stdout)
    return found


def test_landlock_is_enough() -> None:
    """On a machine without bubblewrap."""
    confined("landlock")
    found = checked()
    assert ("landlock", None) == (found["sandbox"], found["sandbox_refusal"])


def test_off_is_said_by_name() -> None:
    """Then nothing is tried."""
    found = checked(*BARE, TELECINE_SANDBOX="off")
    assert ("off", None) == (found["sandbox"], found["sandbox_refusal"])


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (
            "auto",
            ["bwrap: bwrap is not on PATH; landlock: its self-test does not run: sandbox: Landlock: Function not"],
        ),
        ("landlock", ["(landlock: its self-test does not run"]),
        ("bwrap", ["(bwrap: bwrap is not on PATH)"]),
    ],
)
def test_a_worker_without_a_sandbox_does_not_start(wish: str, words: Sequence[str]) -> None:
    """Exit code 2, with what failed, what would be right, and how it is switched off; --check says the same."""
    ran = run(*BARE, str(BIN / "telecine-worker"), TELECINE_SANDBOX=wish)
    for each in (*words, "Install bubblewrap", "TELECINE_SANDBOX=off"):
        assert each in ran.stderr
    assert 2 == ran.returncode
    found = checked(*BARE, TELECINE_SANDBOX=wish)
    assert (None, ran.stderr.strip()) == (found["sandbox"], f"telecine-worker: {found['sandbox_refusal']}")


def test_a_sandbox_that_there_is_not_is_a_wrong_setting() -> None:
    """Named, with what would be right."""
    ran = run(str(BIN / "telecine-worker"), "--sandbox", "jail")
    said = " ".join(ran.stderr.replace("│", " ").split())
    assert (2, True) == (ran.returncode, "'jail' is not one of 'auto', 'bwrap', 'landlock', 'off'" in said), said


def test_the_demo_goes_on_without_a_sandbox_and_says_so(tmp_path: Path) -> None:
    """One printed warning; the film is made."""
    clip = make_clip(tmp_path / "clip.mp4", seconds=1)
    ran = run(
        *BARE, str(BIN / "telecine"), "demo", "--input", str(clip), "--output", str(tmp_path / "out"),
        "--redis-server", server_binary(),
    )  # fmt: skip
    assert 0 == ran.returncode, ran.stdout + ran.stderr
    assert 1 == ran.stderr.count("WARNING: FFmpeg runs unconfined")
    assert 30 == frames(tmp_path / "out" / "clip-480p.mp4")


def test_only_what_was_not_said_by_name_is_left_out() -> None:
    """Who asks for a sandbox gets it, or nothing."""
    bare = Toolchain(ffmpeg="", ffprobe="", unconfined="none holds")
    assert {"TELECINE_SANDBOX": "off"} == worker_settings(bare, {})
    assert {"TELECINE_SANDBOX": "off"} == worker_settings(bare, {"TELECINE_SANDBOX": "auto"})
    assert {} == worker_settings(bare, {"TELECINE_SANDBOX": "landlock"})
    assert {} == worker_settings(Toolchain(ffmpeg="", ffprobe="", unconfined=""), {})
