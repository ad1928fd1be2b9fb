"""What people type: FFmpeg's lines, places, amounts, and where options stand."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from telecine_client.cli.app import hoist
from telecine_client.cli.exits import UsageError
from telecine_client.cli.ffmpeg_line import parse_ffmpeg_line
from telecine_client.cli.locations import shown, split_output, split_outputs, to_uri
from telecine_client.cli.quantities import parse_bitrate, parse_duration, parse_offset
from telecine_client.cli.rendering import clock, size_text


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a b.mkv", "/a%20b.mkv"), ("x/../a.mkv", "/a.mkv"), ("file:a.mkv", "/a.mkv"), ("100%.mkv", "/100%25.mkv")],
)
def test_local_paths_become_absolute_uris(here: Path, text: str, expected: str) -> None:
    """Encoded, so that the worker reads the same name."""
    assert f"file://{here}{expected}" == to_uri(text)


def test_symbolic_links_are_left_as_they_are(here: Path) -> None:
    """The worker's roots are compared with what the person typed."""
    (here / "real").mkdir()
    (here / "link").symlink_to("real")
    assert f"file://{here}/link/a.mkv" == to_uri("link/a.mkv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/media/out/a b.mp4", ("file:///media/out", "a b.mp4")),
        ("file:///media/a%20b/c%20d.mp4", ("file:///media/a%20b", "c d.mp4")),
        ("s3://bucket/x/y.mp4", ("s3://bucket/x", "y.mp4")),
        ("s3://bucket/y.mp4", ("s3://bucket", "y.mp4")),
    ],
)
def test_an_output_is_a_directory_and_a_name(text: str, expected: tuple[str, str]) -> None:
    """The directory as a URI, the name as a plain path."""
    assert expected == split_output(text)


def test_outputs_of_two_buckets_are_refused() -> None:
    """A job has one output location."""
    with pytest.raises(UsageError, match="one place"):
        split_outputs(["s3://a/x.mp4", "s3://b/y.mp4"])


def test_a_query_is_never_shown() -> None:
    """It may hold a signature."""
    assert (shown("https://h/a?sig=1"), shown("what?.mkv")) == ("https://h/a", "what?.mkv")


@pytest.mark.parametrize(("text", "seconds"), [("500ms", 0.5), ("30s", 30), ("1.5m", 90), ("2h", 7200)])
def test_durations_have_a_unit(text: str, seconds: float) -> None:
    """As in the settings of the servers."""
    assert timedelta(seconds=seconds) == parse_duration(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90.5", 90.5), ("1:30", 90), ("1:02:03.5", 3723.5), ("90s", 90), ("1:05", 65)]
)
def test_offsets_are_seconds_or_clocks(text: str, seconds: float) -> None:
    """As FFmpeg takes them, and durations."""
    assert timedelta(seconds=seconds) == parse_offset(text)


@pytest.mark.parametrize(("text", "bps"), [("800k", 800_000), ("2.5M", 2_500_000), ("128000", 128_000), ("1K", 1000)])
def test_bitrates_have_decimal_units(text: str, bps: int) -> None:
    """k is 1000."""
    assert bps == parse_bitrate(text)


@pytest.mark.parametrize("text", ["", "-5s", "10", "soon", "5 s", "1e3s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(UsageError, match="30s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "-1", "1:60:00", "1:2:3:4", "now"])
def test_what_is_no_offset_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(UsageError, match="1:30"):
        parse_offset(text)


@pytest.mark.parametrize("text", ["", "fast", "-1k", "1kk", "1G"])
def test_what_is_no_bitrate_is_refused(text: str) -> None:
    """With an example."""
    with pytest.raises(UsageError, match=r"2\.5M"):
        parse_bitrate(text)


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["get", "j", "--json"], ["--json", "get", "j"]),
        (["get", "--address", "a:1", "j", "--tenant=t"], ["--address", "a:1", "--tenant=t", "get", "j"]),
        (["--json", "get", "j"], ["--json", "get", "j"]),
        (["ffmpeg", "--json", "--", "--json", "x"], ["--json", "ffmpeg", "--", "--json", "x"]),
        (["get", "j", "--address"], ["--address", "get", "j"]),
    ],
)
def test_common_options_may_stand_anywhere_before_the_dashes(args: list[str], expected: list[str]) -> None:
    """After -- everything is FFmpeg's."""
    assert expected == hoist(args)


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (3_020_443, "3.0 MB")]
)
def test_sizes_are_decimal(size: int, text: str) -> None:
    """As FFmpeg counts."""
    assert text == size_text(size)


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3661, "1:01:01")])
def test_times_left_are_clocks(seconds: float, text: str) -> None:
    """Rounded to the second."""
    assert text == clock(timedelta(seconds=seconds))


def test_help_does_not_load_grpc() -> None:
    """So that it is there at once."""
    code = (
        "import sys; from telecine_client.cli.app import build, hoist\n"
        "try: build()(args=['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(int(any(name in sys.modules for name in ('grpc', 'google.protobuf', 'rich.progress', 'yaml'))))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(
        name in ended.stdout for name in ("submit", "transcode", "ffmpeg", "get", "watch", "cancel", "dev", "demo")
    )
