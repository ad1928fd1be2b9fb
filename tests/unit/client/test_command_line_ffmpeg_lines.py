"""FFmpeg's own lines, as people type or paste them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from telecine_client.cli.exits import UsageError
from telecine_client.cli.ffmpeg_line import parse_ffmpeg_line


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_plain_line_is_read(here: Path) -> None:
    """The input gets its own name, the output is relative to its directory."""
    line = parse_ffmpeg_line(["-i", "film.mkv", "-c:v", "libx264", "-crf", "20", "out/small.mp4"])
    assert line.args == ("-i", "film.mkv", "-c:v", "libx264", "-crf", "20", "small.mp4")
    assert {"film.mkv": f"file://{here}/film.mkv"} == line.inputs
    assert (f"file://{here}/out", ("small.mp4",), True) == (line.output_uri, line.outputs, line.overwrite)


def test_a_pasted_line_with_its_program_and_terminal_options() -> None:
    """What has no meaning for a job is dropped; -n is kept as its meaning."""
    line = parse_ffmpeg_line(["ffmpeg", "-hide_banner", "-nostdin", "-n", "-i", "a.mkv", "-an", "b.mp4"])
    assert (line.args, line.overwrite) == (("-i", "a.mkv", "-an", "b.mp4"), False)


def test_several_outputs_share_their_innermost_directory(here: Path) -> None:
    """Each is relative to it, in the order of the line."""
    line = parse_ffmpeg_line(["-i", "a.mkv", "out/hd/a.mp4", "-vn", "out/sound/a.m4a"])
    assert (f"file://{here}/out", ("hd/a.mp4", "sound/a.m4a")) == (line.output_uri, line.outputs)
    assert line.args == ("-i", "a.mkv", "hd/a.mp4", "-vn", "sound/a.m4a")


def test_inputs_of_one_name_are_told_apart_and_of_one_file_are_one(here: Path) -> None:
    """Names follow the files' names, in the letters that a spec allows."""
    line = parse_ffmpeg_line(["-i", "x/a.mkv", "-i", "y/a.mkv", "-i", "x/a.mkv", "-i", "_my film!.mkv", "b.mp4"])
    assert line.args == ("-i", "a.mkv", "-i", "2-a.mkv", "-i", "a.mkv", "-i", "my_film_.mkv", "b.mp4")
    assert {
        "a.mkv": f"file://{here}/x/a.mkv",
        "2-a.mkv": f"file://{here}/y/a.mkv",
        "my_film_.mkv": f"file://{here}/_my%20film%21.mkv",
    } == line.inputs


def test_a_long_name_is_cut_to_what_a_spec_allows() -> None:
    """64 characters, even for the second of the name; the extension stays."""
    long = "n" * 100 + ".mkv"
    names = list(parse_ffmpeg_line(["-i", f"x/{long}", "-i", f"y/{long}", "b.mp4"]).inputs)
    assert all(len(name) <= 64 and name.endswith(".mkv") for name in names)
    assert len(set(names)) == 2


def test_named_inputs_and_uris() -> None:
    """--input names files for {in:NAME} and -i NAME; URIs stay as they are."""
    line = parse_ffmpeg_line(
        ["-i", "film", "-i", "s3://b/x/logo.png?sig=1", "-vf", "subtitles={in:subs}", "s3://b/o/c.mp4"],
        inputs={"film": "s3://b/film.mkv", "subs": "s3://b/s.srt"},
    )
    assert line.inputs == {"film": "s3://b/film.mkv", "subs": "s3://b/s.srt", "logo.png": "s3://b/x/logo.png?sig=1"}
    assert line.args == ("-i", "film", "-i", "logo.png", "-vf", "subtitles={in:subs}", "c.mp4")
    assert line.output_uri == "s3://b/o"


def test_declared_outputs_let_every_option_pass() -> None:
    """With --output nothing has to be known about the other tokens."""
    line = parse_ffmpeg_line(["-i", "a.mkv", "-mystery", "x", "-flag", "b.mp4"], outputs=["b.mp4"])
    assert (line.args, line.outputs) == (("-i", "a.mkv", "-mystery", "x", "-flag", "b.mp4"), ("b.mp4",))


@pytest.mark.parametrize(
    ("args", "outputs", "said"),
    [
        (["-i", "a.mkv"], (), "writes no file"),
        (["-i", "a.mkv", "-mystery", "b.mp4"], (), "-mystery"),
        (["-i", "a.mkv", "b.mp4"], ["c.mp4"], "c.mp4 does not stand"),
        (["-i"], (), "-i stands at the end"),
        (["-i", "a.mkv", "-crf"], (), "-crf stands at the end"),
        (["-f", "lavfi", "-i", "testsrc2", "b.mp4"], (), "lavfi"),
        (["-i", "-", "b.mp4"], (), "standard input"),
        (["-i", "pipe:0", "b.mp4"], (), "standard input"),
        (["-i", "a.mkv", "-"], (), "standard input or output"),
        (["-i", "a.mkv", "b.mp4", "-an", "./b.mp4"], (), "twice"),
        (["-i", "a.mkv", "b.mp4", "s3://b/c.mp4"], (), "one place"),
        (["-i", "a.mkv", "http://h/b.mp4?secret=1"], (), "http://h/b.mp4'"),
        (["-i", "a.mkv", "out/"], (), "is a directory"),
        (["-i", "a.mkv", "/b.mp4"], (), "below a directory"),
    ],
)
def test_a_line_that_cannot_be_a_job_says_what_is_wrong(args: list[str], outputs: Sequence[str], said: str) -> None:
    """Naming the token."""
    with pytest.raises(UsageError, match=said) as caught:
        parse_ffmpeg_line(args, outputs=outputs)
    assert "secret" not in str(caught.value)
