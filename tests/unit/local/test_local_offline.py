"""`telecine plan` and `telecine probe`: what a worker would do, and what it sees, without a scheduler."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from support.ffmpeg_under_test import make_clip, toolchain_under_test
from telecine_client.cli.app import build
from telecine_client.cli.exits import UsageError
from telecine_client.cli.leaving import leaving
from telecine_local import commands as local
from telecine_local.offline import commands


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("offline") / "film.mp4", seconds=1, size="160x90")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files of a test are; and the FFmpeg under test is found without being tried again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "find", lambda **_: toolchain_under_test())
    return tmp_path


def plan(*, as_json: bool = False, **given: Any) -> None:
    options: dict[str, Any] = {"file": None, "preset": None, "inputs": (), "changes": ()}
    commands.plan(**options | given, ffmpeg=None, as_json=as_json)


def a_job(here: Path, uri: str) -> str:
    task = {
        "transcode": {
            "input": "film",
            "path": "o.mp4",
            "video": {"codec": "h264", "bitrate_bps": 90000, "two_pass": True},
        }
    }
    spec = {"inputs": {"film": {"uri": uri}}, "output": {"uri": "out"}, "task": task}
    (here / "job.json").write_text(json.dumps({"spec": spec}))
    return "job.json"


def test_a_plan_has_the_arguments_and_what_will_be_checked(
    here: Path, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of each step, with places instead of paths; and nothing is made."""
    plan(file=a_job(here, str(film)), as_json=True)
    planned = json.loads(capsys.readouterr().out)
    assert ["analyzing", "encoding"] == [step["phase"] for step in planned["steps"]]
    last = planned["steps"][-1]["argv"]
    assert ("ffmpeg", "{in:film}", True) == (last[0], last[last.index("-i") + 1], last[-1].startswith("{out:"))
    assert ["-pass", "2"] == last[last.index("-pass") :][:2]
    [artifact] = planned["artifacts"]
    assert ("o.mp4", "h264", 160, 30) == (
        artifact["path"],
        artifact["video"]["codec"],
        artifact["video"]["width_px"],
        artifact["video"]["frame_count"],
    )
    assert 1.0 == pytest.approx(planned["inputs"]["film"]["duration"], abs=0.1)
    assert ["job.json"] == [path.name for path in here.iterdir()]


def test_a_plan_for_people_is_short(film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whitelists before every input are left out, and nothing else; scripts and measured values are named."""
    plan(preset="podcast", inputs=[str(film)], changes=["task.audio.path=talk.mp3"])
    said = capsys.readouterr().out
    lines = said.splitlines()
    assert ("task audio", "input source") == (lines[0], lines[1])
    assert "step 1 of 3: analyzing" in lines
    assert "-codec_whitelist ... " in said
    assert "{measured:" in said
    assert [line for line in lines if line.startswith("artifact talk.mp3: media_type=audio/mpeg ")]
    plan(preset="sprites", inputs=[f"source={film}"])
    assert "script index.vtt, 4 lines" in capsys.readouterr().out


def test_a_plan_of_a_package_names_its_tracks(film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its segments have no names before they are made; the playlists have."""
    given: dict[str, Any] = {"preset": "hls-ladder", "inputs": [str(film)]}
    plan(**given, as_json=True)
    package = json.loads(capsys.readouterr().out)["package"]
    assert ("hls", "6", ["90p", "audio"]) == (
        package["directory"], package["segment_seconds"], [track["name"] for track in package["tracks"]],
    )  # fmt: skip
    plan(**given)
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("package hls: "))
    assert "segment_seconds=6" in lines[at]
    assert "with_hls=true" in lines[at]
    assert ["  90p:", "  audio:"] == [" ".join(line.partition(":")[:2]).replace(" :", ":") for line in lines[at + 1 :]]


def test_a_plan_says_what_ffmpeg_has_to_have(
    here: Path, film: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that a build may be without is named; one that is not there is told as a worker does."""
    (here / "text.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    changes = ["task.transcode.filters.burn_subtitles=text", "inputs={film: {uri: film}, text: {uri: text.srt}}"]
    given: dict[str, Any] = {"file": a_job(here, str(film)), "changes": changes, "inputs": [f"film={film}"]}
    plan(**given)
    assert "filter subtitles: for filters.burn_subtitles" in capsys.readouterr().out.splitlines()
    plan(**given, as_json=True)
    assert {"subtitles": "filters.burn_subtitles"} == json.loads(capsys.readouterr().out)["filters"]
    without = replace(toolchain_under_test(), filters=toolchain_under_test().filters - {"subtitles"})
    monkeypatch.setattr(commands, "find", lambda **_: without)
    with pytest.raises(UsageError, match=r"UNSUPPORTED_OPTION: filters\.burn_subtitles"):
        plan(**given)


def test_a_file_here_may_stand_for_an_input_elsewhere(
    here: Path, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without one there is no plan, and it is said what would help."""
    file = a_job(here, "s3://bucket/film.mp4?token=secret")
    with pytest.raises(UsageError, match="give --input film=FILE") as refused:
        plan(file=file)
    assert "secret" not in str(refused.value)
    plan(file=file, inputs=[f"film={film}"])
    assert "-pass 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "FILE or --preset NAME"),
        ({"preset": "poster", "file": "job.json"}, "FILE or --preset NAME"),
        ({"preset": "poster", "inputs": ["missing.mp4"]}, "give --input source=FILE"),
        ({"file": "job.json", "inputs": ["movie=film.mp4"]}, "--input movie: the spec has no such input; it has film"),
        ({"file": "job.json", "inputs": ["film=text"]}, "INPUT_INVALID: .*text"),
        ({"file": "job.json", "changes": ["task.transcode.video.crf=60"]}, "OPTION_INVALID: .*crf"),
        ({"file": "job.json", "changes": ["output=null"]}, "OUTPUT_MISSING"),
    ],
)
def test_what_cannot_be_planned_says_why(here: Path, film: Path, given: dict[str, Any], says: str) -> None:
    """Wrong usage, a missing input, one that is no media, an option that no encoder takes."""
    a_job(here, str(film))
    (here / "text").write_text("no film\n" * 100)
    with pytest.raises(UsageError, match=says):
        plan(**given)


def test_a_probe_is_a_table_or_the_contracts_message(film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The streams in the order of the file."""
    commands.probe(file=film, ffmpeg=None, as_json=False)
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [["stream", "0", "video", "h264", "160x90"], ["stream", "1", "audio", "aac", "44100"]] == [
        line[:5] for line in words if line[0] == "stream"
    ]
    commands.probe(file=film, ffmpeg=None, as_json=True)
    info = json.loads(capsys.readouterr().out)
    assert (160, str(film.stat().st_size)) == (info["videoStreams"][0]["widthPx"], info["sizeBytes"])


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("missing.mp4", "missing.mp4 cannot be read"),
        ("text", "text"),
        (".", r"^\. is no regular file$"),
        ("fifo", "^fifo is no regular file$"),
    ],
)
def test_what_is_no_media_file_says_so(here: Path, name: str, says: str) -> None:
    """With its name, at once; and no file stays open."""
    os.mkfifo(here / "fifo")
    (here / "text").write_text("no film\n" * 100)
    before = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(UsageError, match=says):
        commands.probe(file=Path(name), ffmpeg=None, as_json=False)
    assert before == len([*Path("/proc/self/fd").iterdir()])


def telecine(*arguments: str) -> int:
    """The command line with the two commands, however they were installed; its exit code."""
    app = build()
    app.command(name="plan")(local.plan)
    app.command(name="probe")(local.probe)
    with pytest.raises(SystemExit) as left, leaving():
        app(args=list(arguments), prog_name="telecine")
    return int(left.value.code or 0)


def test_the_command_line_passes_its_options_on(here: Path, film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json stands where it does for all commands; what is wrong is one line and exit code 2."""
    assert 0 == telecine(
        "plan", "--preset", "poster", "--input", str(film), "--set", "task.thumbnails.best=2", "--json"
    )
    assert 2 == len(json.loads(capsys.readouterr().out)["artifacts"])
    assert 0 == telecine("plan", a_job(here, "s3://bucket/film.mp4"), "--input", f"film={film}")
    assert "artifact o.mp4: " in capsys.readouterr().out
    assert 0 == telecine("--json", "probe", str(film))
    assert "videoStreams" in json.loads(capsys.readouterr().out)
    assert 2 == telecine("probe", "missing.mp4")
    assert "telecine: missing.mp4 cannot be read: No such file or directory\n" == capsys.readouterr().err
