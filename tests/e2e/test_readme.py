"""What README and `telecine demo` promise a newcomer, word for word."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support.ffmpeg_under_test import frames, make_clip, toolchain_under_test
from support.processes import BIN, Live
from support.redis_server import server_binary

README = (Path(__file__).parents[2] / "README.md").read_text()


def blocks(language: str) -> list[str]:
    """The code blocks of README in this language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def environment(live: Live) -> dict[str, str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TELECINE_")}
    return clean | {"TELECINE_ADDRESS": live.address, "PATH": f"{BIN}:{clean['PATH']}"}


@pytest.fixture
def place(live: Live) -> Path:
    """Where a reader would be: below a file root, with a film."""
    folder = Path(tempfile.mkdtemp(prefix="reader-", dir=live.media))
    make_clip(folder / "input.mp4", seconds=2)
    return folder


def run_all(commands: list[list[str]], live: Live, place: Path) -> None:
    """One after the other, as they stand on the page."""
    for command in commands:
        ran = subprocess.run(
            command, cwd=place, env=environment(live), capture_output=True, text=True, timeout=120, check=False
        )
        assert 0 == ran.returncode, ran.stdout + ran.stderr


def test_the_shell_examples_work(live: Live, place: Path) -> None:
    """As they stand, but for the port of the scheduler: every file is there, with every frame."""
    scripts = [script.replace("127.0.0.1:50051", live.address) for script in blocks("sh")]
    run_all([["bash", "-euo", "pipefail", "-c", script] for script in scripts], live, place)
    made = [place / name for name in ("small.mp4", "tiny.mp4", "out/film.mp4")]
    assert [frames(place / "input.mp4")] * 3 == [frames(path) for path in made]


def test_the_sdk_examples_work(live: Live, place: Path) -> None:
    """As they stand, with every frame."""
    run_all([[sys.executable, "-c", script] for script in blocks("python")], live, place)
    assert frames(place / "input.mp4") == frames(place / "sdk" / "film.mp4")


def test_every_link_leads_somewhere() -> None:
    """To a file of the repository, and to a heading that is there."""
    root = Path(__file__).parents[2]
    for page in (root / "README.md", root / "docs" / "examples.md"):
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            name, _, anchor = target.partition("#")
            file = (page.parent / name) if name else page
            assert file.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in {slug(line) for line in file.read_text().splitlines()}, (
                f"{page.name}: {target}"
            )


def slug(line: str) -> str:
    """The anchor that a heading gets."""
    return re.sub(r"[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-") if line.startswith("#") else ""


def test_every_setting_of_the_servers_is_in_the_table() -> None:
    """By the name of its variable, as their --help has it."""
    documented = set(re.findall(r"(?<![A-Z])(TELECINE_[A-Z_]+|_[A-Z]{3,}\b)", README))
    documented |= {f"TELECINE_RETENTION{name}" for name in documented if name.startswith("_")}
    for server in ("telecine-scheduler", "telecine-worker"):
        shown = subprocess.run(
            [str(BIN / server), "--help"], capture_output=True, text=True, check=True, timeout=30,
            env=os.environ | {"COLUMNS": "80"},
        ).stdout  # fmt: skip
        names = set(re.findall(r"env var: (TELECINE_[A-Z_]+)[;\]]", " ".join(shown.split())))
        flags = set(re.findall(r"^ +--([a-z-]+)", shown, re.MULTILINE)) - {"help", "check"}
        assert flags, shown
        # On a terminal of 80 columns too, each flag stands there with the whole name of its variable.
        assert names == {f"TELECINE_{flag.upper().replace('-', '_')}" for flag in flags}
        assert set() == names - documented, server


def test_the_demo_encodes_a_clip_and_checks_it(tmp_path: Path) -> None:
    """The first command of README: exit code 0, a film with every frame, and nothing else left."""
    tools = toolchain_under_test()
    env = {key: value for key, value in os.environ.items() if not key.startswith("TELECINE_")}
    ran = subprocess.run(
        [str(BIN / "telecine"), "demo", "--output", str(tmp_path / "out"), "--redis-server", server_binary()],
        env=env | {"TELECINE_FFMPEG": str(tools.ffmpeg), "TELECINE_FFPROBE": str(tools.ffprobe)}, capture_output=True,
        text=True, timeout=120, check=False, cwd=tmp_path,
    )  # fmt: skip

    assert 0 == ran.returncode, ran.stdout + ran.stderr
    assert ["demo.mp4"] == [path.name for path in (tmp_path / "out").iterdir()]
    assert 300 == frames(tmp_path / "out" / "demo.mp4")
