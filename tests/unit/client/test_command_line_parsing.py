"""What people type: places, jobs in files, amounts, and where options stand."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from telecine_client.cli.exits import UsageError
from telecine_client.cli.hoisting import hoist, whole
from telecine_client.cli.job_file import parse_job_file, parse_job_files
from telecine_client.cli.locations import shown, split_output, split_outputs, split_pattern, to_uri
from telecine_client.cli.pairs import parse_labels, parse_limits
from telecine_client.cli.pictures import Pictures, thumbnails_spec
from telecine_client.cli.quantities import parse_bitrate, parse_duration, parse_offset
from telecine_client.cli.rendering import clock, size_text
from telecine_client.errors import InvalidRequest


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/media/100%/%03d.jpg", ("file:///media/100%25", "%03d.jpg")),
        ("file:///media/a%20b/t-%d.png", ("file:///media/a%20b", "t-%d.png")),
        ("s3://bucket/x/%d.webp", ("s3://bucket/x", "%d.webp")),
    ],
)
def test_the_percent_of_a_pattern_is_no_escape(text: str, expected: tuple[str, str]) -> None:
    """%03 would be a control character in a URI."""
    assert expected == split_pattern(text)


def test_a_pattern_is_relative_to_where_one_is(here: Path) -> None:
    """Like any other path."""
    assert (f"file://{here}/thumbs", "%d.jpg") == split_pattern("thumbs/%d.jpg")


def test_pictures_need_a_pattern() -> None:
    """With an example, before anything is sent."""
    with pytest.raises(UsageError, match=r"%03d\.jpg"):
        split_pattern("thumbs/one.jpg")


@pytest.mark.parametrize("chosen", [Pictures(), Pictures(count=3, best=1), Pictures(count=1, offsets=[timedelta()])])
def test_pictures_are_chosen_in_one_way(chosen: Pictures) -> None:
    """Neither none nor two."""
    with pytest.raises(UsageError, match="one of --count, --every, --at and --best"):
        thumbnails_spec("a.mkv", "t/%d.jpg", chosen)


def test_several_jobs_in_one_file() -> None:
    """JSON lines, a JSON list, YAML documents, a YAML list: the same jobs, each with its place."""
    texts = (
        '{"job_id": "a", "spec": {"priority": 1}}\n\n{"job_id": "b", "spec": {"priority": 2}}\n',
        '[{"job_id": "a", "spec": {"priority": 1}},\n {"job_id": "b", "spec": {"priority": 2}}]',
        "job_id: a\nspec: {priority: 1}\n---\njob_id: b\nspec: {priority: 2}\n",
        "- {job_id: a, spec: {priority: 1}}\n- {job_id: b, spec: {priority: 2}}\n",
    )
    for text in texts:
        jobs = parse_job_files(text, "jobs")
        assert [("a", 1, "jobs, job 1"), ("b", 2, "jobs, job 2")] == [
            (job.job_id, job.spec.priority, job.where) for job in jobs
        ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "no job"),
        ("", "no job"),
        ('{"spec": {}}\n{"job_id": "b"}', "jobs, job 2 has no spec"),
        ('{"spec": {}}\n{"spec": ', "no JSON, line 2"),
        ('{"spec": {}} x', "no JSON, line 1"),
    ],
)
def test_a_file_that_holds_no_jobs_says_where(text: str, said: str) -> None:
    """Naming the file, and the job or the line."""
    with pytest.raises(UsageError, match=said):
        parse_job_files(text, "jobs")


@pytest.mark.parametrize(
    "text",
    [
        "spec:\n  inputs:\n    a: {headers: {Authorization: Bearer: s3cret}}\n",
        "spec: {inputs: {a: {headers: {Authorization: *s3cret}}}}",
        "spec: {inputs: {a: {headers: {Authorization: !s3cret x}}}}",
        'spec: {inputs: {a: {uri: "https://h/?sig=s3cret\\q"}}}',
        "spec:\n  inputs:\n    a:\n      headers:\n        - Authorization: Bearer s3cret\n",
        "spec:\n  inputs: {a: {headers: s3cret}}\n",
        "spec: {}\nhttps://h/?sig=s3cret: x",
        "spec: {}\njob_id: {Authorization: s3cret}",
        '{"spec": {"inputs": {"a": {"uri": "https://h/?sig=s3cret}}}',
    ],
)
def test_what_is_wrong_with_a_file_is_said_without_its_text(text: str) -> None:
    """A slip in it must not bring a header or a signed URL to the terminal, or into a log."""
    with pytest.raises((UsageError, InvalidRequest)) as wrong:
        parse_job_files(text, "jobs")
    assert "s3cret" not in str(wrong.value)
    assert "s3cret" not in str(getattr(wrong.value, "violations", ""))


def test_a_slip_in_yaml_is_said_by_its_place() -> None:
    """Line, column, and what the parser expected."""
    with pytest.raises(UsageError, match=r"jobs is no YAML, line 2 column 7: mapping values are not allowed here"):
        parse_job_files("spec:\n  a: b: c\n", "jobs")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"spec": ' + '{"a":' * 3000, "nested too deeply"),
        ("spec: " + "[" * 3000, "nested too deeply"),
        ("spec: {units: 1" + "0" * 5000 + "}", "a number that is too long"),
        ('{"spec": {"units": 1' + "0" * 5000 + "}}", "a number that is too long"),
        ("spec: !!bool maybe", "a tag that does not fit"),
        ("spec: \x07", "a character that YAML does not allow"),
    ],
)
def test_what_no_parser_can_read_is_wrong_usage(text: str, said: str) -> None:
    """Not an error of the parser."""
    with pytest.raises(UsageError, match=said):
        parse_job_files(text, "jobs")


def test_a_duration_in_a_file_is_in_seconds() -> None:
    """The contract's form; the right one is shown."""
    with pytest.raises(
        InvalidRequest, match=r"spec\.limits\.total_timeout is no number of seconds with an s, such as 3600s"
    ):
        parse_job_files("spec: {limits: {total_timeout: 1h}}", "jobs")
    with pytest.raises(
        InvalidRequest, match=r"retention_duration is a number; it has to be seconds in a text, such as 3600s"
    ):
        parse_job_files("spec: {retention_duration: 3600}", "jobs")
    [job] = parse_job_files("spec: {retention_duration: 3600.5s, limits: {total_timeout: 1s}}", "jobs")
    assert (3600, 500_000_000) == (job.spec.retention_duration.seconds, job.spec.retention_duration.nanos)


def test_one_job_where_only_one_is_possible() -> None:
    """An id by hand cannot be given to two."""
    with pytest.raises(UsageError, match="has 2 jobs"):
        parse_job_file('{"spec": {}}{"spec": {}}', "jobs")


def test_labels_and_limits_are_pairs() -> None:
    """A value may hold the sign; limits have their own names."""
    assert {"a": "b=c", "d": ""} == parse_labels(["a=b=c", "d="])
    assert {"total_timeout": timedelta(hours=2), "stall_timeout": timedelta(seconds=30)} == parse_limits(
        ["total=2h", "stall=30s"]
    )


@pytest.mark.parametrize(("text", "said"), [("total", "total=2h"), ("never=1h", "queue, total"), ("hard=soon", "30s")])
def test_what_is_no_limit_is_refused(text: str, said: str) -> None:
    """With an example, or the names there are."""
    with pytest.raises(UsageError, match=said):
        parse_limits([text])


def test_outputs_of_two_buckets_are_refused() -> None:
    """A job has one output location."""
    with pytest.raises(UsageError, match="one place"):
        split_outputs(["s3://a/x.mp4", "s3://b/y.mp4"])


def test_a_query_is_never_shown() -> None:
    """It may hold a signature."""
    assert (shown("https://h/a?sig=1"), shown("what?.mkv")) == ("https://h/a", "what?.mkv")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("1.5m", 90), ("2h", 7200), ("1h30m", 5400), ("2d", 172_800), ("1m500ms", 60.5)],
)
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


@pytest.mark.parametrize("text", ["", "-5s", "10", "soon", "5 s", "1e3s", "1h30", "5mss", "s"])
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
        (
            ["wait", "j", "--timeout", "2s", "--request-timeout", "1s"],
            ["--request-timeout", "1s", "wait", "j", "--timeout", "2s"],
        ),
        (["list", "--tls", "--token-file=t", "--ca-file", "c"], ["--tls", "--token-file=t", "--ca-file", "c", "list"]),
    ],
)
def test_common_options_may_stand_anywhere_before_the_dashes(args: list[str], expected: list[str]) -> None:
    """After -- everything is FFmpeg's."""
    assert expected == hoist(args)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--address", "h", ":", "1", "get"], ["--address", "h:1", "get"]),
        (["list", "--address", "=", "h", ":", "1"], ["list", "--address=h:1"]),
        (["watch", "--label", "a", "=", "b", "--all"], ["watch", "--label", "a=b", "--all"]),
        ([":"], [":"]),
        ([], []),
    ],
)
def test_words_that_bash_parted_are_put_together(words: list[str], expected: list[str]) -> None:
    """So that completion asks the scheduler that the line names."""
    assert expected == whole(words)


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
        "import sys; from telecine_client.cli.app import build\n"
        "try: build()(args=['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(int(any(name in sys.modules for name in ('grpc', 'google.protobuf', 'rich.progress', 'yaml'))))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert all(
        f"\n  {name} " in ended.stdout
        for name in (
            *(
                "submit",
                "transcode",
                "thumbnails",
                "ffmpeg",
                "list",
                "get",
                "watch",
                "wait",
                "cancel",
                "retry",
                "delete",
            ),
            *("stats", "workers", "dev", "demo"),
        )
    )


@pytest.mark.parametrize("text", ["99999999999h", "99999999999999999999s"])
def test_a_time_beyond_all_bounds_is_refused(text: str) -> None:
    """Not an error of the arithmetic."""
    with pytest.raises(UsageError, match="longer than anything lasts"):
        parse_duration(text)
    with pytest.raises(UsageError, match="longer than anything lasts"):
        parse_offset("99999999999:00:00")
